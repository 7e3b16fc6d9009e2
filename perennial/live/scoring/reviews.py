"""What people say of scores: accepted, corrected or rejected, kept in the database of the scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from perennial.live.journal.entry import SORTED
from perennial.live.scoring.database import make_table, told
from perennial.live.scoring.writing import Place, write

ACCEPTED, CORRECTED, REJECTED = "accepted", "corrected", "rejected"
VERDICTS = (ACCEPTED, CORRECTED, REJECTED)
REVIEWS = "perennial_reviews"
SOURCE = "review"
KEY = {"system": 64, "stock": 128, "key": 500, "model_version": 40}
"""What tells reviews apart, and how many letters each may have."""
CHUNK = 500
Verdict = Literal["accepted", "corrected", "rejected"]
Value = float | str


@dataclass(frozen=True)
class Review:
    """What a person said of one score.

    Attributes:
        key: the row's key in the stock table, by column; values as text, however the database keeps them.
        model_version: the release that had scored it.
        scored_at: when it had, UTC.
        predicted: the score that the person saw; None where there was none.
        verdict: accepted (the score is right), corrected (`value` is) or rejected (neither is known).
        value: the corrected number or class, else None.
        note: what the person wants to add.
    """

    key: Mapping[str, str]
    model_version: str
    scored_at: datetime
    predicted: Value | None
    verdict: Verdict
    value: Value | None = None
    note: str = ""

    @property
    def truth(self) -> Value | None:
        """What the row is worth by this review; None where that is not known."""
        return {ACCEPTED: self.predicted, CORRECTED: self.value, REJECTED: None}[self.verdict]


class Reviewed(NamedTuple):
    """What a review says really holds, as the journal takes it; a value of None takes back what another said."""

    key: Mapping[str, str]
    time: datetime
    value: Value | None
    source: str
    known_at: datetime


@dataclass(frozen=True)
class Kept:
    """What became of reviews: `new` ones, `changed` ones that replaced what was said before, and repetitions."""

    new: int
    changed: int
    repeated: int


def reviews_table() -> sa.Table:
    """One row per score that a person looked at; the newest review of a score counts."""
    keys = (sa.Column(name, sa.String(longest), primary_key=True) for name, longest in KEY.items())
    texts = (sa.Column(name, sa.Text, nullable=False) for name in ("scored_at", "verdict"))
    values = (sa.Column(name, sa.Text) for name in ("predicted", "value"))
    said = (sa.Column(name, sa.Text, nullable=False) for name in ("note", "reviewer", "reviewed_at"))
    return sa.Table(REVIEWS, sa.MetaData(), *keys, *texts, *values, *said)


def keep_reviews(
    engine: sa.Engine, system: str, stock: str, reviews: Sequence[Review], reviewer: str, now: datetime
) -> Kept:
    """Write reviews, all or none; the same review twice changes nothing. Raises DatabaseError."""
    table, new, changed, rows = reviews_table(), 0, 0, []
    make_table(engine, table)
    with told(engine, "keeping reviews", "mend it and import the file again"), engine.begin() as connection:
        before = {(row.key, row.model_version): row for row in _rows(connection, system, stock)}
        for review in reviews:
            row = review_row(system, stock, review, reviewer, now)
            was = before.get((row["key"], row["model_version"]))
            if was is not None and all(
                getattr(was, n) == row[n] for n in ("predicted", "verdict", "value", "note")
            ):
                continue
            new, changed = new + (was is None), changed + (was is not None)
            rows.append(tuple(row[c.name] for c in table.c))
        others = tuple(c.name for c in table.c if c.name not in KEY)
        write(connection, Place(table, tuple(KEY), others, own=True), rows)
    return Kept(new, changed, len(reviews) - new - changed)


def reviewed_scores(engine: sa.Engine, system: str, stock: str) -> set[tuple[str, str, str | None]]:
    """Which scores were reviewed: the key by `key_text`, the model version, and what it had predicted as JSON.

    Where a row's values change, the same release scores it anew, and nobody has reviewed that score.
    """
    with told(engine, "reading reviews"), engine.connect() as connection:
        return {(row.key, row.model_version, row.predicted) for row in _rows(connection, system, stock)}


def review_truths(engine: sa.Engine, system: str, stock: str) -> Iterator[Reviewed]:
    """What reviews say really holds: the accepted scores and the corrected values, oldest review first.

    `time` is when the row had been scored. A rejected score has no value, and withdraws one that an earlier review of
    it may have told. Raises DatabaseError.
    """
    with told(engine, "reading reviews"), engine.connect() as connection:
        rows = _rows(connection, system, stock)
    for row in sorted(rows, key=lambda r: (r.reviewed_at, r.key)):
        text = {ACCEPTED: row.predicted, CORRECTED: row.value}.get(row.verdict)
        scored_at, reviewed_at = map(datetime.fromisoformat, (row.scored_at, row.reviewed_at))
        yield reviewed(json.loads(row.key), scored_at, json.loads(text or "null"), reviewed_at)


def reviewed(
    key: Mapping[str, str], scored_at: datetime, value: Value | None, reviewed_at: datetime
) -> Reviewed:
    """What a review says really holds, of the source of all reviews."""
    return Reviewed(key, scored_at, value, SOURCE, reviewed_at)


def key_text(key: Mapping[str, Any]) -> str:
    """A key as one text, the same however the database keeps its values.

    >>> key_text({"site": 2, "id": "r5"})
    '{"id":"r5","site":"2"}'
    """
    return SORTED.encode({name: str(value) for name, value in key.items()})


def value_text(value: Value | None) -> str | None:
    """A value as a review keeps it: JSON, None for none."""
    return None if value is None else json.dumps(value)


def _rows(connection: sa.Connection, system: str, stock: str) -> Sequence[Any]:
    if not sa.inspect(connection).has_table(REVIEWS):
        return ()
    table = reviews_table()
    return connection.execute(sa.select(table).where(table.c.system == system, table.c.stock == stock)).all()


def review_row(system: str, stock: str, review: Review, reviewer: str, now: datetime) -> dict[str, Any]:
    """A review as a row of `reviews_table`."""
    return {
        "system": system,
        "stock": stock,
        "key": key_text(review.key),
        "model_version": review.model_version,
        "scored_at": review.scored_at.astimezone(UTC).isoformat(),
        "verdict": review.verdict,
        "predicted": value_text(review.predicted),
        "value": value_text(review.value),
        "note": review.note,
        "reviewer": reviewer,
        "reviewed_at": now.astimezone(UTC).isoformat(),
    }
