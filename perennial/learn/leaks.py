"""Columns that know the target: a single one that predicts it as no honest single column does.

A strong column is no leak by itself: yesterday's value says nearly all about today's. But a naive model may use it
too, and it is one column among others that say nearly the same. A copy of the target with some noise is alone better
than every baseline by far, and either better than all other columns together while about as good as everything at
once, or so good that no other column alone comes near.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perennial.learn.baselines import baselines_for, fit_baseline
from perennial.learn.models import native_threads
from perennial.learn.rows import moments_of
from perennial.learn.tasks import task_of
from perennial.table import Column, Table

Floats = npt.NDArray[np.float64]

ROWS = 8_000
"""Rows that are looked at, drawn from all."""
LATER = 0.3
"""Share of them on which errors are measured; curves and models are fitted to the others."""
BEYOND_BASELINE = 0.8
"""A column is looked into where its error alone is at most this share of the best baseline's."""
BEYOND_OTHERS = 0.8
"""It is a suspect where that is at most this share of the error of all columns that are not looked into,"""
AS_GOOD_AS_ALL = 1.5
"""and at most this multiple of the error of all columns together (or next to nothing: `NOTHING`)."""
NOTHING = 0.1
"""Share of the best baseline's error that is next to nothing."""
FAR_BEYOND = 0.4
"""It is a suspect, too, where its error alone is at most this share of the best baseline's,"""
BEYOND_NEXT = 0.55
"""and at most this share of the error of every other column alone."""
DISTINCT = 50
"""A number of fewer distinct values is no copy of a target with more: a year is none of a price."""
TREES = 100
BIN_ROWS = 20
FEWEST_ROWS = 200


@dataclass(frozen=True)
class Suspect:
    """A column with its error alone, and those of the best baseline and of the other columns together.

    Errors are mean absolute ones in the target's unit, or Brier scores.
    """

    column: str
    alone: float
    baseline: float
    others: float


def suspects(table: Table, seed: int) -> list[Suspect]:
    """The features that look like copies of the target, by name.

    Models of many columns are fitted only where a column alone beats the baselines by far, so that an honest table
    costs little. Rows of a series are split by time, others at random; rows that share an id stay together.
    Fewer than `FEWEST_ROWS` rows tell nothing, and neither does a target with one single value.

    Args:
        table: checked rows; categories that the contract leaves open are taken from them.
        seed: draws rows.
    """
    sample = _sample(table, seed)
    if len(sample.late) < FEWEST_ROWS * LATER or not sample.best_baseline > 0:
        return []
    base, names = sample.best_baseline, [column.name for column in sample.features]
    alone = {i: sample.alone(i, column) for i, column in enumerate(sample.features)}
    near = [i for i, error in alone.items() if error <= BEYOND_BASELINE * base]
    if not near:
        return []
    rest = [i for i in alone if i not in near]
    others = min(sample.model(rest), base) if rest else base
    ahead = [i for i in near if alone[i] <= BEYOND_OTHERS * others]
    together = min(alone.values())
    if any(alone[i] > NOTHING * base for i in ahead):
        together = min(together, sample.model([*alone]))

    def is_suspect(i: int) -> bool:
        own, following = alone[i], min((alone[j] for j in alone if j != i), default=base)
        as_good = own <= max(AS_GOOD_AS_ALL * together, NOTHING * base)
        far_beyond = own <= FAR_BEYOND * base and own <= BEYOND_NEXT * min(following, base)
        return far_beyond or (i in ahead and as_good)

    return [Suspect(names[i], alone[i], base, others) for i in near if is_suspect(i)]


