"""The demo server itself: its process, its seed, its manners and its faults."""

from __future__ import annotations

import ast
import gzip
import http.client
import json
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import lxml.html
import numpy as np
import pytest

from bento.process import ROOT, stop
from demo import faults, fred, load, market, quakes, weather
from demo.__main__ import world as described
from demo.process import arguments, running
from demo.world import World
from perennial.errors import PerennialError
from tests.demo_asked import NOW, WORLD, Server, rows_of, server, shared

__all__ = ("server", "shared")


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
