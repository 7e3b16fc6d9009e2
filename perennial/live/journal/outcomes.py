"""Predictions beside what really happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from perennial.live.journal.entry import microseconds, moment_of
from perennial.live.journal.store import Store
from perennial.live.journal.tables import WITHDRAWN, tables

if TYPE_CHECKING:
    import sqlalchemy as sa

AT_ONCE = 2_000


@dataclass(frozen=True)
class Outcome:
    """One prediction with its newest truth.

    `inputs` and `output` are JSON values, times are UTC; the other fields are those of an `Entry`. `truth`,
    `truth_source` and `truth_known_at` are None where nobody has said yet what happened, or took it back.
    """

    prediction_id: str
    arm: str
    time: datetime
    model_version: str
    inputs: Any
    output: Any
    latency_s: float
    flag: str
    quality: str
    request_id: str
    row: int
    unit: str
    about: str | None
    truth: float | str | bool | None
    truth_source: str | None
    truth_known_at: datetime | None


def outcomes(store: Store, since: datetime, until: datetime, source: str | None = None) -> Iterator[Outcome]:
    """The predictions made from `since` until just before `until`, oldest first, in bounded memory.

    Of all truth of a prediction, by its id or by its time and key, what was known last counts; of several known at
    the same time, what was recorded last. What a source has withdrawn counts no more, and that of others does. With
    `source` only that source is asked.

    Raises:
        JournalError: the journal cannot be read.
    """
    with store.connection() as connection:
        query = _joined(store.system, microseconds(since), microseconds(until), source)
        result = connection.execution_options(yield_per=AT_ONCE).execute(query)
        for row in result:
            yield _outcome(row)


def _joined(system: str, since_us: int, until_us: int, source: str | None) -> sa.Select[Any]:
    import sqlalchemy as sa

    p, t = tables()
    known = sa.union_all(
        *(_known(t.alias(), p, name, source) for name in ("prediction_id", "about"))
    ).subquery()
    newest = sa.select(known.c.seq).order_by(known.c.known_us.desc(), known.c.seq.desc()).limit(1)
    return (
        sa.select(p, t.c.value, t.c.source, t.c.known_us)
        .select_from(p.outerjoin(t, t.c.seq == newest.scalar_subquery()))
        .where(p.c.system == system, p.c.time_us >= since_us, p.c.time_us < until_us)
        .order_by(p.c.time_us, p.c.prediction_id, p.c.arm)
    )


def _known(truth: sa.FromClause, p: sa.Table, name: str, source: str | None) -> sa.Select[Any]:
    """The truth of a prediction by one column: each has its index, which an OR over both would not use."""
    import sqlalchemy as sa

    found = sa.select(truth.c.seq, truth.c.known_us).where(
        truth.c.system == p.c.system, truth.c[name] == p.c[name], stands(truth, name)
    )
    return (found if source is None else found.where(truth.c.source == source)).correlate(p)


def stands(truth: sa.FromClause, name: str) -> sa.ColumnElement[bool]:
    """Whether a row of truth holds a value that its source has not withdrawn since, of the target in `name`."""
    import sqlalchemy as sa

    later = tables().truth.alias()
    withdrawn = sa.exists().where(
        later.c.system == truth.c.system,
        later.c[name] == truth.c[name],
        later.c.source == truth.c.source,
        later.c.value == WITHDRAWN,
        sa.tuple_(later.c.known_us, later.c.seq) > sa.tuple_(truth.c.known_us, truth.c.seq),
    )
    return sa.and_(truth.c.value != WITHDRAWN, ~withdrawn.correlate(truth))


def _outcome(row: sa.Row[Any]) -> Outcome:
    named = dict(row._mapping)
    del named["system"]
    value, source, known_us = (named.pop(name) for name in ("value", "source", "known_us"))
    return Outcome(
        time=moment_of(named.pop("time_us")),
        inputs=json.loads(named.pop("inputs")),
        output=json.loads(named.pop("output")),
        truth=None if value is None else json.loads(value),
        truth_source=source,
        truth_known_at=None if known_us is None else moment_of(known_us),
        **named,
    )
