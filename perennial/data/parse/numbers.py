"""Numbers as people and machines write them."""

from __future__ import annotations

import math
import re
from decimal import Decimal

LONGEST = 1000
"""Characters of a text above which it is taken for no number."""

_WRITTEN = str.maketrans(
    {
        **dict.fromkeys("\u00a0\u2007\u2009\u202f\u2002\u2003\u2008\u200a\u3000\t\r\n", " "),
        **dict.fromkeys("\u2212\u2010\u2011\u2013\u2014\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2019\u2018\u02bc\u00b4", "'"),
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff", None),
    }
)
_FOREIGN = re.compile(r"[^\x00-\x7f¹²³€£¥]")
_PLAIN = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_TOKEN = re.compile(r"(?:(?<![^\W_])(?<![.,])[.,])?[0-9]+(?:[ .,'][0-9]+)*")
_SEPARATOR = re.compile(r"[ .,']")
_MINUS = re.compile(r"(?:^|[^\w-])-[^\w\s]*$|^-\s?[^\w\s]*\s?$|^-[A-Z]{3}\s?$")
_MULTIPLE = re.compile(
    r"[kKM]\b|\s?[kKM]\s?(?:[€£$¥]|EUR\b|USD\b|GBP\b|CHF\b)"
    r"|\s?(?i:tsd|mio|mrd|mille|milliers|millions?|millionen|milliarden|thousand|billions?|bn|lakh|crore)\b"
)


def number(text: str, decimal: str = "auto", plain: bool = False) -> float:
    """The one number in `text`, whatever currency signs, units and words stand around it.

    Blanks of any width and apostrophes are thousands separators where three digits follow. With `decimal` "." or
    "," the other of the two separates thousands. With "auto":

    - both signs occur: the last one is the decimal sign;
    - one sign occurs once: it separates thousands where one to three digits, the first no zero, stand before it
      and exactly three behind it, and no other separator is there; else it is the decimal sign;
    - one sign occurs again and again: it separates thousands.

    `plain` says that programs wrote the text (JSON, CSV): then 1.234 with nothing around it has a decimal point.

    Raises:
        ValueError: where there is no number, more than one, one of uncertain form (1.2.3, 12/2020, 2 1/2), or a
            multiple (1.5k, 3 Mio): nothing is guessed.

    >>> number("12 900 €"), number("£13,400"), number("EUR 1.299,-"), number("-1'234.5")
    (12900.0, 13400.0, 1299.0, -1234.5)
    """
    value = float(numeral(text, decimal, plain)) + 0.0
    if not math.isfinite(value):
        raise ValueError("a finite number expected")
    return value


def integer(text: str, decimal: str = "auto", plain: bool = False) -> int:
    """The one whole number in `text`, within 64 bits; see `number`.

    Raises:
        ValueError: where `number` does, and for a number with a fraction.

    >>> integer("73 962 km"), integer("2011.0")
    (73962, 2011)
    """
    written = numeral(text, decimal, plain)
    return whole(int(written) if written.lstrip("-").isdigit() else Decimal(written))


def whole(value: int | float | Decimal) -> int:
    """`value` as an integer of 64 bits; raises ValueError where it is none."""
    if not math.isfinite(value) or not -(2**63) <= value < 2**63 or value != int(value):
        raise ValueError("a whole number of at most 64 bits expected")
    return int(value)


def numeral(text: str, decimal: str = "auto", plain: bool = False) -> str:
    """The one number in `text` as Python writes it: digits, a point, a minus; see `number`."""
    if text.isdigit() and text.isascii() and len(text) <= LONGEST:
        return text
    if len(text) > LONGEST:
        raise ValueError("a number expected")
    if _FOREIGN.search(text):
        text = text.translate(_WRITTEN)
        if any(sign.isnumeric() for sign in _FOREIGN.findall(text)):
            raise ValueError("a number of the digits 0 to 9 expected")
    text = text.replace("`", "'").strip()
    as_program = _PLAIN.fullmatch(text)
    if as_program and decimal != "," and (plain or decimal == "." or as_program[1]):
        return text
    token = _TOKEN.search(text)
    if token is None or _TOKEN.search(text, token.end()):
        raise ValueError("exactly one number expected")
    if _MULTIPLE.match(text, token.end()):
        raise ValueError("a number expected, not a multiple of one")
    sign = "-" if "-" in text and _MINUS.search(text, 0, token.start()) else ""
    return sign + _without_separators(token[0], decimal)


def _without_separators(token: str, decimal: str) -> str:
    """`token` without its thousands separators and with a point as its decimal sign."""
    groups = _SEPARATOR.split(token)
    signs = _SEPARATOR.findall(token)
    point = _decimal_place(groups, signs, decimal)
    fraction = "." + groups.pop() if point else ""
    if point:
        signs.pop()
    if signs and not _are_thousands(groups, signs):
        raise ValueError("thousands of three digits expected")
    return ("".join(groups) or "0") + fraction


def _decimal_place(groups: list[str], signs: list[str], decimal: str) -> bool:
    """Whether the last sign of a token is its decimal sign."""
    marks = [sign for sign in signs if sign in ".,"]
    if not marks:
        return False
    last = signs[-1]
    if decimal != "auto":
        if decimal not in marks:
            return False
        if last != decimal or marks.count(decimal) > 1:
            raise ValueError("one decimal sign expected")
        return True
    if len(set(marks)) == 2:
        if last not in ".," or marks.count(last) > 1:
            raise ValueError("one decimal sign expected, behind the thousands")
        return True
    if len(marks) > 1:
        return False
    if len(signs) > 1:
        if last not in ".,":
            raise ValueError("a decimal sign behind the thousands expected")
        return True
    before, behind = groups
    return not (1 <= len(before) <= 3 and before[0] != "0" and len(behind) == 3)


def _are_thousands(groups: list[str], signs: list[str]) -> bool:
    """Whether groups of digits are thousands, or lakhs such as 12,34,567."""
    if len(groups[-1]) != 3 or any(sign != signs[0] for sign in signs):
        return False
    if len(groups) == 2:
        return 1 <= len(groups[0]) <= 3
    first, middle = len(groups[0]), {len(group) for group in groups[1:-1]}
    by_three = 1 <= first <= 3 and middle == {3}
    by_two = signs[0] == "," and 1 <= first <= 2 and middle == {2}
    return by_three or by_two
