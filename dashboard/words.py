"""How numbers and texts are shown on a page."""

from __future__ import annotations

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