@dataclass(frozen=True, eq=False)
class _Sample:
    """Rows of a table as numbers: features, target (n_rows, n_outputs) and the best baseline's answers to it.

    For a number there is one output; for classes one per class, 1 for the true one and 0 elsewhere.
    """

    features: tuple[Column, ...]
    X: Floats
    y: Floats
    baseline: Floats
    best_baseline: float
    early: npt.NDArray[np.int64]
    late: npt.NDArray[np.int64]
    is_number: bool
    seed: int

    def error(self, answers: Floats) -> float:
        """The mean absolute error, or the Brier score, of answers to the late rows."""
        differences = answers - self.y[self.late]
        if self.is_number:
            return float(np.abs(differences).mean())
        return float((differences**2).sum(axis=1).mean())

    def alone(self, i: int, column: Column) -> float:
        """The error of a curve of one column; infinite where it has too few distinct values to be a copy.

        Of a number also the curves of what it says beyond the baseline: a level that wanders off hides the rest, and
        a copy may be of the change alone.
        """
        x = self.X[:, i]
        if self.is_number and column.is_numeric:
            needed = min(DISTINCT, len(np.unique(self.y)) // 2)
            if len(np.unique(x[np.isfinite(x)])) < max(needed, 2):
                return float("inf")
        found = [self.error(self._curve(x, self.y))]
        if self.is_number and column.is_numeric:
            base = self.baseline
            changes = [self._curve(some, self.y - base) for some in (x - base[:, 0], x)]
            found += [self.error(base[self.late] + change) for change in changes]
        return min(found)

    def _curve(self, x: Floats, y: Floats) -> Floats:
        """Late answers of the medians (of a number) or means (of classes) of early rows with a similar `x`."""
        own, new = x[self.early], x[self.late]
        known = np.isfinite(own)
        centre = np.median if self.is_number else np.mean
        answers = np.tile(centre(y[self.early], axis=0), (len(new), 1))
        if known.sum() < 2 * BIN_ROWS:
            return answers
        if (~known).sum() >= BIN_ROWS:
            answers[:] = centre(y[self.early[~known]], axis=0)
        order = np.argsort(own[known], kind="stable")
        values, targets = own[known][order], y[self.early[known]][order]
        starts = _bins(values)
        middles = np.array([np.median(part) for part in np.split(values, starts[1:])])
        levels = np.array([centre(part, axis=0) for part in np.split(targets, starts[1:])])
        there = np.isfinite(new)
        for output in range(y.shape[1]):
            answers[there, output] = np.interp(new[there], middles, levels[:, output])
        return answers

    def model(self, columns: list[int]) -> float:
        """The error of gradient boosting on some columns; of a number, on what the best baseline misses of it."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        X = self.X[:, columns]
        X = X[:, np.isfinite(X[self.early]).any(axis=0)]
        if not X.shape[1]:
            return float("inf")
        how = {"max_iter": TREES, "random_state": self.seed, "early_stopping": False}
        with native_threads().limit(limits=1):
            if self.is_number:
                learner = HistGradientBoostingRegressor(loss="absolute_error", **how)
                learner.fit(X[self.early], (self.y - self.baseline)[self.early, 0])
                return self.error(self.baseline[self.late] + learner.predict(X[self.late])[:, None])
            classifier = HistGradientBoostingClassifier(**how)
            classifier.fit(X[self.early], self.y[self.early].argmax(axis=1))
            answers = np.zeros_like(self.y[self.late])
            answers[:, classifier.classes_] = classifier.predict_proba(X[self.late])
            return self.error(answers)


def _bins(values: Floats) -> npt.NDArray[np.int64]:
    """Where each bin of sorted values starts: at least `BIN_ROWS` rows each, equal values never apart."""
    first = np.flatnonzero(np.diff(values, prepend=-np.inf))
    starts = [0]
    for place in first.tolist():
        if place - starts[-1] >= BIN_ROWS and len(values) - place >= BIN_ROWS:
            starts.append(place)
    return np.array(starts, dtype=np.int64)


def _sample(table: Table, seed: int) -> _Sample:
    import pandas as pd

    contract = table.contract.fitted(table.frame)
    whole = Table(table.frame, contract)
    rng = np.random.default_rng(seed)
    codes = pd.factorize(whole.ids)[0]
    moments = moments_of(whole)
    order = rng.permutation(int(codes.max()) + 1)[codes] if moments is None else moments[:, 0]
    chosen = np.sort(rng.permutation(len(whole))[:ROWS])
    rows, order = whole.rows(chosen), order[chosen]
    edge = np.quantile(order, 1.0 - LATER)
    early, late = np.flatnonzero(order < edge), np.flatnonzero(order >= edge)
    is_number = task_of(contract) == "regression"
    y = rows.y[:, None] if is_number else (rows.y[:, None] == np.unique(rows.y)).astype(np.float64)
    blank = _Sample(contract.features, rows.X, y, np.zeros_like(y), 0.0, early, late, is_number, seed)
    if not len(early) or not len(late):
        return blank
    naive = [*_baselines(rows, early, y, is_number)]
    if is_number and moments is not None:
        naive.append(last_truth(whole, moments)[chosen][:, None])
    usable = [answers for answers in naive if np.isfinite(answers).all()]
    best = min(usable, key=lambda answers: blank.error(answers[late]))
    error = blank.error(best[late])
    return _Sample(contract.features, rows.X, y, best, error, early, late, is_number, seed)


def _baselines(rows: Table, early: npt.NDArray[np.int64], y: Floats, is_number: bool) -> Iterator[Floats]:
    """The answers of every baseline to all rows, fitted to the early ones."""
    fitted = rows.rows(early)
    classes = np.unique(rows.y)
    for name in baselines_for(rows.contract):
        answers = fit_baseline(name, fitted).contend(rows)
        if is_number:
            yield answers.answers.prediction.astype(np.float64)[:, None]
        elif answers.answers.probabilities is not None:
            shares = np.zeros_like(y)
            places = np.searchsorted(classes, np.asarray(answers.classes))
            shares[:, places] = answers.answers.probabilities
            yield shares


def last_truth(table: Table, moments: Floats) -> Floats:
    """The newest truth before each row was predicted, shape (n_rows,); the oldest of all where there was none.

    NaN where there are several truths at a time, as for the cells of a map.
    """
    origin, target = moments.T
    times, first, place = np.unique(target, return_index=True, return_inverse=True)
    truths = table.y[first]
    if (truths[place.reshape(-1)] != table.y).any():
        return np.full(len(table), np.nan)
    return np.asarray(
        truths[np.maximum(np.searchsorted(times, origin, side="right") - 1, 0)], dtype=np.float64
    )
