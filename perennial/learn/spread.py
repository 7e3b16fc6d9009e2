"""How far from a model's output the truth tends to lie, by the row's features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from perennial.live.answer import Spread, bins_of
from perennial.table import Column

Floats = npt.NDArray[np.float64]

LEVELS = (
    *(0.002, 0.005, 0.01, 0.02, 0.05),
    *(n / 10 for n in range(1, 10)),
    *(0.95, 0.98, 0.99, 0.995, 0.998),
)
"""Quantiles at which a number is cut: finer towards its ends, where few rows are and errors grow."""

SHRINKAGE = 15.0
"""Rows that a bin's value is drawn towards 0 by: a bin of as many rows keeps half of what they say.
Of a series, blocks of origins count in place of rows."""

ROUNDS = 3
SMALL = 0.01
"""A residual counts as at least this share of the median one, so that a hit does not count as a certainty."""


def fit_spread(
    matrix: Floats, raw: Floats, residuals: Floats, features: Sequence[Column], alike: float = 1.0
) -> Spread:
    """The additive tables that best tell the logarithm of the absolute residuals.

    Fitted by backfitting (Breiman and Friedman 1985) with a step function per input, each shrunk towards 0.

    Args:
        matrix: the features, shape (n_rows, n_features).
        raw: outputs of models that did not see these rows, on the learned scale, shape (n_rows,).
        residuals: truth - raw, shape (n_rows,).
        features: the contract's feature columns.
        alike: how many rows hang together and tell about as much as one, as those of a series do.
    """
    sizes = np.abs(residuals)
    least = max(SMALL * float(np.median(sizes)), float(np.finfo(np.float64).tiny))
    wanted = np.log(np.maximum(sizes, least))
    inputs = [*matrix.T, raw]
    edges = [_edges(values, column) for values, column in zip(inputs, (*features, None), strict=True)]
    placed = [bins_of(values, cuts) for values, cuts in zip(inputs, edges, strict=True)]
    values = [np.zeros(len(cuts) + 2) for cuts in edges]
    base = float(wanted.mean())
    left = wanted - base
    for _ in range(ROUNDS):
        for bins, table in zip(placed, values, strict=True):
            left += table[bins]
            rows = np.bincount(bins, minlength=len(table))
            table[:] = np.bincount(bins, left, minlength=len(table)) / (rows + SHRINKAGE * alike)
            left -= table[bins]
    return Spread(base, tuple(map(_plain, edges)), tuple(map(_plain, values)))


def _edges(values: Floats, column: Column | None) -> Floats:
    """Between all codes of a category or truth value, at quantiles of anything else."""
    if column is not None and column.kind in ("category", "boolean"):
        return np.arange(0.5, max(len(column.categories), 2) - 1)
    present = values[~np.isnan(values)]
    if not len(present):
        return present
    cuts: Floats = np.unique(np.quantile(present, LEVELS))
    return cuts


def _plain(values: Floats) -> tuple[float, ...]:
    return tuple(values.tolist())
