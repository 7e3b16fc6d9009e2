"""The shipped configs read the demo server to the end."""

from __future__ import annotations

import numpy as np
import pytest

from bento.process import ROOT
from demo import stock
from perennial.config import Config
from perennial.config_file import load as load_config
from perennial.config_web import Feed, WebSource
from perennial.data.answer import Parsed
from perennial.data.crawl import walk
from perennial.data.parse import parser
from tests.demo_asked import NOW, Server, server, shared

__all__ = ("server", "shared")


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
