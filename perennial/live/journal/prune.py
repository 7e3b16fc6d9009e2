"""Retention: old predictions and their truth go, oldest first, a few at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from perennial.live.journal.entry import microseconds
from perennial.live.journal.store import Store
from perennial.live.journal.tables import tables

if TYPE_CHECKING:
    import sqlalchemy as sa

BATCH = 2_000


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
) -> Pruned:
    """Delete the oldest predictions until every given limit holds, and truth that has no prediction any more.

    Every batch is a short transaction of its own, so that writers wait for one batch at most. Truth that waits for
    its prediction goes by its own age: when it was recorded before the age limit, or before the oldest prediction
    that is kept.

    Args:
        store: the journal.
        now: ages count from here.
        max_age_days: predictions older than this go.
        max_rows: so many predictions may stay.
        max_mb: so many megabytes (10**6 bytes) may be in use; the rows to delete come from the mean row.
        batch: rows of one transaction.

    Raises:
        JournalError: the journal cannot be written.
    """
    import sqlalchemy as sa

    cutoff = None if max_age_days is None else microseconds(now - timedelta(days=max_age_days))
    p = tables().predictions
    gone = 0
    if cutoff is not None:
        gone += _delete_oldest(store, batch, sa.and_(p.c.system == store.system, p.c.time_us < cutoff), None)
    surplus = max(_above(store, max_rows), _above_size(store, max_mb))
    gone += _delete_oldest(store, batch, p.c.system == store.system, surplus)
    truth = _delete_truth(store, batch, cutoff)
    if gone or truth:
        store.give_back()
    return Pruned(gone, truth)


def _count(store: Store) -> int:
    import sqlalchemy as sa

    p = tables().predictions
    with store.connection() as connection:
        query = sa.select(sa.func.count()).where(p.c.system == store.system)
        return int(connection.execute(query).scalar_one())


def _above(store: Store, max_rows: int | None) -> int:
    return 0 if max_rows is None else max(0, _count(store) - max_rows)


def _above_size(store: Store, max_mb: float | None) -> int:
    """How many rows of the mean size lie above the limit, rounded up."""
    if max_mb is None:
        return 0
    used, rows = store.size_bytes(), _count(store)
    excess = used - max_mb * 1e6
    return 0 if excess <= 0 or not rows else min(rows, int(excess / (used / rows)) + 1)


def _delete_oldest(store: Store, batch: int, which: sa.ColumnElement[bool], at_most: int | None) -> int:
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
        with store.connection(write=True) as connection:
            deleted = connection.execute(sa.delete(p).where(key.in_(oldest))).rowcount
        gone += deleted
        if deleted < size:
            break
    return gone


def _delete_truth(store: Store, batch: int, cutoff: int | None) -> int:
    import sqlalchemy as sa

    p, t = tables()
    with store.connection() as connection:
        oldest = connection.execute(
            sa.select(sa.func.min(p.c.time_us)).where(p.c.system == store.system)
        ).scalar_one()
    limits = [limit for limit in (cutoff, oldest) if limit is not None]
    if not limits:
        return 0
    same = sa.and_(
        p.c.system == t.c.system, sa.or_(p.c.prediction_id == t.c.prediction_id, p.c.about == t.c.about)
    )
    chosen = (
        sa.select(t.c.seq)
        .where(t.c.system == store.system, t.c.recorded_us < max(limits), ~sa.exists().where(same))
        .limit(batch)
    )
    gone, deleted = 0, batch
    while deleted == batch:
        with store.connection(write=True) as connection:
            result: sa.CursorResult[Any] = connection.execute(sa.delete(t).where(t.c.seq.in_(chosen)))
            deleted = result.rowcount
        gone += deleted
    return gone
