"""One review at a time: what a page writes, where two people may look at the same score."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from perennial.live.scoring.database import told
from perennial.live.scoring.reviews import KEY, Review, Reviewed, review_row, reviewed, reviews_table


@dataclass(frozen=True)
class Said:
    """A review that is kept: who made it, and when (as the database has it, ISO 8601 in UTC)."""

    review: Review
    reviewer: str
    reviewed_at: str

    @property
    def truth(self) -> Reviewed | None:
        """What it says really holds; None where it says that nobody knows."""
        value = self.review.truth
        at = datetime.fromisoformat(self.reviewed_at)
        return None if value is None else reviewed(self.review.key, self.review.scored_at, value, at)


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
    the same person again changes nothing. Raises DatabaseError.
    """
    table, row = reviews_table(), review_row(system, stock, review, reviewer, now)
    mine = [table.c[name] == row[name] for name in KEY]
    with told(engine, "keeping a review", "try again"):
        _make(engine, table)
        if over is None:
            try:
                with engine.begin() as connection:
                    connection.execute(sa.insert(table).values(row))
            except sa.exc.IntegrityError:  # somebody was first, and is told of below
                pass
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


def _make(engine: sa.Engine, table: sa.Table) -> None:
    """Makes the table where it is not there; two may do so at once, which PostgreSQL refuses one of them."""
    if sa.inspect(engine).has_table(table.name):
        return
    try:
        with engine.begin() as connection:
            connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
    except sa.exc.DBAPIError:
        if not sa.inspect(engine).has_table(table.name):
            raise


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
