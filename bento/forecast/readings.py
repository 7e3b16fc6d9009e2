"""Rows of a feed as callers send them, read by the feed's own rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from bento.asked import violation
from perennial.config_web import Feed, FieldRule
from perennial.errors import suggestion
from perennial.live.fields import shown

TIME = "time"
LONGEST_TEXT = 1000
LEAST, MOST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Readings:
    """What rows came to.

    Attributes:
        rows: the values of the feed's fields per usable row; times are texts in UTC.
        left_out: rows that a rule of the feed keeps out, and values that it blanks: row, field and problem.
        problems: what is wrong with rows that are none of this feed, in the same form.
    """

    rows: list[Values]
    left_out: list[dict[str, Any]]
    problems: list[dict[str, Any]]


def read_rows(rows: Sequence[Any], feed: Feed) -> Readings:
    """The rows by the feed's fields; `time` stands for the field that says when a record happened.

    A value out of its field's range is blank, and a row without a required field is left out, as in collections.
    """
    found = Readings([], [], [])
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            found.problems.append(violation(place, None, f"expected an object, found {shown(row)}"))
            continue
        values, problems = _values(row, feed)
        if problems:
            found.problems.extend(violation(place, name, problem) for name, problem in problems)
            continue
        blanked = dict(_outside(values, feed))
        kept = {name: None if name in blanked else value for name, value in values.items()}
        found.left_out.extend(violation(place, name, problem) for name, problem in blanked.items())
        if _is_usable(kept, blanked, feed):
            found.rows.append(kept)
        elif not blanked:
            missing = next(n for n, rule in feed.fields.items() if rule.required and kept[n] is None)
            found.left_out.append(
                violation(place, missing, "expected a value, found none: the row is left out")
            )
    return found


def _values(row: Mapping[str, Any], feed: Feed) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The values of all fields in their types, and what is wrong by field."""
    named = {_field_of(name, feed): value for name, value in row.items()}
    problems = [
        (name, f"expected a field of the feed, found an unknown one{suggestion(name, feed.fields)}")
        for name in named
        if name not in feed.fields
    ]
    if len(named) < len(row):
        problems.append((TIME, f"expected {TIME} or {feed.event_time}, found both"))
    values: dict[str, Any] = {}
    for name, rule in feed.fields.items():
        value = named.get(name)
        try:
            values[name] = None if value is None else _reader(rule.parse)(value)
        except (ValueError, OverflowError) as error:
            problems.append((name, str(error)))
    for name in dict.fromkeys((*feed.key, *([feed.event_time] if feed.event_time else ()))):
        if values.get(name, "") is None:
            problems.append((name, "expected a value, found none"))
    return values, problems


def _field_of(name: str, feed: Feed) -> str:
    return feed.event_time if name == TIME and TIME not in feed.fields and feed.event_time else name


def _outside(values: Values, feed: Feed) -> list[tuple[str, str]]:
    found = []
    for name, rule in feed.fields.items():
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        least, most = _range(rule)
        if not least <= value <= most:
            bound = f"at least {least:g}" if value < least else f"at most {most:g}"
            found.append((name, f"expected {bound}, found {value:g}: treated as missing"))
    return found


def _range(rule: FieldRule) -> tuple[float, float]:
    return (
        -math.inf if rule.minimum is None else rule.minimum,
        math.inf if rule.maximum is None else rule.maximum,
    )


def _is_usable(values: Values, blanked: Mapping[str, str], feed: Feed) -> bool:
    return not any(
        (rule.required and values[name] is None) or (rule.unbelievable == "reject" and name in blanked)
        for name, rule in feed.fields.items()
    ) and all(values[name] is not None for name in feed.key)


@cache
def _reader(parse: str) -> Callable[[Any], Any]:
    readers: dict[str, Callable[[Any], Any]] = {
        "number": _number,
        "integer": _integer,
        "boolean": _boolean,
        "time": _time,
    }
    return readers.get(parse, _text)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number or null, found {shown(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("expected a number or null, found infinity")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"expected a number or null, found {shown(value)}") from None


def _integer(value: Any) -> int:
    found = _number(value)
    if not found.is_integer() or abs(found) > 2**53:
        raise ValueError(f"expected a whole number or null, found {shown(value)}")
    return int(found)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true, false or null, found {shown(value)}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or "\0" in value:
        raise ValueError(f"expected a text of at most {LONGEST_TEXT} characters, found {shown(value)}")
    if any("\ud800" <= sign <= "\udfff" for sign in value):
        raise ValueError("expected a text in Unicode, found half a surrogate pair")
    return value


def _time(value: Any) -> str:
    return moment(value).isoformat()


def moment(value: Any) -> datetime:
    """A time in UTC from its ISO 8601 text with a zone; raises ValueError."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"expected a time as 2026-01-31T10:00:00Z, found {shown(value)}") from None
    if found.tzinfo is None:
        raise ValueError(f"expected a time with a zone, such as 2026-01-31T10:00:00Z, found {shown(value)}")
    try:
        found = found.astimezone(UTC)
    except OverflowError:
        found = LEAST.replace(year=1)
    if not LEAST <= found <= MOST:
        raise ValueError(f"expected a time from {LEAST.year} to {MOST.year}, found {shown(value)}")
    return found
