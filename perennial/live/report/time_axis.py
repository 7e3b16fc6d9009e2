"""Calendar marks for axes of time, in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

EARLIEST_S, LATEST_S = -62_135_596_800.0, 253_402_300_799.0  # the years 1 to 9999, all that `datetime` has
_HOURS = (1, 3, 6, 12, 24, 48, 168, 336)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 6000, 12000)


def moment(seconds: float) -> datetime:
    """The time so many seconds after 1970, in UTC; raises OverflowError outside the years 1 to 9999."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def time_marks(low: float, high: float, letters: int) -> list[tuple[float, str]]:
    """Round times within two ends (seconds since 1970), rising, each with its text.

    As many as have room side by side in a line of so many letters, two or three letters apart.

    >>> [text for _, text in time_marks(0.0, 86400.0 * 800, 28)]
    ['1970', '1971', '1972']
    """
    start, stop = moment(low), moment(high)
    for marks, pattern in _grids(start):
        most = letters // (len(f"{start:{pattern}}") + 3)
        found = list(islice(takewhile(lambda t: t <= stop, marks), most + 1))
        if len(found) <= most:
            return [(t.timestamp(), f"{t:{pattern}}") for t in found]
    return []


def _grids(start: datetime) -> Iterator[tuple[Iterator[datetime], str]]:
    """Ever wider grids of times from `start` on, each with the pattern that names its marks."""
    for hours in _HOURS:
        yield _every_hours(start, hours), "%m-%d %H:%M" if hours < 24 else "%Y-%m-%d"
    for months in _MONTHS:
        yield _every_months(start, months), "%Y-%m" if months < 12 else "%Y"


def _every_hours(start: datetime, hours: int) -> Iterator[datetime]:
    """Times that are whole multiples of a step after the Monday 1970-01-05."""
    step, monday = timedelta(hours=hours), datetime(1970, 1, 5, tzinfo=UTC)
    number = -((monday - start) // step)
    while True:
        try:
            yield monday + number * step
        except OverflowError:
            return
        number += 1


def _every_months(start: datetime, months: int) -> Iterator[datetime]:
    """First days of every so manieth month, counted from year 0."""
    number = -(-(start.year * 12 + start.month - 1) // months)
    while number * months < 120000:
        mark = (
            datetime(number * months // 12, number * months % 12 + 1, 1, tzinfo=UTC)
            if number * months >= 12
            else None
        )
        if mark is not None and mark >= start:
            yield mark
        number += 1
