"""What a run brought: the facts of a feed, how far its walk came, and its rows in an order that never varies."""

from __future__ import annotations

import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

import msgspec

from perennial.config_web import Feed, WindowsWalk
from perennial.data.answer import CollectedRow
from perennial.data.crawl.reading import Counts, unpacked
from perennial.data.crawl.requests import FILE, Run
from perennial.data.crawl.walk import Reached, Step, span
from perennial.errors import StoreError
from perennial.evidence import FeedFacts

KEYS_AT_ONCE = 500_000


def facts(db: sqlite3.Connection, run: int, name: str, walk: str) -> FeedFacts:
    """What the run brought of one feed, whose walk has the digest `walk`.

    Requests that are still pending count as failed: not_stored.
    """
    chosen = (run, name)
    requests, unchanged, sent, saved, rows = db.execute(
        "SELECT count(*), coalesce(sum(unchanged), 0), coalesce(sum(sent_bytes), 0), "
        "coalesce(sum(saved_bytes), 0), coalesce(sum(row_count), 0) FROM requests WHERE run = ? AND feed = ?",
        chosen,
    ).fetchone()
    failed = dict(
        db.execute(
            "SELECT CASE state WHEN 'failed' THEN outcome ELSE 'not_stored' END, count(*) FROM requests "
            "WHERE run = ? AND feed = ? AND state != 'done' GROUP BY 1 ORDER BY 1",
            chosen,
        )
    )
    rejected, layouts = 0, Counter[str]()
    hits, filled, unreadable, out_of_range = (Counter[str]() for _ in range(4))
    query = "SELECT counts FROM requests WHERE run = ? AND feed = ? AND counts IS NOT NULL"
    for (text,) in db.execute(query, chosen):
        counts = msgspec.json.decode(text, type=Counts)
        rejected += counts.rejected
        layouts[counts.layout] += 1
        hits.update(counts.hits)
        filled.update(counts.filled)
        unreadable.update(counts.unreadable)
        out_of_range.update(counts.out_of_range)
    return FeedFacts(
        feed=name,
        requests=requests,
        unchanged=unchanged,
        failed=failed,
        sent_bytes=sent,
        saved_bytes=saved,
        rows=rows,
        rejected=rejected,
        repeats=rows - _distinct_keys(db, chosen, rows),
        partial=_is_partial(db, run, name, walk),
        layout=min(layouts, key=lambda layout: (-layouts[layout], layout), default=""),
        hits=_sorted(hits),
        filled=_sorted(filled),
        unreadable=_sorted(unreadable),
        out_of_range=_sorted(out_of_range),
    )


def reached_before(db: sqlite3.Connection, name: str, walk: str) -> Reached:
    """How far good collections of the feed came by a walk with this digest."""
    found = db.execute(
        "SELECT f.newest, f.asked_at FROM feeds f JOIN runs r ON r.number = f.run "
        "WHERE f.feed = ? AND f.walk = ? AND r.good ORDER BY f.run DESC LIMIT 1",
        (name, walk),
    ).fetchone()
    return Reached(*(datetime.fromisoformat(text) if text else None for text in found or (None, None)))


def _is_partial(db: sqlite3.Connection, run: int, name: str, walk: str) -> bool:
    """Whether a walk over time went on from where an earlier good run of it came, and asked for less than all."""
    found = db.execute(
        "SELECT 1 FROM feeds f JOIN runs r ON r.number = f.run "
        "WHERE f.feed = ? AND f.walk = ? AND r.good AND f.run < ? AND f.newest IS NOT NULL",
        (name, walk, run),
    ).fetchone()
    return found is not None


def reached(db: sqlite3.Connection, run: Run, name: str, feed: Feed, before: Reached) -> Reached:
    """How far a run came: not past a window that failed, and not past its own start."""
    if not isinstance(feed.walk, WindowsWalk):
        return before
    chosen = (run.number, name)
    holes = [
        span(Step("", mark))[0]
        for (mark,) in db.execute(
            "SELECT mark FROM requests WHERE run = ? AND feed = ? AND state != 'done'", chosen
        )
    ]
    if feed.event_time:
        query = "SELECT max(newest) FROM requests WHERE run = ? AND feed = ? AND newest != ''"
        (text,) = db.execute(query, chosen).fetchone()
        ends = [datetime.fromisoformat(text)] if text else []
    else:
        query = "SELECT mark FROM requests WHERE run = ? AND feed = ? AND state = 'done'"
        ends = [span(Step("", mark))[1] for (mark,) in db.execute(query, chosen)]
    ends = [min(end, run.started_at) for end in ends] + ([before.newest] if before.newest else [])
    newest = min([max(ends), *holes]) if ends else None
    return Reached(newest, before.asked_at if holes else run.started_at)


def rows(folder: Path, number: int, feed: str) -> Iterator[CollectedRow]:
    """The rows of one feed of a run, in the order in which a walk with one request at a time finds them.

    Raises:
        StoreError: where the folder has no such run, or its rows were dropped for those of later runs.
    """
    path = folder / FILE
    if not path.exists():
        raise StoreError(path, "expected a frontier, found none", "collect first")
    with closing(sqlite3.connect(path, timeout=60)) as db:
        newest = db.execute("SELECT max(number) FROM runs").fetchone()[0] or 0
        if not newest - 1 <= number <= newest or number < 1:
            found = f"expected one of the last two runs, found {number} of {newest}"
            raise StoreError(path, found, "collect again, or read the dataset instead")
        for request in _order(db, number, feed):
            url, raw, moment, body = db.execute(
                "SELECT q.url, q.digest, q.received_at, r.body FROM requests q JOIN rows r ON r.request = q.id "
                "WHERE q.id = ?",
                (request,),
            ).fetchone()
            collected_at = datetime.fromisoformat(moment)
            for values in unpacked(body):
                yield CollectedRow(feed, values, url, raw, collected_at)


def _order(db: sqlite3.Connection, number: int, feed: str) -> Sequence[int]:
    """The requests with rows, breadth first from the first steps of the walk along what each led to.

    Ids alone would depend on which of several answers under way came first.
    """
    led_to: dict[int, list[int]] = {}
    order: dict[int, None] = {}
    with_rows: set[int] = set()
    for request, first, ahead, count in db.execute(
        "SELECT id, first, led_to, row_count FROM requests WHERE run = ? AND feed = ? ORDER BY id",
        (number, feed),
    ):
        if ahead is not None:
            led_to[request] = msgspec.json.decode(ahead)
        if first:
            order[request] = None
        if count:
            with_rows.add(request)
    layer = list(order)
    while layer:
        following: list[int] = []
        for request in layer:
            for found in led_to.get(request, ()):
                if found not in order:
                    order[found] = None
                    following.append(found)
        layer = following
    return [request for request in (*order, *sorted(with_rows - order.keys())) if request in with_rows]


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _distinct_keys(db: sqlite3.Connection, chosen: tuple[int, str], row_count: int) -> int:
    """How many different keys the rows have; counted in parts, so that memory stays flat."""
    parts = 1 + row_count // KEYS_AT_ONCE
    query = "SELECT k.keys FROM rows k JOIN requests r ON r.id = k.request WHERE r.run = ? AND r.feed = ?"
    total = 0
    for part in range(parts):
        seen: set[int] = set()
        for (keys,) in db.execute(query, chosen):
            numbers = array("Q", keys)
            seen.update(numbers if parts == 1 else (n for n in numbers if n % parts == part))
        total += len(seen)
    return total
