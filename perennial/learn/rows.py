"""What a candidate is fitted to: rows, and where there are any, the moments that put them in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.table import Table

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """The rows of one fit.

    Attributes:
        X: the feature matrix, shape (n_rows, n_features).
        y: what is learned, shape (n_rows,).
        moments: see `moments_of`; None where rows are no series.
        source: which row each is a copy of (its own position where it is none), shape (n_rows,).
        seed: what learners draw from.
    """

    X: Floats
    y: npt.NDArray[Any]
    moments: Floats | None
    source: Positions
    seed: int


def moments_of(table: Table) -> Floats | None:
    """When each row is predicted and when its truth comes about, in hours since 1970, shape (n_rows, 2).

    None where rows are no series: where the contract has not both moments, or no truth lies after its prediction.
    """
    import pandas as pd

    names = {c.role: c.name for c in table.contract.columns}
    if "known_at" not in names or "time" not in names:
        return None
    hours = [
        (pd.to_datetime(table.frame[names[role]], utc=True) - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
        / 3600.0
        for role in ("known_at", "time")
    ]
    moments: Floats = np.column_stack(hours).astype(np.float64)
    origin, target = moments.T
    is_series = np.isfinite(moments).all() and (target >= origin).all() and (target > origin).any()
    return moments if is_series else None
