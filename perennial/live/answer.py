"""From a model's raw output to what a caller gets: one rule for training, batch, service and device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Spread:
    """How hard each row is: the logarithm of how far from the raw output its truth tends to lie.

    It is `base` plus one value per input, looked up in a table: the inputs are the matrix columns in their
    order and, last, the raw output. The rising `edges[i]` cut input i into bins; `values[i]` holds a value per
    bin and a last one for a missing value.
    """

    base: float
    edges: tuple[tuple[float, ...], ...]
    values: tuple[tuple[float, ...], ...]

    @cached_property
    def _tables(self) -> list[tuple[Floats, Floats]]:
        return [(np.asarray(e), np.asarray(v)) for e, v in zip(self.edges, self.values, strict=True)]

    def of(self, matrix: Floats, raw: Floats) -> Floats:
        """The spread of every row, shape (n_rows,), from features (n_rows, n_features) and raw outputs."""
        spread = np.full(len(raw), self.base)
        for column, (edges, values) in zip((*matrix.T, raw), self._tables, strict=True):
            spread += values[bins_of(column, edges)]
        return spread


def bins_of(column: Floats, edges: Floats) -> npt.NDArray[np.intp]:
    """The bin of every value between rising edges, shape (n_rows,); `len(edges) + 1` for a missing value."""
    return np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="right"))


@dataclass(frozen=True)
class Band:
    """The offsets of one more level, by the same bins as those of its `Interval`."""

    level: float
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Recent:
    """How intervals of successive forecasts follow the last ones (see `perennial.live.recent`).

    Attributes:
        days: how far back forecasts count.
        delay_hours: how long after the time that a row is about its truth is known.
    """

    days: float
    delay_hours: float


@dataclass(frozen=True)
class Interval:
    """Split-conformal offsets on the learned scale, by how hard a row is.

    A row of spread s in bin `i` (bins of s are bounded by the rising `edges`, one fewer than there are bins)
    gets the interval `[raw + low[i] * exp(s), raw + high[i] * exp(s)]`, which covers the truth with probability
    `level` (normalised as in Papadopoulos, Vovk and Gammerman 2011; bins make it Mondrian, see Vovk, Gammerman
    and Shafer 2005). Without `spread` the bins are of the raw output, and offsets are not scaled; with a `column`
    they are of that matrix column, such as how far ahead a row looks. `further` holds wider or narrower levels.
    With `recent` they are the widths to begin with: successive forecasts follow how the last ones held.
    """

    level: float
    edges: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    spread: Spread | None = None
    column: int | None = None
    further: tuple[Band, ...] = ()
    recent: Recent | None = None

    @property
    def levels(self) -> tuple[float, ...]:
        """All levels, the first one first."""
        return (self.level, *(band.level for band in self.further))


def level_text(level: float) -> str:
    """A level as part of a name.

    >>> level_text(0.95), level_text(0.975)
    ('95', '97_5')
    """
    return f"{100 * level:.6g}".replace(".", "_")


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
        threshold: of two classes the second is answered where its probability is above this.
    """

    task: Task
    target: str
    unit: str = ""
    scale: Literal["identity", "log"] = "identity"
    classes: tuple[str, ...] = ()
    interval: Interval | None = None
    threshold: float = 0.5

    def as_dict(self) -> dict[str, Any]:
        """The rule as plain JSON values; `rule_from` reads it back."""
        return asdict(self)


@dataclass(frozen=True)
class Answers:
    """Answers for n rows, in the rows' order.

    `prediction` holds numbers in the rule's unit or class names, shape (n_rows,); `low` and `high` have the same
    shape and are None without an interval; `probabilities` has the shape (n_rows, n_classes), None for numbers.
    `further` holds low and high of the interval's further levels.
    """

    prediction: npt.NDArray[Any]
    low: Floats | None = None
    high: Floats | None = None
    probabilities: Floats | None = None
    further: tuple[tuple[Floats, Floats], ...] = ()

    def bounds(self, rule: AnswerRule) -> Iterator[tuple[float, Floats, Floats]]:
        """Level, low and high of every interval, the rule's first level first; nothing without intervals."""
        if rule.interval is not None and self.low is not None and self.high is not None:
            pairs = ((self.low, self.high), *self.further)
            for level, (low, high) in zip(rule.interval.levels, pairs, strict=True):
                yield level, low, high

    def rows(self, chosen: npt.NDArray[Any]) -> Answers:
        """The answers at the given positions or under the given mask, in their order."""

        def of(values: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
            return None if values is None else values[chosen]

        further = tuple((low[chosen], high[chosen]) for low, high in self.further)
        return Answers(self.prediction[chosen], of(self.low), of(self.high), of(self.probabilities), further)


def rule_from(data: Mapping[str, Any]) -> AnswerRule:
    """The rule that `AnswerRule.as_dict` wrote; raises KeyError or TypeError on anything else."""
    interval = data["interval"] and _interval_from(data["interval"])
    return AnswerRule(**{**data, "classes": tuple(data["classes"]), "interval": interval})


def _interval_from(data: Mapping[str, Any]) -> Interval:
    edges, low, high = (tuple(data[name]) for name in ("edges", "low", "high"))
    spread = data.get("spread")
    if spread is not None:
        tables = (tuple(tuple(table) for table in spread[name]) for name in ("edges", "values"))
        spread = Spread(spread["base"], *tables)
    further = tuple(Band(b["level"], tuple(b["low"]), tuple(b["high"])) for b in data.get("further", ()))
    recent = data.get("recent") and Recent(**data["recent"])
    return Interval(data["level"], edges, low, high, spread, data.get("column"), further, recent)


def answer(raw: Floats, rule: AnswerRule, matrix: Floats | None = None) -> Answers:
    """The answers for a model's raw output.

    Args:
        raw: the model's output.
        rule: how it becomes an answer.
        matrix: the features, shape (n_rows, n_features). An interval with a spread or a column needs them; without
            them such a rule answers numbers alone.

    >>> rule = AnswerRule("regression", "price", "GBP", interval=Interval(0.9, (), (-1.0,), (2.0,)))
    >>> answer(np.array([10.0]), rule).high
    array([12.])
    """
    if rule.task == "classification":
        names = np.asarray(rule.classes)
        chosen = raw[:, 1] > rule.threshold if len(names) == 2 else np.argmax(raw, axis=1)
        return Answers(prediction=names[np.asarray(chosen, dtype=np.intp)], probabilities=raw)
    raw = np.asarray(raw, dtype=np.float64).reshape(-1)
    natural = np.exp if rule.scale == "log" else np.asarray
    interval = rule.interval
    if interval is None or (matrix is None and (interval.spread is not None or interval.column is not None)):
        return Answers(prediction=natural(raw))
    place, unit = raw, np.ones(len(raw))
    if interval.spread is not None and matrix is not None:
        place = interval.spread.of(matrix, raw)
        unit = np.exp(place)
    if interval.column is not None and matrix is not None:
        place = matrix[:, interval.column]
    bins = np.searchsorted(np.asarray(interval.edges), place, side="right")
    offsets = ((interval.low, interval.high), *((band.low, band.high) for band in interval.further))

    def bound(own: tuple[float, ...]) -> Floats:
        return np.asarray(natural(raw + np.asarray(own)[bins] * unit))

    (low, high), *further = ((bound(below), bound(above)) for below, above in offsets)
    return Answers(prediction=natural(raw), low=low, high=high, further=tuple(further))
