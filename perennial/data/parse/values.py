"""One column of an answer: from what was found to values that are believed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from perennial.config_web import FieldRule
from perennial.data.answer import Value
from perennial.data.parse import times
from perennial.data.parse.numbers import integer, number, whole
from perennial.data.parse.reading import Attempts, addresser
from perennial.data.parse.select import Raw

Scalar = str | int | float | bool

_TRUE = {
    "true",
    "t",
    "yes",
    "y",
    "1",
    "on",
    "oui",
    "ja",
    "si",
    "sí",
    "sim",
    "tak",
    "wahr",
    "vrai",
    "vero",
    "✓",
}
_FALSE = {
    "false",
    "f",
    "no",
    "n",
    "0",
    "off",
    "non",
    "nein",
    "nej",
    "não",
    "nie",
    "falsch",
    "faux",
    "falso",
    "✗",
}
_NUMERIC = ("number", "integer")


@dataclass(frozen=True)
class Column:
    """The values of a field in the order of the rows; `bad_rows` are those that its rule rejects."""

    values: Sequence[Value]
    hits: int
    unreadable: int
    out_of_range: int
    bad_rows: frozenset[int]


class FieldReader:
    """Reads the values of one field by its rule."""

    def __init__(self, name: str, rule: FieldRule, attempt: Attempts) -> None:
        self.rule = rule
        where = f"fields.{name}"
        regex = rule.regex
        self.pattern = attempt(f"{where}.regex", lambda: _pattern(regex)) if regex is not None else None
        self.missing = frozenset(rule.missing)
        self.as_written = self.pattern is None and not self.missing and not rule.translate
        if rule.parse == "time":
            self.moment = attempt(f"{where}.format", lambda: times.reader(rule.format))
            self.zone = attempt(f"{where}.zone", lambda: times.zone_named(rule.zone))
        self._expect_fitting_options(where, attempt)
        self.ranged = rule.minimum is not None or rule.maximum is not None

    def column(self, found: Sequence[Raw], base: str, plain: bool) -> Column:
        """The values; `base` is the address that relative ones are joined to, for `plain` see `numbers.number`."""
        written = [None if raw is None else self._written(raw) for raw in found]
        values, unreadable = self._read(
            written, base, plain and self.rule.css is None and self.rule.xpath is None
        )
        outside = self._outside(values) if self.ranged else []
        for row in outside:
            values[row] = None
        bad = {*unreadable, *outside} if self.rule.unbelievable == "reject" else set()
        if self.rule.required:
            bad.update(row for row, value in enumerate(values) if value is None)
        hits = sum(raw is not None for raw in found)
        return Column(values, hits, len(unreadable), len(outside), frozenset(bad))

    def _written(self, raw: Raw) -> Scalar | None:
        """The text (or JSON number or truth) that stands for the value; None where it is missing."""
        if not isinstance(raw, (str, list, dict)) and self.as_written:
            return raw
        if isinstance(raw, str) and self.as_written:
            return " ".join(raw.split()) or None
        if isinstance(raw, list) and self.as_written and self.rule.join is None:
            first = next((item for item in raw if item is not None and item != ""), None)
            return first if isinstance(first, (int, float)) else " ".join(_text(first).split()) or None
        items = raw if isinstance(raw, list) else [raw]
        texts = [text for item in items if (text := " ".join(_text(item).split()))]
        if self.pattern is not None:
            texts = [match[match.re.groups and 1] for text in texts for match in self.pattern.finditer(text)]
            texts = [text.strip() for text in texts if text and not text.isspace()]
        if not texts:
            return None
        text = texts[0] if self.rule.join is None else self.rule.join.join(texts)
        return None if text in self.missing else self.rule.translate.get(text, text) or None

    def _read(
        self, written: Sequence[Scalar | None], base: str, plain: bool
    ) -> tuple[list[Value], Sequence[int]]:
        """The values, and the rows in which one stands that cannot be read."""
        if self.rule.parse == "text":
            return [None if one is None else _text(one) for one in written], ()
        if self.rule.parse == "time":
            moments, unreadable = _each(self.moment, written)
            settled = times.in_utc(moments, self.zone)
            lost = [row for row, time in enumerate(settled) if time is None and moments[row] is not None]
            return [None if time is None else time.isoformat() for time in settled], [*unreadable, *lost]
        return _each(self._value_reader(base, plain), written)

    def _value_reader(self, base: str, plain: bool) -> Callable[[Scalar], Value]:
        rule = self.rule
        if rule.parse == "number":
            return lambda one: _number(one, rule, plain)
        if rule.parse == "integer":
            return lambda one: _integer(one, rule, plain)
        if rule.parse == "boolean":
            return boolean
        address = addresser(base)
        return lambda one: address(_text(one))

    def _outside(self, values: Sequence[Value]) -> list[int]:
        least = -float("inf") if self.rule.minimum is None else self.rule.minimum
        most = float("inf") if self.rule.maximum is None else self.rule.maximum
        return [
            row
            for row, value in enumerate(values)
            if isinstance(value, (int, float)) and not least <= value <= most
        ]

    def _expect_fitting_options(self, where: str, attempt: Attempts) -> None:
        rule = self.rule
        numeric = rule.parse in _NUMERIC
        for option in ("minimum", "maximum", "decimal", "scale"):
            given = getattr(rule, option) != FieldRule.model_fields[option].default
            attempt.expect(
                f"{where}.{option}",
                numeric or not given,
                f"expected parse: number or integer, found {rule.parse}",
            )
        for option in ("format", "zone"):
            given = getattr(rule, option) != FieldRule.model_fields[option].default
            attempt.expect(
                f"{where}.{option}",
                rule.parse == "time" or not given,
                f"expected parse: time, found {rule.parse}",
            )
        if rule.minimum is not None and rule.maximum is not None:
            attempt.expect(
                f"{where}.minimum",
                rule.minimum <= rule.maximum,
                f"expected at most {rule.maximum:g}, found {rule.minimum:g}",
            )


def boolean(written: Scalar) -> bool:
    """The truth that is written: true, yes, 1 or the like in several languages; raises ValueError for others.

    >>> boolean("Oui"), boolean("0"), boolean(False)
    (True, False, False)
    """
    if isinstance(written, bool):
        return written
    text = _text(written).casefold()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("yes or no expected")


def _each(read: Callable[[Scalar], Any], written: Sequence[Scalar | None]) -> tuple[list[Any], list[int]]:
    """What `read` makes of each, None for none, and the rows at which it raised ValueError."""
    values: list[Any] = []
    unreadable: list[int] = []
    for row, one in enumerate(written):
        try:
            values.append(None if one is None else read(one))
        except ValueError:
            values.append(None)
            unreadable.append(row)
    return values, unreadable


def _number(written: Scalar, rule: FieldRule, plain: bool) -> float:
    if isinstance(written, bool):
        raise ValueError("a number expected")
    value = number(written, rule.decimal, plain) if isinstance(written, str) else _float(written)
    return value * rule.scale


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("a number within reach expected") from error


def _integer(written: Scalar, rule: FieldRule, plain: bool) -> int:
    if isinstance(written, bool):
        raise ValueError("a number expected")
    if rule.scale == 1:
        return integer(written, rule.decimal, plain) if isinstance(written, str) else whole(written)
    return whole(round(_number(written, rule, plain), 6))


def _text(value: Raw) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return ""


def _pattern(regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"expected a regular expression, found {regex!r}: {error}") from error
