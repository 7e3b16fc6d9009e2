"""Columns that are copies of the target with noise, told from honest ones by what they owe to the other columns.

A copy is the target and noise that has to do with nothing else. So whatever it shares with other columns it has from
the target: once that is known, they say nothing of it. An honest column was there before: it shares the past with
other columns, and they still say much of it. This holds where a copy is far too noisy to predict better than what the
other columns know, and its errors tell nothing.

With v the column, y the target and X the other columns, two shares of variance are compared: what y says of v
beyond X (`said`), and what X says of v beyond y (`owed`). For v = y + noise the second is 0. For news that have to do
with nothing in X it is `said` times the R2 of y on X; for another's unbiased forecast of y it is 1 - `said` times the
R2 of v on X. Where these are too small to be told from 0, nothing is said of v.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perennial.learn.baselines import baselines_for, fit_baseline
from perennial.learn.leaks import last_truth
from perennial.learn.models import native_threads
from perennial.learn.rows import moments_of
from perennial.learn.tasks import task_of
from perennial.table import Table

Floats = npt.NDArray[np.float64]

ROWS = 30_000
FEWEST_ROWS = 200
FEWEST_COLUMNS = 6
"""Of fewer columns the others are too few to say what an honest one would owe them."""
FEWEST_PER_COLUMN = 5
"""Fewer rows per column say nothing about shares of variance."""
LEAST_SAID = 0.08
"""The target says at least this share of what others leave open in a copy of it."""
OWED = 0.15
"""What other columns still say of a copy is at most this share of what they would say of honest news."""
AHEAD = 10.0
"""Several gauges of one thing owe nothing to each other either; a copy says this many times more than any of them."""
LEVELS = 20
"""A category of more levels is no copy of the target."""
TREES = 50
TREE_ROWS = 8_000
FOLDS = 3
ROUNDING = 1e-9


@dataclass(frozen=True)
class Copy:
    """A column of which the target says the share `said` beyond other columns, and they `owed` beyond the target."""

    column: str
    said: float
    owed: float


def copies(table: Table, seed: int) -> list[Copy]:
    """The features that look like noisy copies of the target.

    Shares of variance are those of linear models, of which one matrix gives all at once; a column that looks like a
    copy is tried once more by boosted trees, which may find what it owes to others by no straight line.

    Args:
        table: checked rows; categories that the contract leaves open are taken from them.
        seed: draws rows.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(table))[:ROWS])
    rows = Table(table.frame, table.contract.fitted(table.frame)).rows(chosen)
    names, X = _columns(rows)
    y, forms = _targets(rows)
    enough = len(rows) >= max(FEWEST_ROWS, FEWEST_PER_COLUMN * X.shape[1])
    if not enough or not y.any() or X.shape[1] < FEWEST_COLUMNS:
        return []
    said, owed, told = _shares(X, np.column_stack([y, *forms]), len(names))
    doubt = 2.0 * np.sqrt(2.0 * X.shape[1]) / len(rows)
    for best in np.argsort(-said)[: (said >= LEAST_SAID).sum()].tolist():
        others = np.delete(X, best, axis=1)
        limit = OWED * min(said[best] * _explained(others, y), (1.0 - said[best]) * told[best])
        if owed[best] + doubt > limit:
            continue
        gauges = (owed <= OWED * said) & (np.arange(len(names)) != best)
        if AHEAD * said[gauges].max(initial=0.0) > said[best]:
            return []
        if _by_trees(others, X[:, best], np.column_stack([y, *forms]), seed) <= limit:
            return [Copy(names[best], float(said[best]), max(float(owed[best]), 0.0))]
    return []


def _columns(rows: Table) -> tuple[tuple[str, ...], Floats]:
    """The names of the columns that may be copies, and the standardised values of these and, behind them, of others.

    Categories are told by their codes; of a few levels by how often the last class, or how much of a number, comes
    with each. Others are categories of many levels, and what the baselines answer. Missing values are medians;
    columns of one value are left out.
    """
    contract = rows.contract
    y = rows.y if contract.target.is_numeric else rows.y == np.unique(rows.y)[-1]
    own, others = {}, []
    for column, values in zip(contract.features, rows.X.T, strict=True):
        if column.is_numeric or column.kind != "category":
            own[column.name] = values
        elif len(column.categories) <= LEVELS:
            own[column.name] = _means(values, y.astype(np.float64))
        else:
            others.append(values)
    moments = moments_of(rows)
    if contract.target.is_numeric:
        others += [last_truth(rows, moments)] if moments is not None else []
        answers = (fit_baseline(name, rows).contend(rows).answers for name in baselines_for(contract))
        others += [a.prediction.astype(np.float64) for a in answers]
    standard = {name: _standardised(values) for name, values in own.items()}
    names = tuple(name for name, values in standard.items() if values.any())
    behind = [values for values in map(_standardised, others) if values.any()]
    return names, np.column_stack([*(standard[n] for n in names), *behind, np.empty((len(rows), 0))])


