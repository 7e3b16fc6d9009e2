"""Where the parts of a series lie on an axis, and what their values and bands are called."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from perennial.evidence import Evaluation
from perennial.live.report.plots import Point
from perennial.live.report.text import as_float, is_number, percent_text

Record = Mapping[str, Any]


def ahead_text(horizon: object) -> str:
    """How far ahead a row looks, in words, from the name of the column that says so.

    >>> ahead_text("horizon_hours"), ahead_text("")
    ('hours ahead', 'horizon')
    """
    name = str(horizon or "").replace("_", " ").strip()
    return f"{name.removeprefix('horizon ')} ahead" if name.startswith("horizon ") else name or "horizon"


def horizon_of(line: Record) -> float:
    """How far ahead the rows of a part look; NaN where that is not known."""
    return as_float(line.get("horizon"))


def seconds(moment: object) -> float:
    """A time in ISO 8601 as seconds since 1970, a naive one taken as UTC; NaN for anything else.

    >>> seconds("1970-01-02T00:00:00+00:00"), seconds(None)
    (86400.0, nan)
    """
    try:
        time = datetime.fromisoformat(str(moment))
    except ValueError:
        return math.nan
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def banded(parts: Sequence[Record], place: Callable[[Record], float], key: str) -> tuple[Point, ...]:
    """The values of `key` at their places, with the ends of their intervals."""
    return tuple(
        Point(place(p), as_float(p.get(key)), as_float(p.get("low")), as_float(p.get("high"))) for p in parts
    )


def level_text(evaluation: Evaluation) -> str:
    """What the bands are: intervals of the level at which the metrics were measured."""
    level = next((m.level for m in evaluation.metrics), math.nan)
    return f"its {percent_text(level)} interval" if is_number(level) else ""
