"""The demo server: what it says of itself, and that it behaves like the sites and APIs it stands in for."""

from __future__ import annotations

import ast
import csv
import gzip
import http.client
import io
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import lxml.html
import numpy as np
import pytest

from bento.process import ROOT, stop
from demo import faults, fred, load, market, quakes, stock, weather
from demo.__main__ import world as described
from demo.process import arguments, running
from demo.world import World
from perennial.config import Config
from perennial.config_file import load as load_config
from perennial.config_web import Feed, WebSource
from perennial.data.answer import Parsed
from perennial.data.crawl import walk
from perennial.data.parse import parser
from perennial.errors import PerennialError

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
WORLD = World(now=NOW)
BERLIN = ZoneInfo("Europe/Berlin")


class Got(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    """Asks without following redirects and without raising for statuses."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Got:
        at = urlsplit(self.url)
        connection = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
        try:
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return Got(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def set(self, **values: object) -> None:
        got = self.get("/_demo/world", "POST", json.dumps(values).encode())
        assert got.status == 200, got.text

    def stats(self) -> dict:
        return self.get("/_demo/stats").json


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with running(WORLD) as url:
        yield Server(url)


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    usual = shared.get("/_demo/world").json
    shared.get("/_demo/stats", "DELETE")
    yield shared
    shared.set(**usual)


# The process


def test_it_ends_at_once_when_asked_even_while_it_answers() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        url = process.stdout.readline().decode().split()[0]
        streams = [
            urllib.request.urlopen(url + "/hostile/endless"),
            urllib.request.urlopen(url + "/hostile/drip"),
        ]
        assert all(stream.read(1) for stream in streams)
        process.terminate()
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0
        assert said == b""
    finally:
        stop(process)


def test_a_taken_port_is_one_sentence(shared: Server) -> None:
    port = urlsplit(shared.url).port
    with (
        pytest.raises(PerennialError, match=f"expected to listen on 127.0.0.1:{port}, found: .*--port$"),
        running(port=port),
    ):
        pass


def test_the_server_knows_nothing_of_how_it_is_read() -> None:
    found = set()
    for path in (ROOT / "demo").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found |= {node.module} if isinstance(node, ast.ImportFrom) else set()
            found |= {a.name for a in node.names} if isinstance(node, ast.Import) else set()
    ours = {
        name
        for name in found
        if name.split(".")[0] in ("perennial", "bento", "steps", "pipelines", "commands")
    }
    assert ours == {"perennial.errors", "bento.process"}


@pytest.mark.parametrize(
    "world",
    [
        World(),
        World(seed=3, now=NOW, faults="many", layout="renamed", layout_changes_after=4),
        World(layout_changes_at=NOW, new_layout="renamed", crawl_delay_s=0.5, robots_status=503),
    ],
)
def test_every_world_has_a_command_line(world: World) -> None:
    assert described(arguments(world)) == world


# The same seed and moment give the same world, and the past does not depend on the present

PATHS = (
    "/voiture?entrant=2",
    "/annonces?page=1",
    "/angebote?page=1",
    "/fdsnws/event/1/query?format=csv",
    "/fng/?limit=9",
    "/api/v3/klines?symbol=BTCUSDT&interval=1d&limit=9",
    "/public_power?start=2026-10-01",
    "/v1/archive?latitude=51&longitude=10&start_date=2026-10-01&end_date=2026-10-02&hourly=temperature_2m",
    "/graph/fredgraph.csv?id=DGS10",
)


def test_a_world_is_made_by_its_seed_and_moment_alone(server: Server) -> None:
    with running(WORLD) as twin:
        here = {path: server.get(path).body for path in PATHS}
        assert {path: Server(twin).get(path).body for path in PATHS} == here
        server.set(seed=8)
        assert not any(server.get(path).body == body for path, body in here.items())


def test_the_past_stays_as_it_was() -> None:
    for older, newer in (
        (market.market(7, 2024), market.market(7, 2026)),
        (weather.weather(7, 2024), weather.weather(7, 2026)),
        (load.grid(7, 2024), load.grid(7, 2026)),
    ):
        for name, values in vars(older).items():
            assert np.array_equal(values, getattr(newer, name)[: len(values)]), name
    assert fred.values(7, "DGS10", 2026)[: len(fred.values(7, "DGS10", 2024))] == fred.values(
        7, "DGS10", 2024
    )
    newer = quakes.catalogue(7, 2026)
    older = quakes.catalogue(7, 2024)
    same = newer.take(np.flatnonzero(np.isin(newer.number, older.number)))
    assert np.array_equal(same.time_ms, older.time_ms)
    first_of_2025 = quakes.milliseconds(datetime(2025, 1, 1, tzinfo=UTC))
    assert (newer.time_ms < first_of_2025).sum() == (older.time_ms < first_of_2025).sum()


# Used cars


def rows_of(page: str) -> list[lxml.html.HtmlElement]:
    return [a for a in lxml.html.fromstring(page).cssselect("#resultats > a") if a.cssselect(".prix")]


def number_of(row: lxml.html.HtmlElement) -> int:
    return int(re.search(r"-(\d+)\.html$", row.get("href"))[1])


def test_the_result_pages_hold_the_stock_and_repeat_some_of_it(server: Server) -> None:
    cars = {car.number: car for car in stock.on_sale(7, NOW)}
    assert 900 < len(cars) < 1_600
    found, page = [], 1
    while rows := rows_of(server.get(f"/voiture?action=liste&entrant={page}").text):
        found += rows
        page += 1
    counts = Counter(number_of(row) for row in found)
    assert set(counts) == set(cars)
    assert len(found) == len(cars) + 2 * (page - 1)
    blanks = set()
    for row in found:
        car, text = cars[number_of(row)], row.cssselect(".vehiculeinfos")[0].text
        year, *between, fuel = text.split(" / ", 2 if "km" in text else 1)
        assert (year or None) == (str(car.year) if car.year else None)
        assert fuel == car.fuel
        assert [re.sub(r"\D", "", m) for m in between] == (
            [str(car.mileage_km)] if car.mileage_km is not None else []
        )
        price = row.cssselect(".prix")[0].text
        expected = "" if car.on_request else str(car.price_eur(stock.updated(NOW)))
        assert re.sub(r"\D", "", price) == expected
        blanks |= set(re.findall(r"\d(\D)\d{3} €", price))
    assert blanks == {" ", "\xa0", "\u202f"}
    assert any(car.year is None for car in cars.values())
    assert any(car.mileage_km is None for car in cars.values())


def test_links_lead_to_all_pages_under_addresses_that_say_where_they_were_clicked(server: Server) -> None:
    asked, to_ask, spellings = set(), {1}, set()
    while to_ask:
        page = to_ask.pop()
        asked.add(page)
        tree = lxml.html.fromstring(server.get(f"/voiture?action=liste&entrant={page}").text)
        links = {a.get("href") for a in tree.cssselect("#pagination a")}
        spellings |= links
        to_ask |= {int(link.rpartition("=")[2]) for link in links} - asked
    cars = len(stock.on_sale(7, NOW))
    assert asked == set(range(1, -(-cars // 98) + 1))
    assert len(spellings) > 3 * len(asked)


def test_the_latin_site_is_windows_1252_that_says_otherwise(server: Server) -> None:
    got = server.get("/annonces?page=2")
    assert got.headers["Content-Type"] == "text/html"
    assert b"charset=iso-8859-1" in got.body
    text = got.body.decode("cp1252")
    prices = re.findall(r"<td class=prix>([\d\xa0]+,00 €|sur demande)</td>", text)
    shown = stock.on_sale(7, NOW)[40:80]
    at = stock.updated(NOW)
    assert [re.sub(r"\D", "", p.partition(",")[0]) for p in prices] == [
        "" if car.on_request else str(car.price_eur(at)) for car in shown
    ]
    with pytest.raises(UnicodeDecodeError):
        got.body.decode("utf-8")


def test_the_json_site_says_everything_three_times(server: Server) -> None:
    tree = lxml.html.fromstring(server.get("/angebote?page=3").text)
    props = json.loads(tree.cssselect("#__NEXT_DATA__")[0].text)["props"]["pageProps"]
    linked = json.loads(tree.cssselect('script[type="application/ld+json"]')[0].text)["itemListElement"]
    prices = [int(item["tracking"]["price"]) for item in props["listings"]]
    assert len(prices) == 20
    assert prices == [item["item"]["offers"]["price"] for item in linked]
    assert prices == [int(a.get("data-price")) for a in tree.cssselect("article")]
    assert prices == [int(re.sub(r"\D", "", item["price"]["priceFormatted"])) for item in props["listings"]]
    last = lxml.html.fromstring(server.get(f"/angebote?page={props['numberOfPages']}").text)
    assert last.cssselect("article")
    assert not last.cssselect('a[rel="next"]')


def test_a_cars_page_is_there_until_it_is_sold(server: Server) -> None:
    href = rows_of(server.get("/voiture?entrant=4").text)[-1].get("href")
    car = next(car for car in stock.on_sale(7, NOW) if str(car.number) in href)
    assert f"<dd>{car.power_hp} ch</dd>" in server.get(href).text
    server.set(now=(car.sold + timedelta(days=1)).isoformat())
    assert server.get(href).status == 404


def test_prices_follow_from_what_the_pages_show() -> None:
    cars = [c for c in stock.on_sale(7, NOW) if c.year and c.mileage_km and not c.on_request]
    models = sorted({c.model for c in cars})
    rows = np.array(
        [
            [
                *(2026 - c.year, c.mileage_km / 1e5, c.power_hp, "GT" in c.version, "Exclusive" in c.version),
                *(c.fuel == "Diesel", c.gearbox.startswith("BVM")),
                *(c.model == m for m in models),
            ]
            for c in cars
        ],
        float,
    )
    price = np.array([c.price_eur(NOW) for c in cars], float)
    train = np.arange(len(cars)) % 4 != 0
    weights = np.linalg.lstsq(rows[train], np.log(price[train]), rcond=None)[0]
    missed = price[~train] - np.exp(rows[~train] @ weights)
    assert 0.9 < 1 - (missed**2).sum() / ((price[~train] - price[~train].mean()) ** 2).sum() < 0.995


def test_prices_fall_while_cars_stand() -> None:
    later = {
        c.number: c.price_eur(NOW + timedelta(days=60)) for c in stock.on_sale(7, NOW + timedelta(days=60))
    }
    both = [(c.price_eur(NOW), later[c.number]) for c in stock.on_sale(7, NOW) if c.number in later]
    assert len(both) > 300
    assert all(new <= old for old, new in both)
    assert sum(new < old for old, new in both) > 0.5 * len(both)


# Manners: conditional requests, robots.txt, layouts, books


def test_what_is_known_is_not_sent_again(server: Server) -> None:
    first = server.get("/voiture?entrant=1")
    tag, date_of = first.headers["ETag"], first.headers["Last-Modified"]
    again = server.get("/voiture?entrant=1", If_None_Match=f'"other", W/{tag}')
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert server.get("/voiture?entrant=1", If_Modified_Since=date_of).status == 304
    assert server.get("/voiture?entrant=1", If_None_Match='"other"', If_Modified_Since=date_of).status == 200
    server.set(now=(NOW + timedelta(days=1)).isoformat())
    assert server.get("/voiture?entrant=1", If_None_Match=tag, If_Modified_Since=date_of).status == 200
    assert server.get("/voiture?entrant=1", If_Modified_Since=date_of).status == 200
    books = server.stats()
    assert books["not_modified"] == books["paths"]["/voiture"]["not_modified"] == 2
    assert books["paths"]["/voiture"]["conditional"] == 5
    assert books["paths"]["/voiture"]["addresses"] == {"/voiture?entrant=1": 6}
    assert len(books["paths"]["/voiture"]["arrivals_s"]) == 6


def test_bodies_are_compressed_for_those_who_say_so(server: Server) -> None:
    path = "/fdsnws/event/1/query?format=csv"
    plain, packed = server.get(path), server.get(path, Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2


def test_robots_txt_and_those_who_do_not_heed_it(server: Server) -> None:
    lines = server.get("/robots.txt").text.splitlines()
    assert lines[0] == "User-agent: *"
    assert "Disallow: /recherche" in lines
    assert not any("delay" in line for line in lines)
    assert server.get("/recherche?tri=prix").status == 200
    server.get("/voiture?entrant=1")
    assert server.stats()["forbidden"] == 1
    server.set(crawl_delay_s=0.25)
    assert "Crawl-delay: 0.25" in server.get("/robots.txt").text
    server.set(robots_status=404)
    assert server.get("/robots.txt").status == 404
    server.get("/recherche")
    assert server.stats()["forbidden"] == 1
    server.set(robots_status=503)
    assert server.get("/robots.txt").status == 503
    server.get("/voiture?entrant=1")
    assert server.stats()["forbidden"] == 2


def test_the_layout_changes_after_some_pages_or_at_a_moment(server: Server) -> None:
    server.set(layout_changes_after=2)
    layouts = [bool(rows_of(server.get(f"/voiture?entrant={n}").text)) for n in (1, 2, 3, 4)]
    assert layouts == [True, True, False, False]
    cars = lxml.html.fromstring(server.get("/voiture?entrant=2").text).cssselect("article.carte")
    assert len(cars) == 100
    server.set(
        layout_changes_after=None,
        layout_changes_at=(NOW + timedelta(days=1)).isoformat(),
        new_layout="renamed",
    )
    before = server.get("/voiture?entrant=1")
    assert rows_of(before.text)
    server.set(now=(NOW + timedelta(days=2)).isoformat())
    tree = lxml.html.fromstring(server.get("/voiture?entrant=1").text)
    assert len(tree.cssselect('#resultats > a[href^="/occasions/"]')) == 100
    assert not tree.cssselect(".prix")


def test_the_world_takes_no_nonsense(server: Server) -> None:
    for values in ({"nwo": 1}, {"faults": "lots"}, {"now": "soon"}, {"now": 5}, [1]):
        assert server.get("/_demo/world", "POST", json.dumps(values).encode()).status == 400
    assert server.get("/_demo/world").json["now"] == NOW.isoformat()


# Faults


def outcome(server: Server, path: str) -> str:
    """What came of a request, in the words of `test_faults_are_those_of_the_seed_and_the_count`."""
    try:
        got = server.get(path)
    except http.client.IncompleteRead:
        return "truncated"
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return "dropped"
    after = got.headers["Retry-After"]
    if after and not after.isdigit():
        assert (
            1
            <= (parsedate_to_datetime(after) - parsedate_to_datetime(got.headers["Date"])).total_seconds()
            <= 2
        )
        return f"{got.status} date"
    return f"{got.status} seconds" if after else f"{got.status}"


def test_faults_are_those_of_the_seed_and_the_count(server: Server) -> None:
    seen = {
        None: "200",
        "slow": "200",
        "error": "500",
        "unavailable": "503",
        "busy_seconds": "429 seconds",
        "busy_date": "429 date",
        "dropped": "dropped",
        "truncated": "truncated",
    }
    server.set(faults="many")
    wanted = [faults.fault(7, "many", n) for n in range(1, 71)]
    assert set(wanted) == {None, *faults.KINDS}
    assert [outcome(server, "/fng/?limit=3") for _ in wanted] == [seen[kind] for kind in wanted]
    assert server.stats()["faults"] == dict(Counter(kind for kind in wanted if kind))


def test_faults_are_as_frequent_as_their_level_and_leave_every_host_a_chance() -> None:
    for level, least, most in (("none", 0, 0), ("some", 0.05, 0.1), ("many", 0.25, 0.35)):
        hit = [faults.fault(7, level, n) is not None for n in range(1, 4_001)]
        assert least <= np.mean(hit) <= most
        assert not any(all(hit[i : i + 4]) for i in range(len(hit)))


# Earthquakes


def events(server: Server, query: str) -> list[dict[str, str]]:
    got = server.get(f"/fdsnws/event/1/query?format=csv&{query}")
    assert got.status == 200, got.text
    return list(csv.DictReader(io.StringIO(got.text)))


def test_the_event_api_refuses_too_many_in_its_own_words(server: Server) -> None:
    refused = server.get("/fdsnws/event/1/query?format=csv&starttime=2014-01-01")
    count = int(server.get("/fdsnws/event/1/count?starttime=2014-01-01").text)
    assert refused.status == 400
    assert f"{count} matching events exceeds search limit of 20000." in refused.text
    assert len(events(server, "starttime=2014-01-01&limit=20000")) == 20_000
    for bad in ("limit=20001", "limit=x", "offset=0", "orderby=size", "starttime=soon", "minmagnitude=big"):
        assert server.get(f"/fdsnws/event/1/query?format=csv&{bad}").status == 400
    assert server.get("/fdsnws/event/1/query?format=docx").status == 400


def test_windows_pages_and_formats_tell_of_the_same_events(server: Server) -> None:
    ask = "minmagnitude=4.5&orderby=time-asc&limit=20000"
    whole = events(server, f"{ask}&starttime=2020-01-01&endtime=2022-01-01")
    halves = [
        *events(server, f"{ask}&starttime=2020-01-01&endtime=2020-12-31T23:59:59.999"),
        *events(server, f"{ask}&starttime=2021-01-01&endtime=2022-01-01"),
    ]
    assert whole == halves
    assert [e["time"] for e in whole] == sorted(e["time"] for e in whole)
    assert len({e["id"] for e in whole}) == len(whole) > 3_000
    assert whole[100:150] == events(
        server, f"{ask[:-6]}=50&offset=101&starttime=2020-01-01&endtime=2022-01-01"
    )
    got = server.get(
        f"/fdsnws/event/1/query?format=geojson&{ask}&starttime=2020-01-01&endtime=2022-01-01"
    ).json
    assert got["metadata"]["count"] == len(whole)
    for row, feature in zip(whole, got["features"], strict=True):
        point = [float(row["longitude"]), float(row["latitude"]), float(row["depth"])]
        assert (row["id"], float(row["mag"])) == (feature["id"], feature["properties"]["mag"])
        assert point == feature["geometry"]["coordinates"]
        assert datetime.fromisoformat(row["time"]).timestamp() * 1000 == feature["properties"]["time"]


def test_what_was_revised_is_what_updatedafter_brings(server: Server) -> None:
    """The answer of today is that of last month with its revisions laid over it."""
    then, window = NOW - timedelta(days=30), "starttime=2026-06-01&limit=20000"
    server.set(now=then.isoformat())
    old = {e["id"]: e for e in events(server, window)}
    server.set(now=NOW.isoformat())
    changed = {e["id"]: e for e in events(server, f"{window}&updatedafter={then:%Y-%m-%dT%H:%M:%S}")}
    new = {e["id"]: e for e in events(server, window)}
    assert {**old, **changed} == new
    revised = [(old[i], changed[i]) for i in changed if i in old]
    assert len(revised) > 20
    assert any(a["mag"] != b["mag"] for a, b in revised)
    assert all(a["updated"] < b["updated"] and a["time"] == b["time"] for a, b in revised)


def test_nothing_is_an_answer_too(server: Server) -> None:
    nothing = "minmagnitude=9.9&starttime=2020-01-01"
    assert events(server, nothing) == []
    assert server.get(f"/fdsnws/event/1/query?format=geojson&{nothing}").json["features"] == []
    assert server.get(f"/fdsnws/event/1/query?format=csv&nodata=204&{nothing}").status == 204


def test_magnitudes_and_clusters_are_like_the_earths() -> None:
    known = quakes.published(7, NOW)
    magnitude = known.first_magnitude[known.first_magnitude >= 4.5]
    assert len(magnitude) > 10_000
    # b value by Aki (1965) with Utsu's correction for bins of 0.1
    assert 0.95 < np.log10(np.e) / (magnitude.mean() - 4.45) < 1.05
    per_week = np.bincount((known.time_ms - known.time_ms[0]) // (7 * quakes.DAY_MS))
    assert per_week.var() > 2 * per_week.mean()


# Fear, greed and candles


def test_the_index_comes_newest_first_as_texts(server: Server) -> None:
    got = server.get("/fng/?limit=0&format=json").json
    data = got["data"]
    days = [datetime.fromtimestamp(int(item["timestamp"]), UTC).date() for item in data]
    expected = {date(2018, 2, 1) + timedelta(days=n) for n in range((NOW.date() - date(2018, 2, 1)).days + 1)}
    assert days == sorted(expected - set(market.NO_INDEX), reverse=True)
    assert all(item["value_classification"] == market.class_of(int(item["value"])) for item in data)
    assert {"Extreme Fear", "Extreme Greed"} < {item["value_classification"] for item in data}
    assert data[0]["time_until_update"] == str(12 * 3_600)
    assert not any("time_until_update" in item for item in data[1:])
    assert server.get("/fng/?limit=5").json["data"] == data[:5]
    assert len(server.get("/fng/").json["data"]) == 1


def candles(server: Server, query: str) -> list[list]:
    got = server.get(f"/api/v3/klines?symbol=BTCUSDT&interval=1d&{query}")
    assert got.status == 200, got.text
    return got.json


def test_candles_page_by_their_start_and_the_last_is_open(server: Server) -> None:
    found, start = [], 0
    while True:
        page = candles(server, f"limit=1000&startTime={start}")
        found += page
        if len(page) < 1_000:
            break
        start = page[-1][0] + 1
    opens = [candle[0] for candle in found]
    assert opens == list(range(opens[0], opens[0] + len(opens) * market.DAY_S * 1000, market.DAY_S * 1000))
    assert datetime.fromtimestamp(opens[0] / 1000, UTC).date() == market.FIRST_DAY
    assert found[-1][0] / 1000 < NOW.timestamp() < found[-1][6] / 1000
    prices = np.array([candle[1:5] for candle in found], float)
    assert (prices[:, 1] >= prices.max(axis=1)).all()
    assert (prices[:, 2] <= prices.min(axis=1)).all()
    assert prices[:-1, 3] == pytest.approx(prices[1:, 0], rel=1e-6)
    assert candles(server, f"endTime={opens[-3]}&limit=2") == found[-4:-2]
    assert len(candles(server, "limit=5000")) == 1_000
    assert candles(server, "") == found[-500:]
    server.set(now=(NOW + timedelta(hours=3)).isoformat())
    assert candles(server, "limit=1")[0][:2] == found[-1][:2]
    assert candles(server, "limit=1") != found[-1:]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("symbol=X&interval=1d", -1121),
        ("symbol=BTCUSDT&interval=1h", -1120),
        ("symbol=BTCUSDT&interval=1d&limit=x", -1100),
    ],
)
def test_bad_candles_are_refused_with_binances_codes(server: Server, query: str, code: int) -> None:
    got = server.get(f"/api/v3/klines?{query}")
    assert (got.status, got.json["code"]) == (400, code)


def test_the_market_chart_tells_of_the_same_prices(server: Server) -> None:
    chart = server.get("/api/v3/coins/bitcoin/market_chart?vs_currency=usd&days=7").json
    assert len(chart["prices"]) == 169
    assert chart["prices"][-1][0] == NOW.timestamp() * 1000
    opens = {candle[0]: float(candle[1]) for candle in candles(server, "limit=10")}
    midnights = [(t, price) for t, price in chart["prices"] if t in opens]
    assert len(midnights) == 7
    assert [price for _, price in midnights] == pytest.approx([opens[t] for t, _ in midnights])
    assert server.get("/api/v3/coins/bitcoin/market_chart?vs_currency=usd&days=400").status == 401


def test_the_index_follows_returns_and_remembers() -> None:
    whole = market.market(7, 2025)
    close = np.log(whole.hourly[:, -1])
    index = whole.index[30:].astype(float)
    past = close[29:-1] - close[15:-15]
    assert np.corrcoef(index, past)[0, 1] > 0.5
    assert 0.9 < np.corrcoef(index[1:], index[:-1])[0, 1] < 0.99


# Load, weather and series


def test_public_power_has_every_quarter_and_no_value_for_the_newest(server: Server) -> None:
    got = server.get("/public_power?country=de&start=2026-10-25&end=2026-11-01").json
    times = got["unix_seconds"]
    assert times[0] == datetime(2026, 10, 25, tzinfo=BERLIN).timestamp()
    assert times == list(range(times[0], int(NOW.timestamp()) + 1, 900))
    columns = {item["name"]: item["data"] for item in got["production_types"]}
    assert {len(data) for data in columns.values()} == {len(times)}
    known = [t + 900 + 3_600 <= NOW.timestamp() for t in times]
    assert [value is not None for value in columns["Load"]] == known
    by_seconds = server.get(f"/public_power?country=de&start={times[4]}&end={times[8]}").json
    assert by_seconds["unix_seconds"] == times[4:9]
    assert server.get("/public_power?country=xx").status == 404
    assert server.get("/public_power?start=2031-01-01").status == 404
    assert server.get("/public_power?start=soon").status == 422


def test_the_yearly_file_is_the_same_load_by_the_clock_on_the_wall(server: Server) -> None:
    text = server.get("/entsoe/Total_Load_Day_Ahead_Actual_2025.csv").text
    rows = list(csv.reader(io.StringIO(text)))[1:]
    found, seen, empty = {}, Counter(), []
    for label, ahead, actual in rows:
        day, month, year, hour, minute = map(int, re.split(r"[. :]", label[:16]))
        if not actual:
            empty.append(label)
            assert ahead == ""
            continue
        moment = datetime(year, month, day, hour, minute, tzinfo=BERLIN, fold=seen[label])
        seen[label] += 1
        found[int(moment.timestamp())] = float(actual)
    assert [label[:16] for label in empty] == [f"30.03.2025 02:{m:02d}" for m in (0, 15, 30, 45)]
    assert sorted(label[:13] for label, n in seen.items() if n == 2) == ["26.10.2025 02"] * 4
    got = server.get("/public_power?country=de&start=2025-01-01&end=2025-12-31").json
    loads = next(item["data"] for item in got["production_types"] if item["name"] == "Load")
    assert list(found) == got["unix_seconds"]
    assert list(found.values()) == pytest.approx(loads, abs=0.51)
    running_year = server.get("/entsoe/Total_Load_Day_Ahead_Actual_2026.csv").text.splitlines()
    assert running_year[-1] == '"31.12.2026 23:45 - 01.01.2027 00:00","-","-"'
    assert server.get("/entsoe/Total_Load_Day_Ahead_Actual_2027.csv").status == 404


def test_local_time_is_that_of_the_time_zone_database() -> None:
    times = weather.START_S + np.arange(8 * 365 * 24) * 3_600
    expected = [datetime.fromtimestamp(t, BERLIN).utcoffset().total_seconds() for t in times.tolist()]
    assert load.local_offset_s(times).tolist() == expected


def test_load_knows_nights_sundays_holidays_and_winters() -> None:
    grid = load.grid(7, 2025)
    local = [datetime.fromtimestamp(t, BERLIN) for t in grid.times_s()[::4].tolist()]
    mw = grid.load_mw[::4]

    def mean(chosen) -> float:
        return float(mw[[chosen(moment) for moment in local]].mean())

    assert mean(lambda m: m.hour == 3) < 0.85 * mean(lambda m: m.hour == 11)
    assert mean(lambda m: m.weekday() == 6) < 0.92 * mean(lambda m: m.weekday() == 2)
    assert mean(lambda m: (m.month, m.day) == (10, 3)) < 0.95 * mean(lambda m: m.month == 10)
    assert mean(lambda m: m.month == 7) < 0.95 * mean(lambda m: m.month == 1)
    assert 30_000 < mw.min() < mw.max() < 90_000


def hourly(server: Server, path: str) -> dict:
    got = server.get(f"{path}&latitude=52.5&longitude=13.4&hourly=temperature_2m,shortwave_radiation")
    assert got.status == 200, got.text
    return got.json["hourly"]


def test_weather_is_measured_late_and_forecast_early(server: Server) -> None:
    measured = hourly(server, "/v1/archive?start_date=2026-10-20&end_date=2026-11-01&timeformat=unixtime")
    known = [t <= NOW.timestamp() - 2 * 86_400 for t in measured["time"]]
    assert [value is not None for value in measured["temperature_2m"]] == known
    ahead = hourly(server, "/v1/forecast?past_days=12&forecast_days=7&timeformat=unixtime")
    assert ahead["time"][: len(measured["time"])] == measured["time"]
    assert None not in ahead["temperature_2m"]
    n = sum(known)
    assert ahead["temperature_2m"][:n] == measured["temperature_2m"][:n]
    server.set(now=(NOW + timedelta(days=20)).isoformat())
    truth = hourly(server, "/v1/archive?start_date=2026-10-20&end_date=2026-11-07&timeformat=unixtime")
    assert truth["time"] == ahead["time"]
    missed = np.abs(np.subtract(truth["temperature_2m"], ahead["temperature_2m"]))
    past = np.array(truth["time"]) <= NOW.timestamp()
    assert missed[past].max() == 0
    assert missed[~past].max() > 0.5
    local = hourly(server, "/v1/archive?start_date=2026-10-20&end_date=2026-10-20&timezone=Europe/Berlin")
    assert local["time"][0] == "2026-10-20T00:00"
    assert local["temperature_2m"][2:] == truth["temperature_2m"][:22]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/archive?latitude=1&longitude=1&start_date=2026-10-20&end_date=2026-11-02&hourly=temperature_2m",
        "/v1/archive?latitude=1&longitude=1&start_date=2026-10-20&hourly=temperature_2m",
        "/v1/archive?latitude=1&longitude=1&start_date=2026-10-20&end_date=2026-10-21&hourly=warmth",
        "/v1/forecast?longitude=1&hourly=temperature_2m",
        "/v1/forecast?latitude=1&longitude=1&forecast_days=30&hourly=temperature_2m",
    ],
)
def test_bad_weather_is_refused_with_a_reason(server: Server, path: str) -> None:
    got = server.get(path)
    assert got.status == 400
    assert got.json["error"] is True
    assert got.json["reason"]


def test_series_have_a_line_per_weekday_and_no_value_on_holidays(server: Server) -> None:
    for name, missing in (("DGS10", "."), ("DCOILBRENTEU", "")):
        head, *lines = server.get(
            f"/graph/fredgraph.csv?id={name}&cosd=2025-01-01&coed=2025-12-31"
        ).text.splitlines()
        assert head == f"observation_date,{name}"
        rows = dict(line.split(",") for line in lines)
        assert len(rows) == np.busday_count("2025-01-01", "2026-01-01")
        assert sorted(day for day, value in rows.items() if value == missing) == [
            "2025-01-01",
            "2025-07-04",
            "2025-11-27",
            "2025-12-25",
        ]
        assert all(float(value) > 0 for value in rows.values() if value != missing)
    assert server.get("/graph/fredgraph.csv?id=NOSUCH").status == 404


# The shipped configs


def asked_of(server: Server, feed: Feed) -> tuple[dict[tuple, dict], list[Parsed]]:
    """The records of a feed by key, and every answer as it was read, in one walk without a frontier."""
    reader, records, answers = parser(feed), {}, []
    steps = list(walk.first_steps(feed, server.url, walk.Reached(None, None), NOW))
    seen = {step.url for step in steps}
    while steps:
        step = steps.pop(0)
        got = server.get(step.url.removeprefix(server.url))
        assert got.status == 200, got.text
        read = reader.parse(got.body, got.headers["Content-Type"], step.url)
        answers.append(read)
        records |= {tuple(row[name] for name in feed.key): row for row in read.rows}
        ahead = walk.after(
            step, walk.Found(read.found, got.headers["ETag"], read.links, step.url), feed, server.url
        )
        assert ahead.rows == "keep"
        steps += [s for s in ahead.steps if s.url not in seen]
        seen |= {s.url for s in ahead.steps}
    return records, answers


@pytest.mark.parametrize("name", ["used_cars", "earthquakes", "fear_greed", "load"])
def test_the_shipped_configs_read_the_server_to_the_end(server: Server, name: str) -> None:
    path = ROOT / "configs" / "demo" / f"{name}.yaml"
    quick = ["source.feeds.load.walk.since=2026-08-01", "source.feeds.weather.walk.since=2026-08-01"]
    quick = {"load": quick, "earthquakes": ["source.feeds.events.walk.since=2023-01-01"]}.get(name, [])
    source = load_config(path, Config, quick).config.source
    assert isinstance(source, WebSource)
    assert source.base_url == "http://127.0.0.1:8765"
    for feed_name, feed in source.feeds.items():
        assert feed.base_url.startswith("https://"), feed_name
        records, answers = asked_of(server, feed)
        found, rejected = sum(a.found for a in answers), sum(a.rejected for a in answers)
        assert len(records) >= max(feed.expect.min_rows, 90), feed_name
        assert rejected <= feed.expect.max_rejected * found, feed_name
        assert not any(sum(a.unreadable.values()) + sum(a.out_of_range.values()) for a in answers), feed_name
        for field, least in feed.expect.min_fill.items():
            assert np.mean([row[field] is not None for row in records.values()]) >= least, field
        for field in feed.fields:
            assert any(row[field] is not None for row in records.values()), field
    assert server.stats()["forbidden"] == 0


def test_the_cars_config_reads_exactly_the_stock(server: Server) -> None:
    source = load_config(ROOT / "configs" / "demo" / "used_cars.yaml", Config).config.source
    records, _ = asked_of(server, source.feeds["listings"])
    at = stock.updated(NOW)
    priced = [car for car in stock.on_sale(7, NOW) if not car.on_request]
    names = ("year", "mileage_km", "price_eur", "power_hp", "engine_size_l")
    assert {key: [row[name] for name in names] for (key,), row in records.items()} == {
        str(car.number): [car.year, car.mileage_km, car.price_eur(at), car.power_hp, car.engine_l]
        for car in priced
    }
    assert {row["transmission"] for row in records.values()} == {"manual", "automatic"}
    assert {row["fuel_type"] for row in records.values()} == {"petrol", "diesel", "electric", "hybrid"}


def test_the_cars_config_reads_the_real_pages_as_well() -> None:
    folder = ROOT.parent / "shared" / "data" / "used-cars" / "html" / "vikings-auto.fr"
    if not folder.is_dir():
        pytest.skip("the pages of a real site are not part of this repository")
    feed = load_config(ROOT / "configs" / "used_cars_web.yaml", Config).config.source.feeds["listings"]
    reader = parser(feed)
    pages = [
        reader.parse(path.read_bytes(), "text/html", "https://dealer.example/voiture?entrant=1")
        for path in sorted(folder.glob("page_*.html"))
    ]
    rows = {row["number"]: row for page in pages for row in page.rows}
    assert len(rows) == 918
    assert sum(row["year"] is None for row in rows.values()) == 28
    assert sum(row["mileage_km"] is None for row in rows.values()) == 57


# Hostile answers


def test_a_bomb_is_small_until_it_is_opened(server: Server) -> None:
    got = server.get("/hostile/bomb?mb=50")
    assert len(got.body) < 100_000
    assert len(zlib.decompress(got.body, wbits=31)) == 50_000_000


def test_an_endless_body_does_not_end_by_itself(server: Server) -> None:
    with urllib.request.urlopen(server.url + "/hostile/endless") as answer:
        assert len(answer.read(5_000_000)) == 5_000_000
    assert server.get("/fng/").status == 200


def test_redirects_lead_where_nobody_should_go(server: Server) -> None:
    to = {
        name: server.get(f"/hostile/{name}").headers["Location"]
        for name in ("metadata", "file", "loop", "loop-back")
    }
    assert to == {
        "metadata": "http://169.254.169.254/latest/meta-data/",
        "file": "file:///etc/passwd",
        "loop": "/hostile/loop-back",
        "loop-back": "/hostile/loop",
    }


def test_broken_answers_are_broken(server: Server) -> None:
    with pytest.raises(UnicodeDecodeError):
        server.get("/hostile/encoding").body.decode()
    for name in ("json", "html-as-json"):
        got = server.get(f"/hostile/{name}")
        assert got.headers["Content-Type"].startswith("application/json")
        with pytest.raises(ValueError):
            json.loads(got.body)
    with pytest.raises(LookupError):
        "".encode(server.get("/hostile/unknown-encoding").headers.get_content_charset())
    with pytest.raises(http.client.IncompleteRead):
        server.get("/hostile/half")
    assert server.get("/hostile/html").body.count(b"<div>") == 5_000
    assert b"<!ENTITY" in server.get("/hostile/entities").body
    assert server.get("/hostile/empty").body == b""
    assert int(server.get("/hostile/patience").headers["Retry-After"]) > 86_400 * 365
    assert server.get("/hostile/nothing-like-it").status == 404
