"""Cells: the values of collected rows in the type that their field's `parse` says, and the keys made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from perennial.config_web import Feed, FieldRule
from perennial.data.answer import CollectedRow, Value
from perennial.data.content import TIMES
from perennial.errors import DatasetError


def field_column(feed: str, name: str, parse: str, values: list[Value]) -> pd.Series[Any]:
    """One field's values in the type of its `parse`."""
    readers: dict[str, tuple[Callable[[Any], Any], Any]] = {
        "text": (_text, object),
        "url": (_text, object),
        "number": (float, np.float64),
        "integer": (_integer, pd.Int64Dtype()),
        "boolean": (_boolean, pd.BooleanDtype()),
        "time": (_moment, TIMES),
    }
    read, dtype = readers[parse]
    cells: list[Any] = []
    for value in values:
        try:
            cells.append(None if _is_missing(value) else read(value))
        except (TypeError, ValueError, OverflowError) as error:
            raise DatasetError(
                f"column {name}",
                f"expected {parse} in feed {feed}, found {value!r:.80}",
                "change the field's `parse` in the config",
            ) from error
    column: pd.Series[Any] = pd.Series(cells, dtype=dtype)
    return column


def _is_missing(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Value) -> str:
    text = value if isinstance(value, str) else str(value)
    text.encode()
    return text


def _integer(value: Value) -> int:
    if not isinstance(value, (int, float)) or value != int(value) or not -(2**63) <= value < 2**63:
        raise ValueError("no integer of 64 bits")
    return int(value)


def _boolean(value: Value) -> bool:
    if not isinstance(value, bool):
        raise TypeError("no boolean")
    return value


def _moment(value: Value) -> datetime:
    if not isinstance(value, str):
        raise TypeError("no text")
    return datetime.fromisoformat(value).astimezone(UTC)


def key_of(feed: Feed, row: CollectedRow) -> str | None:
    """The values of the key's fields; several are joined by `|`, and a `|` or backslash in them is escaped.

    None where one of them is missing or blank.
    """
    parts = [_key_part(feed.fields[name], row.values.get(name)) for name in feed.key]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if len(known) == 1:
        return known[0]
    return "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in known)


def _key_part(rule: FieldRule, value: Value) -> str | None:
    if _is_missing(value) or not str(value).strip():
        return None
    if rule.parse == "time":
        return _moment(value).isoformat()
    if rule.parse == "number":
        return repr(float(value or 0) + 0.0)
    return str(value)
