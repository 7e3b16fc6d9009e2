"""Retention: old predictions and their truth go, oldest first, a few at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from perennial.live.journal.entry import microseconds
from perennial.live.journal.store import Store
from perennial.live.journal.tables import tables

if TYPE_CHECKING:
    import sqlalchemy as sa

BATCH = 500


@dataclass(frozen=True)
class Pruned:
    """How many rows went."""

    predictions: int
    truth: int


def prune(
    store: Store,
    now: datetime,
    max_age_days: float | None = None,
    max_rows: int | None = None,
    max_mb: float | None = None,
    batch: int = BATCH,
    rest: Callable[[float], object] = time.sleep,
) -> Pruned:
    """Delete the oldest predictions until every given limit holds, and truth that has no prediction any more.

    Every batch is a short transaction of its own, behind which the writers have as much time for theirs. Truth
    without a prediction goes when it was recorded before the age limit; where predictions went because of another
    limit, also when it was recorded before the oldest one that is kept.

    Args:
        store: the journal.
        now: ages count from here.
        max_age_days: predictions older than this go.
        max_rows: so many predictions may stay.
        max_mb: so many megabytes (10**6 bytes) may be in use; the rows to delete come from the mean row.
        batch: rows of one transaction.
        rest: waits so many seconds between two batches; what it raises ends the pruning.

    Raises:
        JournalError: the journal cannot be written.
    """
    import sqlalchemy as sa

    cutoff = None if max_age_days is None else microseconds(now - timedelta(days=max_age_days))
    p = tables().predictions
    of_system = p.c.system == store.system
    gone = 0
    if cutoff is not None:
        gone += _delete_oldest(store, batch, sa.and_(of_system, p.c.time_us < cutoff), None, rest)
    truth = _delete_truth(store, batch, cutoff, rest)
    while beyond := max(_above(store, max_rows), _above_size(store, max_mb)):
        deleted = _delete_oldest(store, batch, of_system, beyond, rest)
        gone += deleted
        truth += _delete_truth(store, batch, _oldest(store), rest)
        if not deleted:
            break
    if gone or truth:
        store.give_back()
    return Pruned(gone, truth)


def surplus(
    store: Store, now: datetime, max_age_days: float | None = None, max_mb: float | None = None
) -> int:
    """How many predictions `prune` would delete under the same limits; raises JournalError."""
    p = tables().predictions
    old = 0
    if max_age_days is not None:
        old = _count(store, p.c.time_us < microseconds(now - timedelta(days=max_age_days)))
    return max(old, _above_size(store, max_mb))


def _count(store: Store, *which: sa.ColumnElement[bool]) -> int:
    import sqlalchemy as sa

    p = tables().predictions
    with store.connection() as connection:
        query = sa.select(sa.func.count()).where(p.c.system == store.system, *which)
        return int(connection.execute(query).scalar_one())


def _above(store: Store, max_rows: int | None) -> int:
    return 0 if max_rows is None else max(0, _count(store) - max_rows)


def _above_size(store: Store, max_mb: float | None) -> int:
    """How many rows of the mean size lie above the limit, rounded up."""
    if max_mb is None:
        return 0
    excess = store.size_bytes() - max_mb * 1e6
    rows = _count(store) if excess > 0 else 0
    return min(rows, int(excess / ((excess + max_mb * 1e6) / rows)) + 1) if rows else 0


def _delete_oldest(
    store: Store,
    batch: int,
    which: sa.ColumnElement[bool],
    at_most: int | None,
    rest: Callable[[float], object],
) -> int:
    """Delete up to `at_most` predictions (None: all) that fit, oldest first; returns how many."""
    import sqlalchemy as sa

    p = tables().predictions
    key = sa.tuple_(p.c.system, p.c.prediction_id, p.c.arm)
    gone = 0
    while at_most is None or gone < at_most:
        size = batch if at_most is None else min(batch, at_most - gone)
        oldest = (
            sa.select(p.c.system, p.c.prediction_id, p.c.arm).where(which).order_by(p.c.time_us).limit(size)
        )
        with _batch(store, rest) as connection:
            deleted = connection.execute(sa.delete(p).where(key.in_(oldest))).rowcount
        gone += deleted
        if deleted < size:
            break
    return gone


def _oldest(store: Store) -> int | None:
    """When the oldest prediction was answered, in microseconds; None where there is none."""
    import sqlalchemy as sa

    p = tables().predictions
    with store.connection() as connection:
        query = sa.select(sa.func.min(p.c.time_us)).where(p.c.system == store.system)
        found: int | None = connection.execute(query).scalar_one()
    return found


def _delete_truth(store: Store, batch: int, limit: int | None, rest: Callable[[float], object]) -> int:
    """Delete truth without a prediction that was recorded before `limit`; returns how many.

    It was recorded in the order of `seq`, so that the search ends at the first stretch that is younger.
    """
    import sqlalchemy as sa

    p, t = tables()
    same = sa.and_(
        p.c.system == t.c.system, sa.or_(p.c.prediction_id == t.c.prediction_id, p.c.about == t.c.about)
    )
    gone, last = 0, -1
    while limit is not None:
        stretch = (
            sa.select(t.c.seq, t.c.recorded_us)
            .where(t.c.system == store.system, t.c.seq > last)
            .order_by(t.c.seq)
            .limit(batch)
        )
        with store.connection() as connection:
            found = connection.execute(stretch).all()
        old = [seq for seq, recorded_us in found if recorded_us < limit]
        if not old:
            break
        last = found[-1].seq
        with _batch(store, rest) as connection:
            chosen = sa.delete(t).where(t.c.seq.in_(old), ~sa.exists().where(same))
            result: sa.CursorResult[Any] = connection.execute(chosen)
            gone += result.rowcount
    return gone


@contextmanager
def _batch(store: Store, rest: Callable[[float], object]) -> Iterator[sa.Connection]:
    """A transaction that deletes, and a pause of the same length behind it."""
    with store.connection(write=True, in_turn=True) as connection:
        began = time.perf_counter()
        yield connection
    rest(time.perf_counter() - began)
