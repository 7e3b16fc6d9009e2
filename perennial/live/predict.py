"""Rows in, answers out: the same numbers for a request, a file, a service and a device."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perennial.live.answer import AnswerRule, Answers, answer, level_text
from perennial.live.models import Model, OnnxModel
from perennial.live.reference import training_ranges
from perennial.live.rows import ParsedRows, RowReader

if TYPE_CHECKING:
    from perennial.live.bundle import Bundle

Floats = npt.NDArray[np.float64]
CHUNK_ROWS = 16_384
BEYOND = "the model's answer to these values is beyond all numbers"


@dataclass(frozen=True)
class Answered:
    """Answers with what a caller must know about them, in the rows' order.

    `answers` of rows in `invalid` are NaN or "" and must not be shown; `as_json_rows` writes null.
    """

    answers: Answers
    flags: tuple[tuple[str, ...], ...]
    invalid: npt.NDArray[np.bool_]
    model_version: str
    rule: AnswerRule
    parsed: ParsedRows

    def __len__(self) -> int:
        return len(self.invalid)


class Predictor:
    """A loaded model with its bundle; may be shared between threads."""

    def __init__(self, bundle: Bundle, model: Model) -> None:
        self.bundle = bundle
        self.model = model
        self._version = bundle.manifest.version
        self.reader = RowReader(bundle.contract, training_ranges(bundle.reference))

    def answer_rows(self, rows: Any, max_rows: int = 1000) -> Answered:
        """The answers to the rows of a request (a list of JSON objects); raises TableError."""
        return self.answer_parsed(self.reader.request(rows, max_rows))

    def answer_columns(self, columns: Mapping[str, Sequence[Any]]) -> Answered:
        """The answers to the rows of a file, given as columns; raises TableError on missing columns."""
        return self.answer_parsed(self.reader.columns(columns))

    def answer_parsed(self, parsed: ParsedRows) -> Answered:
        """The answers to rows that were read under the bundle's contract."""
        return answer_parsed(parsed, self.model, self.bundle.rule, self._version)


def answer_parsed(parsed: ParsedRows, model: Model, rule: AnswerRule, version: str) -> Answered:
    """The answers of a model to parsed rows; invalid rows are blank."""
    answers = answer(raw_in_chunks(model, parsed.matrix, len(rule.classes)), rule, parsed.matrix)
    flags = parsed.flags
    if rule.task == "regression" and not np.isfinite(answers.prediction).all():
        flags = _flagged(flags, ~np.isfinite(answers.prediction) & ~parsed.invalid)
    if parsed.invalid.any():
        answers = _blanked(answers, parsed.invalid)
    return Answered(answers, flags, parsed.invalid, version, rule, parsed)


def _flagged(
    flags: tuple[tuple[str, ...], ...], beyond: npt.NDArray[np.bool_]
) -> tuple[tuple[str, ...], ...]:
    return tuple((*texts, BEYOND) if told else texts for texts, told in zip(flags, beyond, strict=True))


def raw_in_chunks(model: Model, matrix: npt.NDArray[np.float64], n_classes: int) -> npt.NDArray[np.float64]:
    """The raw outputs for any number of rows, in bounded memory; ONNX Runtime takes a chunk per processor."""
    if not len(matrix):
        return np.empty((0, n_classes) if n_classes else 0)
    if len(matrix) <= CHUNK_ROWS:
        return model.raw(matrix)
    chunks = [matrix[start : start + CHUNK_ROWS] for start in range(0, len(matrix), CHUNK_ROWS)]
    if not isinstance(model, OnnxModel):
        return np.concatenate([model.raw(chunk) for chunk in chunks])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(model.raw, chunks)))


def _blanked(answers: Answers, invalid: npt.NDArray[np.bool_]) -> Answers:
    prediction = np.where(invalid, "" if answers.prediction.dtype.kind == "U" else np.nan, answers.prediction)
    blank = replace(answers, prediction=prediction)
    if answers.low is not None and answers.high is not None:
        pairs = ((answers.low, answers.high), *answers.further)
        (low, high), *further = (
            (np.where(invalid, np.nan, a), np.where(invalid, np.nan, b)) for a, b in pairs
        )
        blank = replace(blank, low=low, high=high, further=tuple(further))
    if answers.probabilities is not None:
        blank = replace(blank, probabilities=np.where(invalid[:, None], np.nan, answers.probabilities))
    return blank


def as_json_rows(answered: Answered) -> list[dict[str, Any]]:
    """The rows of `json_rows`, each with the `model_version` ("v3") that answered."""
    return [{**row, "model_version": answered.model_version} for row in json_rows(answered)]


def json_rows(answered: Answered) -> list[dict[str, Any]]:
    """One JSON object per row; what cannot be answered is null, never NaN.

    Regression: `prediction`, `prediction_low`, `prediction_high` (null without an interval), and for further levels
    the same with the percentage behind, such as `prediction_low_95`; classification:
    `prediction`, `probabilities` {class: p}. Both: `flag` ("" or sentences joined by "; ").
    """
    n, answers = len(answered), answered.answers
    flags = ["; ".join(texts) for texts in answered.flags]
    predictions = answers.prediction.tolist()
    if answers.probabilities is not None:
        names = answered.rule.classes
        shares = answers.probabilities.tolist()
        return [
            {
                "prediction": predictions[i] or None,
                "probabilities": dict(zip(names, map(finite, shares[i]), strict=True)),
                "flag": flags[i],
            }
            for i in range(n)
        ]
    bounds = [(name, nothing_or(values, n)) for name, values in bound_columns(answers, answered.rule).items()]
    return [
        {
            "prediction": finite(predictions[i]),
            **{name: finite(values[i]) for name, values in bounds},
            "flag": flags[i],
        }
        for i in range(n)
    ]


def bound_names(rule: AnswerRule) -> tuple[str, ...]:
    """What the bounds of an answered number are called, low before high, further levels by their percentage."""
    further = () if rule.interval is None else rule.interval.further
    endings = ("", *(f"_{level_text(band.level)}" for band in further))
    return tuple(f"prediction_{side}{ending}" for ending in endings for side in ("low", "high"))


def bound_columns(answers: Answers, rule: AnswerRule) -> dict[str, Floats | None]:
    """The bounds of answered numbers by their names; None where the rule has no interval."""
    pairs = ((answers.low, answers.high), *answers.further)
    return dict(zip(bound_names(rule), (bound for pair in pairs for bound in pair), strict=True))


def nothing_or(values: Floats | None, n: int) -> list[Any]:
    """The values as a list, or `n` times None."""
    return [None] * n if values is None else list(values.tolist())


def finite(value: float | None) -> float | None:
    """The number, or None where there is none to show."""
    return value if value is not None and math.isfinite(value) else None
