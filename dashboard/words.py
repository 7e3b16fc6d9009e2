"""How numbers and texts are shown on a page."""

from __future__ import annotations

import math

MARKDOWN = frozenset("\\`*_{}[]<>#$~:|")


def plain(text: str) -> str:
    r"""A text as Streamlit's markdown shows it unchanged.

    >>> print(plain("price_gbp costs $5"))
    price\_gbp costs \$5
    """
    return "".join(f"\\{c}" if c in MARKDOWN else c for c in text)


def number(value: float, digits: int = 5) -> str:
    """A number as people read it, to so many digits; whole ones in full.

    >>> number(150000.0), number(0.0123456), number(20409.3085), number(2017), number(9876.54)
    ('150,000', '0.012346', '20,409', '2017', '9876.5')
    """
    whole = float(value).is_integer() or abs(value) >= 10 ** (digits - 1)
    if abs(value) >= 1e15 or not whole:
        return f"{value:.{digits}g}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.0f}"


def with_unit(value: float, unit: str) -> str:
    """A number with its unit.

    >>> with_unit(12.5, "GBP"), with_unit(3, "1")
    ('12.5 GBP', '3')
    """
    return number(value) if unit in ("", "1") else f"{number(value)} {unit}"


def stretch(low: float, high: float, unit: str) -> str:
    """Two bounds, as finely as the larger one of them is written.

    >>> stretch(7998.214, 14544.3, "GBP"), stretch(-0.0123456, 0.5, "1"), stretch(61000, 62500, "MW")
    ('7,998 to 14,544 GBP', '-0.01235 to 0.50000', '61,000 to 62,500 MW')
    """
    largest = max(abs(low), abs(high))
    if not 1e-3 <= largest < 1e15:
        return f"{number(low)} to {with_unit(high, unit)}"
    places = max(0, 4 - math.floor(math.log10(largest)))
    places = 0 if float(low).is_integer() and float(high).is_integer() else min(places, 5)
    bounds = f"{low:,.{places}f} to {high:,.{places}f}"
    return bounds if unit in ("", "1") else f"{bounds} {unit}"


def sentence(text: str) -> str:
    """A text that begins with a capital and ends with a stop.

    >>> sentence("expected a year, found none")
    'Expected a year, found none.'
    """
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def count(n: int, one: str, many: str = "") -> str:
    """How many of something.

    >>> count(1, "row"), count(1200, "row"), count(2, "entry", "entries")
    ('1 row', '1,200 rows', '2 entries')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"
