"""One loaded release, and what it says to rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perennial.live.predict import Answered, Predictor, json_rows


@dataclass(frozen=True)
class Serving:
    """What answers: a predictor from a slot, and whether it is on trial."""

    predictor: Predictor
    slot: str
    on_trial: bool

    @property
    def digest(self) -> str:
        """The digest of its bundle."""
        return self.predictor.bundle.digest


@dataclass(frozen=True)
class Reply:
    """The answers to rows, and who gave them."""

    answered: Answered
    rows: list[dict[str, Any]]
    serving: Serving


def reply_of(serving: Serving, rows: list[Any], max_rows: int) -> Reply:
    """The answers of one predictor; a valid row without an answer is a fault of the model."""
    answered = serving.predictor.answer_rows(rows, max_rows)
    shown = json_rows(answered)
    for row, told in enumerate(shown):
        if not answered.invalid[row] and not _usable(told):
            raise ArithmeticError(f"row {row} was answered with no number")
    return Reply(answered, shown, serving)


def _usable(told: Mapping[str, Any]) -> bool:
    value = told["prediction"]
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))
