"""Scoring a stock table: batch by batch, each written whole, so that a run may end anywhere and go on later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from perennial.config_score import Score
from perennial.live.predict import Answered, Predictor
from perennial.live.rows import ParsedRows
from perennial.live.scoring.batches import Batch, batches
from perennial.live.scoring.database import open_database, told
from perennial.live.scoring.journalled import Journalling, journal_scores
from perennial.live.scoring.scores import joined, make_scores, score_values
from perennial.live.scoring.stock import Key, Stock, open_stock
from perennial.live.scoring.writing import Place, write

NO_NUMBER = "the model has no finite answer"
Progress = Callable[[int, int], None]


class Scored(BaseModel):
    """What a run came to, in rows: `skipped` had this score already, `unanswered` are among `flagged`."""

    model_config = ConfigDict(frozen=True)

    table: str
    into: str
    version: str
    rows: int = 0
    scored: int = 0
    skipped: int = 0
    flagged: int = 0
    unanswered: int = 0

    @property
    def sentence(self) -> str:
        """The counts in words.

        >>> Scored(table="cars", into="scores", version="v1", rows=9, scored=8, skipped=1, flagged=2).sentence
        'v1: 9 rows of cars, 8 scored into scores, 1 had this score already; 2 flagged, 0 of these without an answer'
        """
        return (
            f"{self.version}: {self.rows:,} rows of {self.table}, {self.scored:,} scored into {self.into}, "
            f"{self.skipped:,} had this score already; {self.flagged:,} flagged, {self.unanswered:,} of these "
            "without an answer"
        )


def score_table(
    score: Score,
    predictor: Predictor,
    clock: Callable[[], datetime],
    again: bool = False,
    progress: Progress = lambda done, total: None,
    journal: Journalling | None = None,
) -> Scored:
    """Score the rows of the config's table that this model version has not scored, or whose inputs have changed.

    Args:
        score: which rows, and where scores go.
        predictor: the released model.
        clock: the time of a batch, UTC.
        again: score every row, whether or not it has this score.
        progress: told how many rows are done, and of how many.
        journal: where scores are journalled before they are written; None for nowhere.

    Raises:
        InputError: the database, its table, key or columns are not as the config says.
        DatabaseError: the database failed; batches that were written stay, and the next run goes on behind them.
        JournalError: the journal cannot be written; likewise.
    """
    engine = open_database(score.url)
    try:
        stock = open_stock(engine, score, predictor.bundle.contract)
        total = stock.count()
        scores = make_scores(stock, score.into, predictor.bundle.rule)
        found = Scored(table=score.table, into=scores.table.name, version=predictor.bundle.manifest.version)
        for batch in batches(stock, scores, score.batch_rows):
            found = _score_batch(stock, scores, batch, predictor, clock, again, found, journal)
            progress(found.rows, total)
        return found
    finally:
        engine.dispose()


def _score_batch(
    stock: Stock,
    scores: Place,
    batch: Batch,
    predictor: Predictor,
    clock: Callable[[], datetime],
    again: bool,
    found: Scored,
    journal: Journalling | None,
) -> Scored:
    parsed = predictor.reader.columns(batch.columns)
    digests = input_digests(parsed)
    due = np.ones(len(batch), dtype=bool)
    if not again:
        due[:] = [was != (found.version, now) for was, now in zip(batch.scored, digests, strict=True)]
    chosen = np.flatnonzero(due)
    answered = predictor.answer_parsed(parsed if due.all() else _rows(parsed, chosen))
    flags, now = _flags(answered), clock()
    rows = score_rows(
        [batch.keys[i] for i in chosen],
        answered,
        flags,
        [digests[i] for i in chosen],
        _moment(stock, now),
    )
    if journal is not None:
        journal_scores(journal, stock.name, stock.key, batch, chosen.tolist(), answered, now)
    with told(stock.engine, f"writing scores to {scores.table.name}"), stock.engine.begin() as connection:
        write(connection, scores, rows)
    return found.model_copy(
        update={
            "rows": found.rows + len(batch),
            "scored": found.scored + len(rows),
            "skipped": found.skipped + len(batch) - len(rows),
            "flagged": found.flagged + sum(map(bool, flags)),
            "unanswered": found.unanswered + int(_without(answered).sum()),
        }
    )


def score_rows(
    keys: list[Key], answered: Answered, flags: list[str], digests: list[str], moment: Any
) -> list[tuple[Any, ...]]:
    """Rows of key and score values, in the order of the scores' columns."""
    n = len(keys)
    values = [
        *(zip(*keys, strict=True) if keys else ()),
        *score_values(answered.answers),
        *([answered.model_version] * n, [moment] * n, flags, digests),
    ]
    return list(zip(*values, strict=True)) if n else []


def input_digests(parsed: ParsedRows) -> list[str]:
    """Per row 16 hex digits of all that its answer and its flag follow from."""
    width = parsed.matrix.shape[1] * 8
    data = np.ascontiguousarray(parsed.matrix, dtype="<f8").tobytes()
    return [
        blake2b(
            data[i * width : (i + 1) * width] + flag.encode("utf-8", "replace"), digest_size=8
        ).hexdigest()
        for i, flag in enumerate(joined(parsed.flags))
    ]


def _rows(parsed: ParsedRows, chosen: npt.NDArray[np.intp]) -> ParsedRows:
    flags = tuple(parsed.flags[i] for i in chosen)
    return ParsedRows(parsed.names, parsed.matrix[chosen], flags, parsed.invalid[chosen])


def _without(answered: Answered) -> npt.NDArray[np.bool_]:
    """Which rows have no answer."""
    prediction = answered.answers.prediction
    return np.asarray(prediction == "" if prediction.dtype.kind == "U" else ~np.isfinite(prediction))


def _flags(answered: Answered) -> list[str]:
    flags = joined(answered.flags)
    for row in np.flatnonzero(_without(answered) & ~answered.invalid).tolist():
        flags[row] = "; ".join(filter(None, (flags[row], NO_NUMBER)))
    return flags


def _moment(stock: Stock, now: datetime) -> Any:
    """A time as the column takes it: PostgreSQL keeps zones, others get ISO 8601 text."""
    return now if stock.engine.dialect.name == "postgresql" else now.isoformat(timespec="microseconds")
