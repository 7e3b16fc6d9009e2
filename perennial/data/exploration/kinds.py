"""What the values of a column are, where no contract says it."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from perennial.data.coerce import Mask, coerced
from perennial.table import Column, Kind

_ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}\S*)?")


def families(values: pd.Series[Any]) -> Counter[str]:
    """How many cells of an object column belong to each family of types, the commonest first."""
    if values.dtype != object:
        return Counter()
    types = Counter(map(type, values[values.notna().to_numpy()].tolist()))
    found: Counter[str] = Counter()
    for kind, count in types.items():
        found[_family(kind)] += count
    return Counter(dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))))


def _family(kind: type[Any]) -> str:
    for family, kinds in (
        ("text", (str,)),
        ("boolean", (bool, np.bool_)),
        ("number", (int, float, np.integer, np.floating, Decimal, Fraction)),
        ("time", (datetime, date, np.datetime64)),
    ):
        if issubclass(kind, kinds):
            return family
    return "nested"


def guessed(values: pd.Series[Any], found: Counter[str]) -> Kind:
    """The kind of a column that no contract knows, from its type and the `families` of its cells."""
    types = pd.api.types
    if isinstance(values.dtype, (pd.CategoricalDtype, pd.IntervalDtype)):
        return "category"
    if isinstance(values.dtype, pd.PeriodDtype):
        return "time"
    if types.is_bool_dtype(values) or next(iter(found), "") == "boolean":
        return "boolean"
    if types.is_datetime64_any_dtype(values):
        return "time"
    if types.is_integer_dtype(values):
        return "integer"
    if types.is_numeric_dtype(values) or types.is_timedelta64_dtype(values):
        return "number"
    family = next(iter(found), "text")
    if family == "number":
        return "number"
    if family == "time":
        return "time"
    texts = values.dropna().astype(str)
    if len(texts) and texts.head(1000).str.strip().str.fullmatch(_ISO_TIME).all():
        _, unreadable = coerced(texts, Column("time", "time", ""))
        return "text" if unreadable.mean() > 0.01 else "time"
    return "text"


def plain(values: pd.Series[Any]) -> pd.Series[Any]:
    """The values with exotic numbers and times as plain ones; raises TypeError for complex numbers."""
    if pd.api.types.is_timedelta64_dtype(values):
        return pd.Series(values.dt.total_seconds(), name=values.name)
    if pd.api.types.is_complex_dtype(values):
        raise TypeError("complex numbers have no order")
    if isinstance(values.dtype, pd.PeriodDtype):
        return pd.Series(values.dt.to_timestamp(), name=values.name)
    if isinstance(values.dtype, pd.IntervalDtype):
        return values.map(str, na_action="ignore").astype(object)
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.astype(object)
    if values.dtype != object:
        return values
    return pd.Series(
        [_plain_cell(cell) for cell in values], index=values.index, dtype=object, name=values.name
    )


def _plain_cell(cell: Any) -> Any:
    if isinstance(cell, (Decimal, Fraction)) or (
        isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) >= 1 << 63
    ):
        try:
            return float(cell)
        except OverflowError:
            return np.inf if cell > 0 else -np.inf
    if isinstance(cell, date) and not isinstance(cell, datetime):
        return pd.Timestamp(cell)
    return cell


def infinite(values: pd.Series[Any]) -> Mask:
    """Which values are infinite."""
    if values.dtype == object:
        return np.array([isinstance(v, (float, np.floating)) and np.isinf(v) for v in values], dtype=bool)
    if not pd.api.types.is_numeric_dtype(values):
        return np.zeros(len(values), dtype=bool)
    return np.asarray(np.isinf(values.to_numpy(dtype=np.float64, na_value=np.nan)), dtype=bool)
