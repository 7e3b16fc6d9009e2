"""A form made from a contract: one field per feature, with its type, unit, range and categories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.words import number, plain
from perennial.live.bundle import Bundle
from perennial.live.reference import training_ranges
from perennial.table import Column

LARGEST = 2**53 - 1
"""The largest whole number that a browser can tell from its neighbours."""
AT_ONCE = 24
"""A form of more features shows half as many at first."""
YES_NO = {True: "true", False: "false"}
Row = dict[str, Any]


def starts(bundle: Bundle) -> dict[str, Row]:
    """The rows that a form may start from, by what they are called: the typical row, then unseen real ones."""
    golden = bundle.golden["rows"]
    real = {f"real row {i}, not seen in training": row for i, row in enumerate(golden, 1)}
    return real | {"typical values, column by column": typical(bundle)}


def typical(bundle: Bundle) -> Row:
    """The median of every number in training, and the most frequent of all else; None where there was none."""
    profiles = bundle.reference["features"]
    return {c.name: _middle(c, profiles[c.name]) for c in bundle.contract.features}


def _middle(column: Column, profile: Mapping[str, Any]) -> Any:
    if "shares" in profile:
        shares: dict[str, float] = profile["shares"]
        most = max(shares, key=shares.__getitem__, default=None)
        return most == "true" if column.kind == "boolean" else most
    quantiles = profile["quantiles"]
    if not quantiles:
        return None
    middle = quantiles[len(quantiles) // 2]
    return round(middle) if column.kind == "integer" else middle


def title(column: Column) -> str:
    """What a field is called: the column without its unit, and the unit.

    >>> [title(Column(name, "number", "", unit=unit)) for name, unit in (("way_km", "km"), ("size_l", "litres"))]
    ['way (km)', 'size (litres)']
    """
    name, unit = column.name, column.unit
    if unit in ("", "1"):
        return name.replace("_", " ")
    bare, _, short = name.rpartition("_")
    if bare and unit.lower().startswith(short.lower()):
        name = bare
    elif name.lower().endswith(f"_{unit.lower()}"):
        name = name[: -len(unit) - 1]
    return f"{name.replace('_', ' ')} ({unit})"


def about(column: Column, trained: tuple[float, float] | None) -> str:
    """What may be entered: the description, the possible range, the range in training, whether it may be missing."""
    told = [column.description]
    if column.is_numeric and (column.minimum is not None or column.maximum is not None):
        told.append(possible(column))
    if column.is_numeric and trained:
        told.append(f"in training {number(trained[0])} to {number(trained[1])}")
    if column.kind == "category":
        told.append(f"{len(column.categories)} known")
    if column.nullable:
        told.append("may be left empty")
    return "; ".join(told)


def possible(column: Column) -> str:
    """The possible range of a number that has one.

    >>> possible(Column("mileage_km", "number", "distance driven", unit="km", minimum=0, maximum=1e6))
    '0 to 1,000,000'
    """
    low, high = column.minimum, column.maximum
    if low is not None and high is not None:
        return f"{number(low)} to {number(high)}"
    return f"at least {number(low)}" if low is not None else f"at most {number(high or 0)}"


def field(column: Column, value: Any, trained: tuple[float, float] | None, key: str) -> Any:
    """Draws the field of a feature; returns what stands in it, as a request would hold it.

    What is impossible can be entered too: what becomes of it is for the service to say.
    """
    label = plain(title(column))
    st.session_state.setdefault(key, _as_shown(column, value))
    found: Any
    if column.kind == "category":
        options = [*column.categories, *([value] if value not in (None, *column.categories) else [])]
        found = st.selectbox(
            label,
            options,
            None,
            key=key,
            accept_new_options=True,
            placeholder="empty: choose, or type another",
        )
    elif column.kind == "boolean":
        found = st.selectbox(label, list(YES_NO), None, YES_NO.__getitem__, key=key, placeholder="empty")
    elif column.kind == "integer":
        found = st.number_input(label, -LARGEST, LARGEST, None, 1, key=key, placeholder="empty")
    else:
        found = st.number_input(
            label, value=None, step=_step(trained), format="%.7g", key=key, placeholder="empty"
        )
    st.caption(plain(about(column, trained)))
    return found


def _as_shown(column: Column, value: Any) -> Any:
    """A value as its field keeps it. It stands in the session, for a field's own default cannot be emptied."""
    if value is None or not column.is_numeric:
        return value
    return int(value) if column.kind == "integer" else float(value)


def _step(trained: tuple[float, float] | None) -> float:
    """What plus and minus add: a power of ten near a hundredth of the range in training."""
    span = trained[1] - trained[0] if trained else 0.0
    return float(f"1e{math.floor(math.log10(span / 100))}") if span > 0 else 1.0


def fields(bundle: Bundle, start: Row, key: str) -> Row:
    """Draws the fields of all features, of many some at first; returns the row that stands in them."""
    features = bundle.contract.features
    first = features if len(features) <= AT_ONCE else features[: AT_ONCE // 2]
    row = _drawn(first, bundle, start, key)
    if rest := features[len(first) :]:
        with st.expander(f"{len(rest)} more features"):
            row |= _drawn(rest, bundle, start, key)
    return row


def _drawn(columns: Sequence[Column], bundle: Bundle, start: Row, key: str) -> Row:
    trained = training_ranges(bundle.reference)
    row: Row = {}
    for first in range(0, len(columns), 2):
        for place, column in zip(st.columns(2), columns[first : first + 2], strict=False):
            with place:
                name = column.name
                row[name] = field(column, start.get(name), trained.get(name), f"{key}-{name}")
    return row
