"""One review at a time: what a page writes, where two people may look at the same score."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from perennial.live.scoring.database import make_table, told
from perennial.live.scoring.reviews import KEY, Review, Reviewed, review_row, reviewed, reviews_table


@dataclass(frozen=True)
class Said:
    """A review that is kept: who made it, and when (as the database has it, ISO 8601 in UTC)."""

    review: Review
    reviewer: str
    reviewed_at: str

    @property
    def truth(self) -> Reviewed:
        """What it says really holds; without a value where it says that nobody knows."""
        at = datetime.fromisoformat(self.reviewed_at)
        return reviewed(self.review.key, self.review.scored_at, self.review.truth, at)


def say(
    engine: sa.Engine,
    system: str,
    stock: str,
    review: Review,
    reviewer: str,
    now: datetime,
    over: Said | None = None,
) -> Said:
    """Write a review over the one that its reviewer saw (None: over none); returns what is kept now.

    Where somebody else was first, theirs is kept and returned: nobody's review is lost unseen. The same review by
    the same person again changes nothing. One of a score that the row had before it was scored anew gives way. Raises
    DatabaseError.
    """
    table, row = reviews_table(), review_row(system, stock, review, reviewer, now)
    make_table(engine, table)
    mine = [table.c[name] == row[name] for name in KEY]
    with told(engine, "keeping a review", "try again"):
        if over is None:
            try:
                with engine.begin() as connection:
                    connection.execute(sa.insert(table).values(row))
            except sa.exc.IntegrityError:  # somebody was first, and is told of below
                other = table.c.predicted.is_distinct_from(row["predicted"])
                former = [*mine, table.c.scored_at < row["scored_at"], other]
                with engine.begin() as connection:
                    connection.execute(sa.update(table).where(*former).values(row))
        else:
            seen = [table.c.reviewed_at == over.reviewed_at, table.c.reviewer == over.reviewer]
            with engine.begin() as connection:
                connection.execute(sa.update(table).where(*mine, *seen).values(row))
        with engine.connect() as connection:
            return _said(connection.execute(sa.select(table).where(*mine)).one())


def newest(engine: sa.Engine, system: str, stock: str, most: int) -> list[Said]:
    """The newest reviews first, up to `most` of them; raises DatabaseError."""
    table = reviews_table()
    with told(engine, "reading reviews"), engine.connect() as connection:
        if not sa.inspect(connection).has_table(table.name):
            return []
        query = sa.select(table).where(table.c.system == system, table.c.stock == stock)
        rows = connection.execute(query.order_by(table.c.reviewed_at.desc(), table.c.key).limit(most)).all()
    return [_said(row) for row in rows]


def _said(row: sa.Row[Any]) -> Said:
    def value(text: str | None) -> Any:
        return None if text is None else json.loads(text)

    review = Review(
        key=json.loads(row.key),
        model_version=row.model_version,
        scored_at=datetime.fromisoformat(row.scored_at),
        predicted=value(row.predicted),
        verdict=row.verdict,
        value=value(row.value),
        note=row.note,
    )
    return Said(review, row.reviewer, row.reviewed_at)
