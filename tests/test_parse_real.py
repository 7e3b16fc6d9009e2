"""Answers of real sites and APIs, against values recomputed another way."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest

from perennial.data.answer import Parsed
from perennial.data.parse import check, parser
from tests.parsing import SHARED, feed, parsed, site

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="the shared data of this project is not here")

VIKINGS = "https://www.vikings-auto.fr/voiture?action=liste&parc%5B%5D=1&parc%5B%5D=2&entrant="


class Cars(HTMLParser):
    """The cars of a dealer's page by the standard library alone: links with spans of certain classes."""

    def __init__(self) -> None:
        super().__init__()
        self.cars: list[dict[str, str]] = []
        self.span = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        if tag == "a":
            self.cars.append({"href": named.get("href") or ""})
        self.span = (named.get("class") or "") if tag == "span" else ""

    def handle_endtag(self, tag: str) -> None:
        self.span = ""

    def handle_data(self, data: str) -> None:
        if self.cars and self.span:
            self.cars[-1][self.span] = self.cars[-1].get(self.span, "") + data


@cache
def dealer_pages() -> list[tuple[bytes, Parsed]]:
    rules = site("vikings_auto")
    assert check(rules) == []
    read = parser(rules)
    pages = [(SHARED / f"used-cars/html/vikings-auto.fr/page_{n}.html").read_bytes() for n in range(1, 11)]
    return [(page, read.parse(page, "text/html", f"{VIKINGS}{n}")) for n, page in enumerate(pages, 1)]


def expected_car(car: dict[str, str]) -> dict[str, Any]:
    name, details = " ".join(car["nom"].split()), [part.strip() for part in car["vehiculeinfos"].split("/")]
    year = details[0]
    mileage = [part for part in details[1:] if part.endswith("km")]
    brand = next((b for b in ("LAND ROVER", "VOLKSWAGEN UTILITAIRES") if name.startswith(b)), name.split()[0])
    return {
        "url": "https://www.vikings-auto.fr" + car["href"],
        "make": brand.removesuffix(" UTILITAIRES"),
        "model": name[len(brand) :].strip() or None,
        "version": " ".join(car["info"].split()) or None,
        "year": int(year) if year else None,
        "mileage_km": int(re.sub(r"\D", "", mileage[0])) if mileage else None,
        "fuel": " / ".join(part for part in details[1:] if not part.endswith("km")) or None,
        "dealer": " ".join(car.get("info concession", "").split()) or None,
        "price_eur": float(re.sub(r"\D", "", car["prix"])),
    }


def test_the_918_cars_of_a_dealer_are_read_exactly() -> None:
    rows = [row for _, read in dealer_pages() for row in read.rows]
    expected = []
    for page, _ in dealer_pages():
        reader = Cars()
        reader.feed(page.decode())
        expected += [expected_car(car) for car in reader.cars if "nom" in car]
    assert len(rows) == 918
    assert rows == expected
    assert len({row["url"] for row in rows}) == 918
    assert sum(row["year"] is None for row in rows) == 28
    assert sum(row["mileage_km"] is None for row in rows) == 57
    prices = [row["price_eur"] for row in rows]
    assert prices == sorted(prices)


def test_nothing_of_the_dealer_is_rejected_or_doubted_and_the_layout_holds() -> None:
    for _, read in dealer_pages():
        assert read.rejected == 0
        assert not any(read.unreadable.values())
        assert not any(read.out_of_range.values())
    assert len({read.layout for _, read in dealer_pages()}) == 1


def test_the_links_of_the_dealer_lead_from_the_first_page_to_all_ten() -> None:
    reached, todo = set(), {1}
    while todo:
        page = todo.pop()
        reached.add(page)
        links = dealer_pages()[page - 1][1].links
        assert all(link.startswith("https://www.vikings-auto.fr/voiture?") for link in links)
        found = {int(number) for link in links for number in re.findall(r"entrant=(\d+)", link)}
        todo |= found - reached
    assert reached == set(range(1, 11))


