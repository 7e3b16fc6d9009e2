"""Rows with values taken out, so that a model learns to answer what it will be asked with gaps.

A service turns an impossible value and a category that training never saw into a missing one. Where no training
row lacks that feature a learner has no way to take it: LightGBM, for one, reads it as 0, and prices a car of
an unknown year as one of the year 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.learn.recipes import group_positions
from perennial.table import Column

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]

FEWEST = 500
"""Copies below which each gap is seen by a handful of rows; a small table gives as many, or all of its rows."""


def gap_rows(X: Floats, features: Sequence[Column], share: float, seed: int) -> tuple[Positions, Floats]:
    """Positions of a share of the rows, rising, and their copies with values taken out.

    A third of the copies each lose: one feature, drawn evenly; the category with most levels, as a car of an
    unknown model does; the two with most levels, as one of an unknown make does.

    Args:
        X: the features, shape (n_rows, n_features).
        features: the contract's feature columns.
        share: share of the rows that are copied.
        seed: draws rows and gaps.
    """
    rng = np.random.default_rng([seed, len(X)])
    rows = np.sort(rng.choice(len(X), round(share * len(X)), replace=False))
    copies = X[rows]
    group = group_positions(features)
    kinds = rng.integers(0, 3 if group else 1, len(rows))
    one = np.flatnonzero(kinds == 0)
    copies[one, rng.integers(0, X.shape[1], len(one))] = np.nan
    for number, column in enumerate(group):
        copies[kinds > number, column] = np.nan
    return rows, copies


def with_gaps(
    X: Floats, y: npt.NDArray[Any], features: Sequence[Column], share: float, seed: int
) -> tuple[Floats, npt.NDArray[Any]]:
    """The rows and, after them, copies of a share of them with values taken out (see `gap_rows`).

    There are at least `FEWEST` copies, as far as there are rows; none for a share of 0.
    """
    if share == 0:
        return X, y
    share = max(share, min(1.0, FEWEST / len(X)))
    rows, copies = gap_rows(X, features, share, seed)
    return np.concatenate([X, copies]), np.concatenate([y, y[rows]])
