"""Lengths of time as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def in_words(span: timedelta) -> str:
    """A length of time in its two largest units.

    >>> in_words(timedelta(days=3, hours=4, minutes=5))
    '3 days 4 hours'
    >>> in_words(timedelta(minutes=1))
    '1 minute'
    >>> in_words(timedelta(seconds=59))
    'less than a minute'
    """
    rest = max(int(span.total_seconds()), 0)
    parts: list[tuple[int, str]] = []
    for name, size in UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append((count, name))
    told = [f"{count} {name}{'s' * (count != 1)}" for count, name in parts[:2] if count]
    return " ".join(told) or "less than a minute"


def at(time: datetime) -> str:
    """An instant to the minute, in UTC.

    >>> at(datetime(2026, 3, 1, 12, 30, tzinfo=UTC))
    '2026-03-01 12:30 UTC'
    """
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
