"""From a model's raw output to what a caller gets: one rule for training, batch, service and device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Interval:
    """Split-conformal offsets on the learned scale, by the size of the raw output.

    A raw output in bin `i` (bins are bounded by the rising `edges`, one fewer than there are bins) gets the
    interval `[raw + low[i], raw + high[i]]`, which covers the truth with probability `level` (Vovk, Gammerman
    and Shafer 2005; bins make it Mondrian).
    """

    level: float
    edges: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class AnswerRule:
    """How raw outputs become answers.

    Attributes:
        task: classification (raw: probabilities, shape (n_rows, n_classes)) or regression (raw: shape (n_rows,)).
        target: the name of what is predicted.
        unit: the unit of a predicted number; "" for a class.
        scale: the scale on which the model learned a number; `log` answers exp(raw).
        classes: the class names in the order of the probabilities.
        interval: how wide a predicted number's interval is; None where there is none.
    """

    task: Task
    target: str
    unit: str = ""
    scale: Literal["identity", "log"] = "identity"
    classes: tuple[str, ...] = ()
    interval: Interval | None = None

    def as_dict(self) -> dict[str, Any]:
        """The rule as plain JSON values; `rule_from` reads it back."""
        return asdict(self)


@dataclass(frozen=True)
class Answers:
    """Answers for n rows, in the rows' order.

    `prediction` holds numbers in the rule's unit or class names, shape (n_rows,); `low` and `high` have the same
    shape and are None without an interval; `probabilities` has the shape (n_rows, n_classes), None for numbers.
    """

    prediction: npt.NDArray[Any]
    low: Floats | None = None
    high: Floats | None = None
    probabilities: Floats | None = None


def rule_from(data: Mapping[str, Any]) -> AnswerRule:
    """The rule that `AnswerRule.as_dict` wrote; raises KeyError or TypeError on anything else."""
    interval = data["interval"]
    return AnswerRule(
        **{
            **data,
            "classes": tuple(data["classes"]),
            "interval": interval
            and Interval(interval["level"], *(tuple(interval[k]) for k in ("edges", "low", "high"))),
        }
    )


def answer(raw: Floats, rule: AnswerRule) -> Answers:
    """The answers for a model's raw output.

    >>> rule = AnswerRule("regression", "price", "GBP", interval=Interval(0.9, (), (-1.0,), (2.0,)))
    >>> answer(np.array([10.0]), rule).high
    array([12.])
    """
    if rule.task == "classification":
        names = np.asarray(rule.classes)
        return Answers(prediction=names[np.argmax(raw, axis=1)], probabilities=raw)
    raw = np.asarray(raw, dtype=np.float64).reshape(-1)
    natural = np.exp if rule.scale == "log" else np.asarray
    if rule.interval is None:
        return Answers(prediction=natural(raw))
    bins = np.searchsorted(np.asarray(rule.interval.edges), raw, side="right")
    low, high = np.asarray(rule.interval.low)[bins], np.asarray(rule.interval.high)[bins]
    return Answers(prediction=natural(raw), low=natural(raw + low), high=natural(raw + high))
