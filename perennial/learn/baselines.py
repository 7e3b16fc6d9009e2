"""The naive models that a candidate must beat, fitted to training rows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from perennial.errors import PerennialError, UnknownNameError
from perennial.learn.compare import Contender
from perennial.learn.models import classes_of
from perennial.learn.recipes import category_positions, group_positions
from perennial.learn.tasks import RULES, task_of
from perennial.live.answer import Answers
from perennial.table import Contract, Table

Floats = npt.NDArray[np.float64]

GROUP_ROWS = 5
"""Fewest training rows of a group whose own median is used; smaller groups get the next larger group's."""


@dataclass(frozen=True)
class Baseline:
    """A fitted naive model; `classes` are in the order of its probabilities."""

    name: str
    predict: Callable[[Table], Answers] = field(repr=False)
    classes: tuple[str, ...] = ()

    def contend(self, table: Table) -> Contender:
        """Its answers to the rows of `table`, ready to be compared."""
        return Contender(self.name, self.predict(table), self.classes)


def baselines_for(contract: Contract) -> tuple[str, ...]:
    """The names of the baselines that a table under this contract can be held against.

    The columns of role `baseline` come after those that are fitted.
    """
    grouped = bool(category_positions(contract.features))
    fitted = (n for n in RULES[task_of(contract)].baselines if grouped or n != "group_median")
    return (*fitted, *(c.name for c in contract.columns if c.role == "baseline"))


def fit_baseline(name: str, train: Table) -> Baseline:
    """The baseline called `name`, fitted to `train`; raises UnknownNameError if unknown here."""
    known = baselines_for(train.contract)
    if name not in known:
        raise UnknownNameError("baseline", name, known)
    return _FITTERS[name](train) if name in _FITTERS else _column(name, train)


def _prior(train: Table) -> Baseline:
    """The classes' shares in the training rows, for every row."""
    classes = classes_of(train)
    shares = np.array([(train.y == c).mean() for c in classes])
    return _constant("prior", classes, shares)


def _majority(train: Table) -> Baseline:
    """The commonest class, claimed with certainty for every row."""
    classes = classes_of(train)
    counts = [(train.y == c).sum() for c in classes]
    return _constant("majority", classes, np.eye(len(classes))[int(np.argmax(counts))])


def _constant(name: str, classes: tuple[str, ...], probabilities: Floats) -> Baseline:
    def predict(table: Table) -> Answers:
        raw = np.tile(probabilities, (len(table), 1))
        return Answers(np.asarray(classes)[np.argmax(raw, axis=1)], probabilities=raw)

    return Baseline(name, predict, classes)


def _median(train: Table) -> Baseline:
    """The median of the training rows."""
    middle = float(np.median(train.y))
    return Baseline("median", lambda table: Answers(np.full(len(table), middle)))


def _group_median(train: Table) -> Baseline:
    """The median of the training rows of the same group, of the same first category, or of all rows.

    The group is made of the categories with most levels (see `group_positions`).
    """
    contract = train.contract
    features = contract.features
    # Within a group the coarser category comes first, so that a rare model falls back to its make.
    columns = sorted(group_positions(features), key=lambda i: (len(features[i].categories), i))
    X, y = train.X, train.y
    tables = [_medians(_group_keys(X, columns[:n]), y) for n in range(1, len(columns) + 1)]
    overall = float(np.median(y))

    def predict(table: Table) -> Answers:
        matrix = contract.matrix({c.name: table.frame[c.name] for c in features})
        answers = np.full(len(table), overall)
        for n, known in enumerate(tables, start=1):
            own = [known.get(key, np.nan) for key in _group_keys(matrix, columns[:n])]
            answers = np.where(np.isfinite(own), own, answers)
        return Answers(answers)

    return Baseline("group_median", predict)


def _column(name: str, train: Table) -> Baseline:
    """The column `name`: a number, or the probability of the last of two classes.

    Where it has no value, the median of the training rows or the class's share in them.
    """
    if train.contract.target.is_numeric:
        middle = float(np.median(train.y))
        return Baseline(name, lambda table: Answers(_values(table, name, middle)))
    classes = classes_of(train)
    if len(classes) != 2:
        raise PerennialError(
            f"baseline {name}: expected two classes, of which the column tells the last one's probability, found "
            f"{len(classes)}; make it of another role"
        )
    share = float((train.y == classes[-1]).mean())

    def predict(table: Table) -> Answers:
        last = np.clip(_values(table, name, share), 0.0, 1.0)
        raw = np.column_stack([1.0 - last, last])
        return Answers(np.asarray(classes)[np.argmax(raw, axis=1)], probabilities=raw)

    return Baseline(name, predict, classes)


def _values(table: Table, name: str, otherwise: float) -> Floats:
    values: Floats = table.frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isnan(values), otherwise, values)


def _group_keys(X: Floats, columns: list[int]) -> list[tuple[float, ...]]:
    """Each row's group; missing and unknown categories are a group of their own, -1."""
    return [tuple(row) for row in np.nan_to_num(X[:, columns], nan=-1.0).tolist()]


def _medians(keys: list[tuple[float, ...]], y: Floats) -> dict[tuple[float, ...], float]:
    rows: dict[tuple[float, ...], list[float]] = {}
    for key, value in zip(keys, y.tolist(), strict=True):
        rows.setdefault(key, []).append(value)
    return {key: float(np.median(values)) for key, values in rows.items() if len(values) >= GROUP_ROWS}


_FITTERS: dict[str, Callable[[Table], Baseline]] = {
    "prior": _prior,
    "majority": _majority,
    "median": _median,
    "group_median": _group_median,
}
