"""Rows that repeat: counted by a 64-bit hash of their content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Words = npt.NDArray[np.uint64]


def words(values: pd.Series[Any]) -> Words:
    """One 64-bit word per value, shape (n,): equal values of one type have equal words."""
    try:
        return np.asarray(pd.util.hash_pandas_object(values, index=False), dtype=np.uint64)
    except Exception:  # noqa: BLE001  what cannot be hashed, such as a list, is compared by how it is written
        return np.asarray(pd.util.hash_pandas_object(values.map(_written), index=False), dtype=np.uint64)


def _written(cell: Any) -> str:
    try:
        return repr(cell)
    except Exception:  # noqa: BLE001  an object's own method may raise anything
        return type(cell).__name__


def repeated_rows(columns: Sequence[pd.Series[Any]]) -> int:
    """How many rows agree in all these columns with a row before them; 0 without a column."""
    if not columns:
        return 0
    mixed = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        mixed = (mixed ^ words(column)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return len(mixed) - len(np.unique(mixed))