def _means(codes: Floats, y: Floats) -> Floats:
    """The mean of `y` over the rows of each code; NaN where there is none."""
    found = np.full(len(codes), np.nan)
    for code in np.unique(codes[np.isfinite(codes)]):
        found[codes == code] = y[codes == code].mean()
    return found


def _standardised(values: Floats) -> Floats:
    """Values of mean 0 and spread 1, missing ones at the median; zeros where there is one value alone."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    filled = np.where(known, values, np.median(values[known]))
    spread = filled.std()
    return (
        (filled - filled.mean()) / spread
        if spread > ROUNDING * np.abs(filled).max()
        else np.zeros(len(values))
    )


def _targets(rows: Table) -> tuple[Floats, list[Floats]]:
    """The standardised target, shape (n_rows, n_outputs), and further forms of a number: a copy may be bent.

    Classes have one output for each but the first.
    """
    if task_of(rows.contract) == "classification":
        classes = np.unique(rows.y)[1:]
        outputs = [_standardised((rows.y == c).astype(np.float64)) for c in classes]
        return np.column_stack(outputs or [np.zeros(len(rows))]), []
    from scipy.stats import norm, rankdata

    y, shares = _standardised(rows.y.astype(np.float64)), (rankdata(rows.y) - 0.5) / len(rows)
    forms = (y**2, y**3, shares, shares**2, shares**3, norm.ppf(shares), np.log(y - y.min() + 1.0))
    return y[:, None], [_standardised(form) for form in forms]


def _shares(X: Floats, y: Floats, own: int) -> tuple[Floats, Floats, Floats]:
    """Per own column: what `y` says of it beyond the other columns, and they beyond `y`, as shares of variance.

    The variance of a column that all others leave open is the reciprocal of the diagonal of the inverse of their
    covariances (Lauritzen 1996, section 5.1); degrees of freedom are allowed for. A column that others tell but for
    rounding is told nothing by `y`.
    """
    count, outputs = X.shape[1], y.shape[1]
    both = np.column_stack([X, y])
    covariances = both.T @ both / len(both) + ROUNDING * np.eye(count + outputs)
    free = np.array([len(X) - count, len(X) - count - outputs, len(X) - 1 - outputs]) / len(X)
    by_others = 1.0 / np.diag(np.linalg.inv(covariances[:count, :count]))[:own] / free[0]
    by_all = 1.0 / np.diag(np.linalg.inv(covariances))[:own] / free[1]
    shared = covariances[count:, :own]
    by_target = (1.0 - (np.linalg.solve(covariances[count:, count:], shared) * shared).sum(axis=0)) / free[2]
    open_to_others = by_others > 1e3 * ROUNDING
    said = np.where(open_to_others, 1.0 - by_all / by_others, 0.0)
    return said, 1.0 - by_all / np.maximum(by_target, ROUNDING), 1.0 - by_others


def _explained(X: Floats, y: Floats) -> float:
    """The share of the variance of `y` that a linear model of `X` explains, degrees of freedom allowed for."""
    fitted = X @ np.linalg.lstsq(X, y, rcond=None)[0]
    left = float(((y - fitted) ** 2).sum()) / max(len(X) - X.shape[1], 1)
    return float(max(1.0 - left / (float((y**2).sum()) / len(X)), 0.0))


def _by_trees(X: Floats, column: Floats, y: Floats, seed: int) -> float:
    """The share that boosted trees of `X` explain of what the target leaves open in a column, out of fold."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import KFold, cross_val_predict

    open_part = (column - y @ np.linalg.lstsq(y, column, rcond=None)[0])[:TREE_ROWS]
    with native_threads().limit(limits=1):
        learner = HistGradientBoostingRegressor(
            max_iter=TREES, learning_rate=0.05, min_samples_leaf=40, random_state=seed, early_stopping=False
        )
        folds = KFold(FOLDS, shuffle=True, random_state=seed)
        found = cross_val_predict(learner, X[:TREE_ROWS], open_part, cv=folds)
    variance = float(((open_part - open_part.mean()) ** 2).mean())
    left = float(((open_part - found) ** 2).mean())
    return float(1.0 - left / variance) if variance > 0 else 0.0