def test_a_marketplace_page_reads_the_same_by_its_text_and_by_its_json() -> None:
    body = gzip.decompress((SHARED / "used-cars/html/autoscout24/autoscout24_de_search.html.gz").read_bytes())
    by_text, by_json = site("autoscout24"), site("autoscout24_json")
    assert check(by_text) == check(by_json) == []
    address = "https://www.autoscout24.de/lst/bmw/i4"
    texts, objects = (
        parsed(rules, body, "text/html; charset=utf-8", address) for rules in (by_text, by_json)
    )
    assert texts.found == objects.found == 19
    assert texts.rejected == objects.rejected == 0
    for seen, embedded in zip(texts.rows, objects.rows, strict=True):
        assert {**seen, "make": str(seen["make"]).upper()} == embedded
    ids = re.findall(rb'data-guid="([^"]+)"', body)
    prices = re.findall(rb' data-price="(\d+)"', body)
    assert [row["id"] for row in texts.rows] == [i.decode() for i in ids]
    assert [row["price_eur"] for row in texts.rows] == [float(price) for price in prices]
    assert sum(row["year"] is None for row in texts.rows) == body.count(b'data-first-registration="new"')


LOAD = {
    "time": {
        "column": "Time (CET/CEST)",
        "regex": "^(.+?) - ",
        "parse": "time",
        "format": "%d.%m.%Y %H:%M",
        "zone": "Europe/Berlin",
        "required": True,
    },
    "load_mw": {"column": "Actual Total Load [MW] - BZN|DE-LU", "parse": "number", "minimum": 0},
    "forecast_mw": {"column": "Day-ahead Total Load Forecast [MW] - BZN|DE-LU", "parse": "number"},
}


def utc_load(year: int) -> Iterator[tuple[str, float, float]]:
    with gzip.open(SHARED / "electricity-load/de_lu_15min_2019_2021.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            time = datetime.fromisoformat(row["utc_timestamp"])
            if (time + timedelta(hours=1)).year == year:
                yield time.isoformat(), float(row["load_mw"]), float(row["tso_day_ahead_forecast_mw"])


@pytest.mark.parametrize("year", [2019, 2020, 2021])
def test_local_times_of_a_grid_platform_become_utc_over_both_clock_changes(year: int) -> None:
    file = next((SHARED / "electricity-load/entsoe-raw").glob(f"*_{year}01010000-*.csv.gz"))
    read = parsed(feed({"kind": "csv"}, LOAD), file.read_bytes())
    assert [tuple(row.values()) for row in read.rows] == list(utc_load(year))
    assert read.rejected == read.unreadable["time"] == 4
    assert not any(read.out_of_range.values())


def test_the_fear_and_greed_index_is_read() -> None:
    body = (SHARED / "bitcoin/fear_greed_2018-02_2023-12.json").read_bytes()
    fields = {
        "time": {"path": "timestamp", "parse": "time", "format": "unix_s"},
        "value": {"path": "value", "parse": "integer", "minimum": 0, "maximum": 100},
        "label": {"path": "value_classification"},
    }
    read = parsed(feed({"kind": "json", "rows": "data"}, fields), body)
    data = json.loads(body)["data"]
    days = [datetime.fromisoformat(str(row["time"])) for row in read.rows]
    assert [
        (day.timestamp(), row["value"], row["label"]) for day, row in zip(days, read.rows, strict=True)
    ] == [(int(item["timestamp"]), int(item["value"]), item["value_classification"]) for item in data]
    assert len(days) == 2157
    every = {days[-1] + timedelta(days=n) for n in range((days[0] - days[-1]).days + 1)}
    assert sorted(every - set(days)) == [datetime(2018, 4, day, tzinfo=UTC) for day in (14, 15, 16)]


def test_candles_are_arrays_and_equal_the_same_candles_as_csv() -> None:
    body = (SHARED / "bitcoin/binance_klines_btcusdt_1d_limit1000.json").read_bytes()
    places = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}
    arrays = {name: {"path": f"[{place}]", "parse": "number"} for name, place in places.items()}
    klines = {
        "time": {"path": "[0]", "parse": "time", "format": "unix_ms"},
        **arrays,
        "trades": {"path": "[8]", "parse": "integer"},
    }
    columns = {name: {"column": name, "parse": "number"} for name in places}
    table = {
        "time": {"column": "open_time", "parse": "time", "format": "unix_ms"},
        **columns,
        "trades": {"column": "trades", "parse": "integer"},
    }
    read = parsed(feed({"kind": "json"}, klines), body)
    whole = parsed(
        feed({"kind": "csv"}, table), (SHARED / "bitcoin/btcusdt_1d_2017-08_2023-12.csv.gz").read_bytes()
    )
    by_time = {row["time"]: row for row in whole.rows}
    assert (read.found, whole.found) == (1000, 2328)
    assert [dict(row) for row in read.rows] == [dict(by_time[row["time"]]) for row in read.rows]


