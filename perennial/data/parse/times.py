"""Times as they are written, and local times put into UTC."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Written = str | int | float | bool

_NONE = timedelta(0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = {"unix_s": 1, "unix_ms": 1000}
_COUNT = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?")


def reader(pattern: str) -> Callable[[Written], datetime]:
    """What reads a time written as `pattern` says: iso, unix_s, unix_ms, or a pattern of strptime.

    The times are naive where the text names no zone. What reads them raises ValueError where it cannot.

    Raises:
        ValueError: where `pattern` is none.
    """
    if pattern == "iso":
        return _iso
    if pattern in _SECONDS:
        units = _SECONDS[pattern]
        return lambda written: _since_epoch(written, units)
    if "%" not in pattern:
        raise ValueError(f"expected iso, unix_s, unix_ms or a pattern such as %d.%m.%Y, found {pattern!r}")
    sample = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    datetime.strptime(sample.strftime(pattern), pattern)
    return lambda written: datetime.strptime(_text(written), pattern)


def zone_named(name: str) -> ZoneInfo:
    """The time zone called `name`; raises ValueError where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"expected a time zone such as Europe/Berlin, found {name!r}") from error


def in_utc(times: Sequence[datetime | None], zone: ZoneInfo) -> list[datetime | None]:
    """The times in UTC, naive ones read as local time of `zone`, in the order of one answer.

    The hour that the clocks run through twice is resolved by order: what comes first is summer time. In a stretch
    of consecutive rows within that hour, a step back to an earlier label (02:45, 02:00) starts the second pass;
    without one, labels that stand there an even number of times each (02:00, 02:00) are halved. Rows in falling
    order are read from their end. None stands for None, for a label that no clock showed (the hour that is
    skipped in spring), for a stretch whose order says nothing, and for times beyond the years 1 to 9999.
    """
    falling = _is_falling(times)
    ordered = list(reversed(times)) if falling else list(times)
    shifts = [_NONE if time is None else _shift(time, zone) for time in ordered]
    result = [
        None if time is None or shift > _NONE else _settled(time, zone)
        for time, shift in zip(ordered, shifts, strict=True)
    ]
    for stretch in _double_stretches(ordered, shifts):
        folds = _passes([label for _, label in stretch])
        for (row, label), fold in zip(stretch, folds, strict=True):
            result[row] = None if fold is None else _settled(label, zone, fold)
    return result[::-1] if falling else result


def _iso(written: Written) -> datetime:
    return datetime.fromisoformat(_text(written))


def _since_epoch(written: Written, per_second: int) -> datetime:
    if isinstance(written, str):
        if not _COUNT.fullmatch(written):
            raise ValueError("a count of seconds expected")
        written = float(written) if "." in written else int(written)
    elif isinstance(written, bool):
        raise ValueError("a count of seconds expected")
    try:
        if per_second == 1000:
            return _EPOCH + timedelta(milliseconds=written)
        return _EPOCH + timedelta(seconds=written)
    except OverflowError as error:
        raise ValueError("a time of the years 1 to 9999 expected") from error


def _text(written: Written) -> str:
    if isinstance(written, (bool, float)):
        raise ValueError("a written time expected")
    return str(written)


def _is_falling(times: Sequence[datetime | None]) -> bool:
    naive = [time for time in times if time is not None and time.tzinfo is None]
    return len(naive) > 1 and naive[0] > naive[-1]


def _settled(time: datetime, zone: ZoneInfo, fold: int = 0) -> datetime | None:
    try:
        local = time if time.tzinfo is not None else time.replace(tzinfo=zone, fold=fold)
        return local.astimezone(UTC)
    except OverflowError:
        return None


def _shift(time: datetime, zone: ZoneInfo) -> timedelta:
    """What a clock change at this label adds: above zero in a skipped hour, below zero in a double one."""
    if time.tzinfo is not None:
        return _NONE
    first = time.replace(tzinfo=zone, fold=0).utcoffset()
    second = time.replace(tzinfo=zone, fold=1).utcoffset()
    return _NONE if first is None or second is None else second - first


def _double_stretches(
    times: Sequence[datetime | None], shifts: Sequence[timedelta]
) -> Iterator[list[tuple[int, datetime]]]:
    """Stretches of rows, each with its label, whose labels the clocks showed twice on one day."""

    def day(row: tuple[int, datetime]) -> date | None:
        return row[1].date() if shifts[row[0]] < _NONE else None

    rows = [(row, time) for row, time in enumerate(times) if time is not None]
    for of_day, stretch in groupby(rows, key=day):
        if of_day is not None:
            yield list(stretch)


def _passes(labels: Sequence[datetime]) -> list[int | None]:
    """Per label 0 for the first pass through the hour, 1 for the second, None where the order says nothing."""
    steps_back = [row + 1 for row, (label, following) in enumerate(pairwise(labels)) if following < label]
    if len(steps_back) == 1:
        return [int(row >= steps_back[0]) for row in range(len(labels))]
    counts = [len(list(group)) for _, group in groupby(labels)]
    if not steps_back and all(count == 1 for count in counts):
        return [0] * len(labels)
    if not steps_back and all(count % 2 == 0 for count in counts):
        return [int(row >= count // 2) for count in counts for row in range(count)]
    return [None] * len(labels)
