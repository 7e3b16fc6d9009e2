"""Values under a contract's types: what can be read is read, what cannot is marked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.table import Column

Mask = npt.NDArray[np.bool_]

_TRUTHS: dict[Any, bool] = {"true": True, "false": False, "1": True, "0": False, 1: True, 0: False}


def coerced(values: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Mask]:
    """The values in the type of `column`, and which of them could not be read (shape (n_rows,)).

    Numbers and integers become floats, booleans True, False or None, times UTC timestamps, categories and
    texts stripped strings; what is missing or unreadable becomes NaN, NaT or None. Text that is a plain
    number counts as a number; a boolean does not, nor does an infinite number. A time without a zone is UTC.
    """
    if column.is_numeric:
        clean = _numbers(values)
        unreadable = ~np.isfinite(clean) & values.notna().to_numpy() & ~_is_blank(values)
        if column.kind == "integer":
            unreadable |= np.isfinite(clean) & (clean != np.round(clean))
        result = pd.Series(np.where(unreadable, np.nan, clean), index=values.index, dtype=np.float64)
        return result, unreadable
    if column.kind == "time":
        return _times(values)
    read = _boolean if column.kind == "boolean" else _text
    cells = values.astype(object)
    result = pd.Series([read(cell) for cell in cells], index=values.index, dtype=object)
    return result, result.isna().to_numpy() & cells.notna().to_numpy() & ~_is_blank(cells)


def _numbers(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        return np.full(len(values), np.nan)
    if values.dtype == object:
        readable = [isinstance(v, (str, int, float, np.number)) and not isinstance(v, bool) for v in values]
        values = values.where(np.array(readable, dtype=bool))
    elif isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _times(values: pd.Series[Any]) -> tuple[pd.Series[Any], Mask]:
    if pd.api.types.is_numeric_dtype(values):
        clean = pd.Series(pd.NaT, index=values.index, dtype="datetime64[us, UTC]")
    else:
        read = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")
        clean = pd.Series(read, index=values.index).dt.as_unit("us")
    return clean, clean.isna().to_numpy() & values.notna().to_numpy() & ~_is_blank(values)


def _text(cell: Any) -> str | None:
    """A cell as text; None for what is no text, such as a boolean or a list."""
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, (bool, np.bool_)):
        return None
    if isinstance(cell, (int, np.integer)):
        return str(int(cell))
    if isinstance(cell, (float, np.floating)) and math.isfinite(cell):
        return f"{cell:g}" if cell != int(cell) else str(int(cell))
    return None


def _boolean(cell: Any) -> bool | None:
    """A cell as a truth value; None for anything but true, false, 1 and 0."""
    if isinstance(cell, str):
        return _TRUTHS.get(cell.strip().lower())
    return _TRUTHS.get(cell) if isinstance(cell, (int, float, np.number, np.bool_)) else None


def _is_blank(values: pd.Series[Any]) -> Mask:
    """Which cells are text without a letter in it."""
    if values.dtype != object:
        return np.zeros(len(values), dtype=bool)
    return np.array([isinstance(v, str) and not v.strip() for v in values], dtype=bool)
