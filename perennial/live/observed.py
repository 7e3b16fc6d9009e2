"""What callers observed of a system's feeds, kept beside the journal: every revision, shared by all workers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from perennial.live.journal.entry import microseconds, moment_of
from perennial.live.journal.store import Store

if TYPE_CHECKING:
    import sqlalchemy as sa

CHUNK = 500
ONE_TICK = 1  # microsecond


@dataclass(frozen=True)
class Observation:
    """One row of a feed.

    Attributes:
        feed: the feed.
        key: what makes two rows the same record.
        event_time: when it happened.
        available_at: when it could be known.
        collected_at: when it was received.
        values: the feed's fields as JSON values.
    """

    feed: str
    key: str
    event_time: datetime
    available_at: datetime
    collected_at: datetime
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """What became of observations, in rows."""

    new: int
    revised: int
    repeated: int


@cache
def table() -> sa.Table:
    """The table of observations; SQLAlchemy is first imported here."""
    import sqlalchemy as sa

    observed = sa.Table(
        "perennial_observed",
        sa.MetaData(),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("system", "feed", "key", "content")),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("event_us", "available_us", "collected_us")
        ),
    )
    c = observed.c
    sa.Index("perennial_observed_revision", c.system, c.feed, c.key, c.available_us, unique=True)
    sa.Index("perennial_observed_time", c.system, c.event_us)
    return observed


def keep(store: Store, rows: Sequence[Observation], oldest: datetime) -> Kept:
    """Add observations to the store, all or none; on disk when this returns.

    A row that says what the newest revision of its key says is a repetition and changes nothing; any other is a
    revision, available later than the one before it (see `perennial.data.revisions`). What happened before
    `oldest` is deleted.

    Raises:
        JournalError: the store cannot be written.
    """
    new = revised = 0
    with store.connection(write=True) as connection:
        _make(connection)
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            newest = _newest(connection, store.system, chunk)
            fresh: list[dict[str, Any]] = []
            for row in chunk:
                content = json.dumps(row.values, sort_keys=True, separators=(",", ":"))
                before = newest.get((row.feed, row.key))
                if before is not None and before[1] == content:
                    continue
                new, revised = new + (before is None), revised + (before is not None)
                available_us, collected_us = microseconds(row.available_at), microseconds(row.collected_at)
                if before is not None and available_us <= before[0]:
                    available_us = max(collected_us, before[0] + ONE_TICK)
                newest[row.feed, row.key] = available_us, content
                fresh.append(
                    {
                        "system": store.system,
                        "feed": row.feed,
                        "key": row.key,
                        "content": content,
                        "event_us": microseconds(row.event_time),
                        "available_us": available_us,
                        "collected_us": collected_us,
                    }
                )
            if fresh:
                connection.execute(table().insert(), fresh)
        c = table().c
        connection.execute(
            table().delete().where(c.system == store.system, c.event_us < microseconds(oldest))
        )
    return Kept(new, revised, len(rows) - new - revised)


def kept(store: Store, since: datetime, until: datetime) -> list[Observation]:
    """Every revision of what happened from `since` on and was available at `until`, in the order of arrival.

    Raises:
        JournalError: the store cannot be read.
    """
    import sqlalchemy as sa

    t = table()
    query = (
        sa.select(t.c.feed, t.c.key, t.c.event_us, t.c.available_us, t.c.collected_us, t.c.content)
        .where(
            t.c.system == store.system,
            t.c.event_us >= microseconds(since),
            t.c.available_us <= microseconds(until),
        )
        .order_by(t.c.seq)
    )
    with store.connection() as connection:
        if not sa.inspect(connection).has_table(t.name):
            return []
        found = connection.execute(query).all()
    return [
        Observation(
            feed,
            key,
            moment_of(event_us),
            moment_of(available_us),
            moment_of(collected_us),
            json.loads(content),
        )
        for feed, key, event_us, available_us, collected_us, content in found
    ]


def _make(connection: sa.Connection) -> None:
    """Make the table where it is missing."""
    from sqlalchemy.schema import CreateIndex, CreateTable

    connection.execute(CreateTable(table(), if_not_exists=True))
    for index in sorted(table().indexes, key=lambda one: str(one.name)):
        connection.execute(CreateIndex(index, if_not_exists=True))


def _newest(
    connection: sa.Connection, system: str, chunk: Sequence[Observation]
) -> dict[tuple[str, str], tuple[int, str]]:
    """The newest revision of the records of a chunk, as when it was available and its content."""
    import sqlalchemy as sa

    c = table().c
    query = (
        sa.select(c.feed, c.key, c.available_us, c.content)
        .where(
            c.system == system,
            c.feed.in_(sorted({row.feed for row in chunk})),
            c.key.in_(sorted({row.key for row in chunk})),
        )
        .order_by(c.available_us)
    )
    found = connection.execute(query)
    return {(feed, key): (available_us, content) for feed, key, available_us, content in found}