def test_a_market_chart_reads_the_same_by_rows_and_by_columns() -> None:
    body = (SHARED / "bitcoin/coingecko_market_chart_bitcoin_usd_7d.json").read_bytes()
    rows = {
        "time": {"path": "[0]", "parse": "time", "format": "unix_ms"},
        "price_usd": {"path": "[1]", "parse": "number"},
    }
    columns = {
        "time": {"path": "prices[*][0]", "parse": "time", "format": "unix_ms"},
        "price_usd": {"path": "prices[*][1]", "parse": "number"},
    }
    by_rows = parsed(feed({"kind": "json", "rows": "prices"}, rows), body)
    assert by_rows.found == 169
    assert by_rows.rows == parsed(feed({"kind": "json_columns"}, columns), body).rows
    assert [row["price_usd"] for row in by_rows.rows] == [price for _, price in json.loads(body)["prices"]]


def test_earthquakes_are_read_from_geojson() -> None:
    fields = {
        "id": {"path": "id", "required": True},
        "time": {"path": "properties.time", "parse": "time", "format": "unix_ms"},
        "magnitude": {"path": "properties.mag", "parse": "number"},
        "depth_km": {"path": "geometry.coordinates[2]", "parse": "number"},
        "place": {"path": "properties.place"},
    }
    rules = feed({"kind": "json", "rows": "features"}, fields)
    found = []
    for file in sorted((SHARED / "earthquakes/geojson").glob("*.geojson")):
        body = file.read_bytes()
        read = parsed(rules, body)
        events = json.loads(body)["features"]
        for row, event in zip(read.rows, events, strict=True):
            kept = event["properties"]
            since = datetime.fromisoformat(str(row["time"])) - datetime(1970, 1, 1, tzinfo=UTC)
            assert since / timedelta(milliseconds=1) == kept["time"]
            assert (row["id"], row["magnitude"], row["place"]) == (event["id"], kept["mag"], kept["place"])
            assert row["depth_km"] == event["geometry"]["coordinates"][2]
        found.append(read.found)
    assert sorted(found) == [0, 1, 93, 102, 109]


def test_earthquakes_are_read_from_csv() -> None:
    body = (SHARED / "earthquakes/usgs_m50_world_2009-01_2018-12.csv.gz").read_bytes()
    names = ("latitude", "longitude", "depth", "mag", "gap", "dmin", "rms")
    numbers = {name: {"column": name, "parse": "number"} for name in names}
    rules = feed(
        {"kind": "csv"}, {"id": {"column": "id"}, "time": {"column": "time", "parse": "time"}, **numbers}
    )
    read = parsed(rules, body)
    table = list(csv.DictReader(gzip.decompress(body).decode().splitlines()))
    assert read.found == len(table) == 18_639
    assert not any(read.unreadable.values())
    for row, line in zip(read.rows, table, strict=True):
        assert row["id"] == line["id"]
        assert row["time"] == datetime.fromisoformat(line["time"]).isoformat()
        assert [row[name] for name in names] == [float(line[name]) if line[name] else None for name in names]
