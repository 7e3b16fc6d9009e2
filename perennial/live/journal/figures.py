"""What a journal holds, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from perennial.live.journal.entry import moment_of
from perennial.live.journal.outcomes import stands
from perennial.live.journal.store import Store
from perennial.live.journal.tables import tables


@dataclass(frozen=True)
class Figures:
    """One system's journal.

    Attributes:
        predictions: rows, of all arms.
        bytes: what predictions and truth take.
        first: when the oldest prediction was answered, UTC; None where there is none.
        last: when the newest was.
        joined: predictions whose truth is known, and not withdrawn.
        truth: rows of truth, all revisions.
        pending: of these, rows that no prediction has met so far.
    """

    predictions: int
    bytes: int
    first: datetime | None
    last: datetime | None
    joined: int
    truth: int
    pending: int


def figures(store: Store) -> Figures:
    """The figures of a system's journal; reads all of it. Raises JournalError."""
    import sqlalchemy as sa

    p, t = tables()
    met = sa.and_(
        t.c.system == p.c.system, sa.or_(t.c.prediction_id == p.c.prediction_id, t.c.about == p.c.about)
    )
    count, own = sa.func.count(), p.c.system == store.system
    span = sa.select(count, sa.func.min(p.c.time_us), sa.func.max(p.c.time_us)).where(own)
    known = sa.or_(
        sa.and_(t.c.prediction_id == p.c.prediction_id, stands(t, "prediction_id")),
        sa.and_(t.c.about == p.c.about, stands(t, "about")),
    )
    joined = sa.select(count).where(own, sa.exists().where(t.c.system == p.c.system, known))
    told = sa.select(count).where(t.c.system == store.system)
    with store.connection() as connection:
        rows, first, last = connection.execute(span).one()
        has_truth = int(connection.execute(joined.select_from(p)).scalar_one())
        truth = int(connection.execute(told).scalar_one())
        pending = int(connection.execute(told.where(~sa.exists().where(met))).scalar_one())
    return Figures(
        predictions=int(rows),
        bytes=store.size_bytes(),
        first=None if first is None else moment_of(first),
        last=None if last is None else moment_of(last),
        joined=has_truth,
        truth=truth,
        pending=pending,
    )
