"""Crawls of a real site in another process: every row once, whatever happens in between."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from perennial.config_web import WebSource
from perennial.data.answer import Answer, Request
from perennial.data.crawl import Advance, Crawled, asking, crawl, finish, rows
from perennial.errors import CollectionError, FetchError, SourceError, StoreError
from tests.crawl_site import (
    COUNTED,
    EVENTS,
    ITEMS,
    PAGES,
    Running,
    cars,
    counted,
    events,
    pager,
    running,
    source,
)

CARS = PAGES * (ITEMS - 1) + 1
NOW = datetime(2024, 2, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def host() -> Iterator[Running]:
    with running() as site:
        yield site


@pytest.fixture
def site(host: Running) -> Running:
    host.set()
    return host


class Nobody:
    """An asker that must not be asked."""

    async def get(self, request: Request) -> Answer:
        raise AssertionError(f"asked for {request.url}")


def run(config: dict[str, Any], folder: Path, now: datetime = NOW, **options: Any) -> Crawled:
    return asyncio.run(crawl(WebSource.model_validate(config), folder, lambda: now, **options))


def everything(folder: Path, number: int, feed: str) -> list[tuple[Any, ...]]:
    return [(row.values, row.url, row.raw) for row in rows(folder, number, feed)]


def one_by_one() -> list[int]:
    """The pages in the order in which somebody finds them who reads one at a time."""
    pages = [1]
    for page in pages:
        pages += [n for n in pager(page) if n <= PAGES and n not in pages]
    return pages


def test_every_row_of_linked_pages_comes_once_and_in_the_order_of_the_pages(
    site: Running, tmp_path: Path
) -> None:
    site.set(delay_s=0.02)
    told: list[Advance] = []
    done = run(source(site.base, cars=cars()), tmp_path, progress=told.append)
    (facts,) = done.facts
    found = list(rows(tmp_path, done.number, "cars"))
    assert [row.url for row in found][::ITEMS] == [f"{site.base}/page-{n}.html" for n in one_by_one()]
    assert {int(row.values["id"]) for row in found} == set(range(CARS))
    assert (facts.requests, facts.rows, facts.repeats) == (PAGES, PAGES * ITEMS, PAGES - 1)
    assert facts.filled == facts.hits == dict.fromkeys(("fuel", "id", "price"), PAGES * ITEMS)
    assert facts.failed == {} and facts.layout
    assert set(site.asked().values()) == {1}, "a page was asked twice"
    assert told[-1].settled == told[-1].known == PAGES
    assert told[-1].rows == facts.rows and told[-1].sent_bytes == facts.sent_bytes
    assert found[0].values == {"id": "0", "price": 1001.0, "fuel": 0}
    assert found[0].collected_at == NOW


def test_an_unfinished_run_is_gone_on_with_and_a_finished_one_followed(site: Running, tmp_path: Path) -> None:
    config = source(site.base, cars=cars())
    first = run(config, tmp_path)
    again = run(config, tmp_path, asker=Nobody())
    assert (again.number, again.resumed, again.facts) == (first.number, True, first.facts)
    finish(tmp_path, first.number)
    second = run(config, tmp_path)
    assert (second.number, second.resumed) == (first.number + 1, False)
    (facts,) = second.facts
    assert (facts.unchanged, facts.rows, facts.sent_bytes) == (PAGES, PAGES * ITEMS, 0)
    assert facts.saved_bytes == first.facts[0].sent_bytes
    assert everything(tmp_path, 2, "cars") == everything(tmp_path, 1, "cars")


def test_equal_content_without_etags_is_unchanged_too(site: Running, tmp_path: Path) -> None:
    site.set(no_etags=1)
    config = source(site.base, cars=cars())
    finish(tmp_path, run(config, tmp_path).number)
    (facts,) = run(config, tmp_path).facts
    assert (facts.unchanged, facts.saved_bytes) == (PAGES, 0)
    assert facts.sent_bytes > 0


def test_a_stored_answer_that_was_damaged_is_asked_for_again(site: Running, tmp_path: Path) -> None:
    config = source(site.base, cars=cars())
    finish(tmp_path, run(config, tmp_path).number)
    before = everything(tmp_path, 1, "cars")
    torn, lost = sorted((tmp_path / "raw").glob("*/*.zst"))[:2]
    torn.write_bytes(torn.read_bytes()[:-20])
    lost.unlink()
    site.set()
    (facts,) = run(config, tmp_path).facts
    assert (facts.unchanged, facts.failed) == (PAGES - 2, {})
    assert sorted(site.asked().values()) == [1] * (PAGES - 2) + [2, 2]
    assert everything(tmp_path, 2, "cars") == before


def test_reading_once_more_needs_no_network_and_brings_the_same(site: Running, tmp_path: Path) -> None:
    config = source(site.base, cars=cars("id", "price"), events=events())
    done = run(config, tmp_path)
    before = {feed: everything(tmp_path, 1, feed) for feed in config["feeds"]}
    again = run(config, tmp_path, asker=Nobody(), reparse=True)
    assert again.facts == done.facts
    assert {feed: everything(tmp_path, 1, feed) for feed in config["feeds"]} == before
    finish(tmp_path, 1)
    more = source(site.base, cars=cars(), events=events())
    (facts, _) = run(more, tmp_path, asker=Nobody(), reparse=True).facts
    assert facts.filled["fuel"] == PAGES * ITEMS
    assert [{**values, "fuel": None} for values, _, _ in everything(tmp_path, 1, "cars")] == [
        {**values, "fuel": None} for values, _, _ in before["cars"]
    ]


def test_reading_once_more_says_what_is_no_longer_stored(site: Running, tmp_path: Path) -> None:
    config = source(site.base, cars=cars())
    run(config, tmp_path)
    next((tmp_path / "raw").glob("*/*.zst")).unlink()
    (facts,) = run(config, tmp_path, asker=Nobody(), reparse=True).facts
    assert facts.failed == {"not_stored": 1}
    assert facts.rows == (PAGES - 1) * ITEMS


def test_there_must_be_something_to_read_once_more(site: Running, tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="expected stored answers to read once more, found none"):
        run(source(site.base, cars=cars()), tmp_path, reparse=True)


def test_rules_that_change_before_a_run_is_gone_on_with_hold_for_all_of_it(
    site: Running, tmp_path: Path
) -> None:
    run(source(site.base, cars=cars("id", most_pages=20)), tmp_path)
    site.set()
    done = run(source(site.base, cars=cars("id", "price", most_pages=20)), tmp_path, asker=Nobody())
    assert done.facts[0].filled == {"id": 20 * ITEMS, "price": 20 * ITEMS}
    assert site.asked() == {}


def test_a_walk_that_changes_starts_anew(site: Running, tmp_path: Path) -> None:
    run(source(site.base, cars=cars(most_pages=20)), tmp_path)
    (facts,) = run(source(site.base, cars=cars()), tmp_path).facts
    assert (facts.requests, facts.failed, facts.unchanged) == (PAGES, {}, 20)


def test_failures_are_counted_and_the_others_go_on(site: Running, tmp_path: Path) -> None:
    site.set(broken="3,7,11")
    config = source(site.base, cars=cars())
    (facts,) = run(config, tmp_path).facts
    assert facts.failed == {"server_error": 3}
    assert facts.rows == (PAGES - 3) * ITEMS
    site.set()
    (mended,) = run(config, tmp_path).facts
    assert (mended.failed, mended.rows) == ({}, PAGES * ITEMS)
    assert set(site.asked()) == {"page-3", "page-7", "page-11"}


def test_a_first_request_that_fails_still_brings_facts(site: Running, tmp_path: Path) -> None:
    site.set(broken="1")
    (facts,) = run(source(site.base, cars=cars()), tmp_path).facts
    assert (facts.requests, facts.rows, facts.failed) == (1, 0, {"server_error": 1})


def test_an_unreadable_answer_is_stored_and_counted(site: Running, tmp_path: Path) -> None:
    site.set(broken="4")
    (facts,) = run(source(site.base, pages=counted(last=COUNTED)), tmp_path).facts
    assert (facts.requests, facts.failed, facts.rows) == (COUNTED, {"unreadable": 1}, 5 * (COUNTED - 1))
    assert len(list((tmp_path / "raw").glob("*/*.zst"))) == COUNTED


def test_an_endless_walk_stops_loudly(site: Running, tmp_path: Path) -> None:
    site.set(endless=1)
    (facts,) = run(source(site.base, cars=cars(most_pages=30)), tmp_path).facts
    assert facts.failed == {"endless": 1}
    assert facts.rows == 30 * ITEMS
    assert sum(site.asked().values()) == 30


@pytest.mark.parametrize(
    ("ending", "asked", "repeats"),
    [("empty", COUNTED + 1, 0), ("repeat", COUNTED + 1, 5), ("status", COUNTED + 1, 0)],
)
def test_counted_pages_end_where_the_site_does(
    site: Running, tmp_path: Path, ending: str, asked: int, repeats: int
) -> None:
    site.set(ending=ending)
    (facts,) = run(source(site.base, pages=counted()), tmp_path).facts
    assert sum(site.asked().values()) == asked
    assert (facts.failed, facts.rows - facts.repeats, facts.repeats) == ({}, 5 * COUNTED, repeats)


def test_full_and_refused_windows_are_split_until_every_event_came(site: Running, tmp_path: Path) -> None:
    done = run(source(site.base, events=events(days=40)), tmp_path)
    (facts,) = done.facts
    ids = [int(row.values["id"]) for row in rows(tmp_path, done.number, "events")]
    assert set(ids) == set(range(len(EVENTS)))
    assert facts.failed == {} and facts.repeats == len(ids) - len(EVENTS) < 100


def test_a_window_that_cannot_be_split_fails_loudly(site: Running, tmp_path: Path) -> None:
    until = (EVENTS[0] + timedelta(seconds=8)).isoformat()
    (facts,) = run(source(site.base, events=events(most_rows=1, until=until)), tmp_path).facts
    assert facts.failed == {"window_full": 1}


def test_later_collections_reach_back_from_the_newest_event(site: Running, tmp_path: Path) -> None:
    config = source(site.base, events=events(until=None, overlap_days=2))
    site.set(now=(NOW - timedelta(days=10)).isoformat()[:19])
    finish(tmp_path, run(config, tmp_path).number)
    site.set()
    later = NOW + timedelta(days=5)
    second = run(config, tmp_path, later)
    times = [row.values["time"] for row in rows(tmp_path, second.number, "events")]
    assert min(times) >= (NOW - timedelta(days=12, hours=1)).isoformat()
    seen = {row.values["id"] for n in (1, 2) for row in rows(tmp_path, n, "events")}
    assert seen == {str(n) for n, time in enumerate(EVENTS) if time <= later}


def test_a_collection_that_was_not_good_moves_nothing_forward(site: Running, tmp_path: Path) -> None:
    config = source(site.base, events=events(until=None))
    first = run(config, tmp_path)
    finish(tmp_path, first.number, good=False)
    second = run(config, tmp_path)
    assert second.number == first.number + 1
    assert everything(tmp_path, 2, "events") == everything(tmp_path, 1, "events")


def test_a_window_that_failed_is_asked_for_by_the_next_collection(site: Running, tmp_path: Path) -> None:
    config = source(site.base, events=events(until=None, overlap_days=0.5))
    site.set(refused_start="2024-01-16T00:00:00")
    (facts,) = (done := run(config, tmp_path)).facts
    assert facts.failed == {"denied": 1}
    finish(tmp_path, done.number)
    site.set()
    run(config, tmp_path)
    assert min(moments(site)) == "2024-01-15T12:00:00"
    seen = {row.values["id"] for n in (1, 2) for row in rows(tmp_path, n, "events")}
    assert seen == {str(n) for n, time in enumerate(EVENTS) if time <= NOW}


def test_revisions_are_asked_for_only_after_a_collection_without_a_failure(
    site: Running, tmp_path: Path
) -> None:
    config = source(site.base, events=events(until=None, updated="&updatedafter={since}"))
    site.set(refused_start="2024-01-16T00:00:00")
    finish(tmp_path, run(config, tmp_path).number)
    site.set()
    run(config, tmp_path)
    assert min(moments(site)) == EVENTS[0].isoformat()[:19]
    assert not any("updatedafter" in asked for asked in site.asked())


def moments(site: Running) -> list[str]:
    """The starts of the windows that the site was asked for."""
    return [parse_qs(asked.removeprefix("events "))["start"][0] for asked in site.asked()]


def test_later_collections_ask_for_revised_records_alone(site: Running, tmp_path: Path) -> None:
    config = source(site.base, events=events(until=None, updated="&updatedafter={since}"))
    finish(tmp_path, run(config, tmp_path).number)
    site.set()
    second = run(config, tmp_path, NOW + timedelta(days=1))
    ids = {int(row.values["id"]) for row in rows(tmp_path, second.number, "events")}
    assert ids == set(range(0, sum(time <= NOW + timedelta(days=1) for time in EVENTS), 100))
    since = (NOW - timedelta(hours=1)).isoformat()[:19]
    assert all(f"updatedafter={since}" in asked for asked in site.asked())


def test_a_stand_in_answers_for_the_real_address(site: Running, tmp_path: Path) -> None:
    config = source("https://cars.invalid", cars=cars()) | {"base_url": site.base}
    (facts,) = run(config, tmp_path).facts
    assert (facts.failed, facts.rows) == ({}, PAGES * ITEMS)


def test_files_are_read_like_answers(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("id,load\n3,30\n4,40\n")
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write("id,load\n1,10\n2,20\n")
    os.utime(tmp_path / "b.csv", (NOW.timestamp(), NOW.timestamp()))
    feed = {
        "walk": {"kind": "files", "paths": [f"{tmp_path}/a.csv*", f"{tmp_path}/b.csv"]},
        "read": {"kind": "csv"},
        "fields": {"id": {"column": "id"}, "load": {"column": "load", "parse": "number"}},
        "key": ["id"],
    }
    config = {"kind": "web", "feeds": {"load": feed}}
    folder = tmp_path / "state"
    done = run(config, folder)
    found = list(rows(folder, done.number, "load"))
    assert [row.values["load"] for row in found] == [10.0, 20.0, 30.0, 40.0]
    assert found[-1].collected_at == NOW
    assert found[-1].url == (tmp_path / "b.csv").as_uri()
    finish(folder, done.number)
    (tmp_path / "b.csv").write_text("id,load\n3,31\n")
    (facts,) = run(config, folder).facts
    assert (facts.requests, facts.unchanged, facts.rows) == (2, 1, 3)
    (tmp_path / "b.csv").unlink()
    finish(folder, 2)
    with pytest.raises(SourceError, match=r"b\.csv: found no such file"):
        run(config, folder)


def test_a_recording_answers_without_the_site(site: Running, tmp_path: Path) -> None:
    config = source(site.base, cars=cars(), events=events(until=None), pages=counted())
    site.set(broken="5", ending="status")
    parsed = WebSource.model_validate(config)
    with asking(parsed, tmp_path / "a", {"record": str(tmp_path / "tape")}, lambda: NOW) as recorder:
        recorded = run(config, tmp_path / "a", asker=recorder)
    site.set()
    later = NOW + timedelta(days=100)
    with asking(parsed, tmp_path / "b", {"replay": str(tmp_path / "tape")}, lambda: later) as replay:
        again = run(config, tmp_path / "b", later, asker=replay)
    assert site.asked() == {}
    assert again.facts == recorded.facts
    assert recorded.facts[0].failed == {"server_error": 1}
    for feed in config["feeds"]:
        assert list(rows(tmp_path / "b", 1, feed)) == list(rows(tmp_path / "a", 1, feed))
    assert replay is not None
    with pytest.raises(FetchError, match="expected a recorded answer") as caught:
        asyncio.run(replay.get(Request(f"{site.base}/other")))
    assert caught.value.outcome == "not_recorded"


def test_a_folder_without_a_recording_is_refused(tmp_path: Path) -> None:
    config = WebSource.model_validate(source("http://a.invalid", cars=cars()))
    with (
        pytest.raises(SourceError, match="expected a recording, found none"),
        asking(config, tmp_path, {"replay": str(tmp_path)}, lambda: NOW),
    ):
        raise AssertionError


def test_secrets_are_sent_and_never_stored(
    site: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARS_KEY", "do-not-tell")
    seen: list[str] = []

    class Listening:
        async def get(self, request: Request) -> Answer:
            seen.append(request.headers["Authorization"])
            raise FetchError(request.url, "denied", "status 401", "check the headers")

    config = source(site.base, cars=cars() | {"headers": {"Authorization": "env:CARS_KEY"}})
    run(config, tmp_path, asker=Listening())
    assert seen == ["do-not-tell"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and all(b"do-not-tell" not in path.read_bytes() for path in files)


def test_rows_of_an_older_or_unknown_run_are_refused(site: Running, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected a frontier, found none"):
        list(rows(tmp_path, 1, "cars"))
    config = source(site.base, pages=counted())
    for _ in range(3):
        finish(tmp_path, run(config, tmp_path).number)
    assert list(rows(tmp_path, 2, "pages"))
    for number in (0, 1, 4):
        with pytest.raises(StoreError, match="expected one of the last two runs"):
            list(rows(tmp_path, number, "pages"))


def test_facts_of_feeds_do_not_mix(site: Running, tmp_path: Path) -> None:
    config = source(site.base, cars=cars(), pages=counted())
    both = {facts.feed: facts for facts in run(config, tmp_path / "both").facts}
    for name, feed in config["feeds"].items():
        (alone,) = run(
            source(site.base, **{name: {k: v for k, v in feed.items() if k != "base_url"}}), tmp_path / name
        ).facts
        assert json.loads(alone.model_dump_json()) == json.loads(both[name].model_dump_json())
