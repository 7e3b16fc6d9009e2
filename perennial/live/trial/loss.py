"""What one prediction lost, once it is known what really happened."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from perennial.live.answer import AnswerRule

Truth = float | str | bool
Loss = Callable[[Any, Truth], float | None]
"""Of an answer as the journal keeps it, and the truth; None where the truth is none for this target."""


class NoAnswerError(Exception):
    """The journalled answer holds no prediction."""


def loss_of(rule: AnswerRule) -> Loss:
    """The loss of one row: the Brier score of a class, the absolute error of a number. Both raise NoAnswerError."""
    if rule.task == "regression":
        return absolute_error
    classes = {name: place for place, name in enumerate(rule.classes)}
    return lambda output, truth: brier_error(output, truth, classes)


def loss_text(rule: AnswerRule) -> tuple[str, str]:
    """What `loss_of` measures, and its unit ("" for none)."""
    if rule.task == "regression":
        return "absolute error", "" if rule.unit == "1" else rule.unit
    return "Brier score", ""


def absolute_error(output: Any, truth: Truth) -> float | None:
    """How far a predicted number lies from the truth, in the target's unit."""
    predicted = _field(output, "prediction")
    if isinstance(truth, (bool, str)) or not math.isfinite(truth):
        return None
    if isinstance(predicted, bool) or not isinstance(predicted, (int, float)):
        raise NoAnswerError
    return abs(float(predicted) - float(truth))


def brier_error(output: Any, truth: Truth, classes: Mapping[str, int]) -> float | None:
    """The Brier score of one row (Brier 1950), from 0 to 1 with two classes, else to 2.

    An answer without probabilities counts as certain: it loses as much as there is to lose, or nothing.
    """
    predicted = _field(output, "prediction")
    happened = class_of(truth, classes)
    if happened is None:
        return None
    claimed = output.get("probabilities")
    if not isinstance(claimed, Mapping):
        if not isinstance(predicted, str):
            raise NoAnswerError
        claimed = {predicted: 1.0}
    if any(share is None for share in claimed.values()):
        raise NoAnswerError
    total = sum((float(claimed.get(name, 0.0)) - (name == happened)) ** 2 for name in classes)
    return total / 2.0 if len(classes) == 2 else total


def class_of(truth: Truth, classes: Mapping[str, int]) -> str | None:
    """The class that a truth names; a number or a boolean names the class that is written like it."""
    if isinstance(truth, bool):
        return next(
            (name for name in (str(truth), str(truth).lower(), str(int(truth))) if name in classes), None
        )
    name = truth if isinstance(truth, str) else f"{truth:.15g}"
    return name if name in classes else None


def _field(output: Any, name: str) -> Any:
    if not isinstance(output, Mapping):
        raise NoAnswerError
    return output.get(name)
