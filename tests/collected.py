"""Records of the systems that are collected by feeds, from the demo server, without a pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from demo.process import running
from demo.world import World
from perennial.config import Config
from perennial.config_file import load
from perennial.data import crawl, records

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHORTER = {
    "used_cars": (),
    "fear_greed": (),
    "earthquakes": ("source.feeds.events.walk.since=2021-01-01",),
    "load": (
        "source.feeds.load.walk.since=2025-09-01",
        "source.feeds.weather.walk.since=2025-09-01",
        "source.feeds.oil.walk.urls=['/graph/fredgraph.csv?id=DCOILBRENTEU&cosd=2025-01-01']",
        "source.feeds.oil.expect.min_rows=10",
    ),
}


@contextmanager
def world(**different: object) -> Iterator[str]:
    """The address of a demo server at `NOW`."""
    with running(World(now=NOW, **different)) as address:
        yield address


def config(system: str, address: str, *settings: str) -> Config:
    """The demo's config of a system, with a history that is short enough for a test."""
    path = ROOT / f"configs/demo/{system}.yaml"
    given = (f"source.base_url={address}", *SHORTER[system], *settings)
    return load(path, Config, given).config


def collected(of: Config, folder: Path, now: datetime = NOW) -> pd.DataFrame:
    """All records after one collection into `folder`."""
    crawled = asyncio.run(crawl.crawl(of.source, folder, lambda: now))
    failed = {f.feed: f.failed for f in crawled.facts if f.failed}
    assert not failed, failed
    frames = [
        records.finished(records.to_frame(name, feed, crawl.rows(folder, crawled.number, name)), feed)
        for name, feed in of.source.feeds.items()
    ]
    return records.merge(None, records.together(frames)).added
