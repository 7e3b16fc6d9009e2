"""Five-field cron expressions, and the moments at which they fall due in a time zone.

Where crons differ among themselves, these rules hold:

- Days: where day of month and day of week are both restricted, either is enough (POSIX, crontab(5)). A step from
  `*` in one beside a restriction of the other is refused, because crons read it in two ways. 0 and 7 are Sunday.
- A job that runs in every hour of the day follows elapsed time: 23 times on the short day of a clock change and
  25 times on the long one.
- Any other job follows the wall clock, and no time of it is lost or doubled: a time that the clocks leap over
  falls due at the first moment after the leap (several of them at once), a time that comes twice falls due at
  its first coming.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise

FIELDS = ("minute", "hour", "day of month", "month", "day of week")
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
PART = re.compile(
    r"(?:(?P<all>\*)|(?P<low>[0-9]+|[a-z]{3})(?:-(?P<high>[0-9]+|[a-z]{3}))?)(?:/(?P<step>[0-9]+))?"
)
HORIZON_DAYS = 366 * 9  # 29 February may be eight years away
REACH_DAYS = 2  # no clock was ever set by more than a day


@dataclass(frozen=True)
class Cron:
    """The values of the five fields, each ascending; `weekdays` count from Sunday, 0."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @property
    def follows_elapsed_time(self) -> bool:
        """Whether it runs in every hour of its days."""
        return len(self.hours) == 24

    @property
    def either(self) -> bool:
        """Whether day of month and day of week are both restricted, so that either is enough."""
        return len(self.days) < 31 and len(self.weekdays) < 7

    def falls_on(self, day: date) -> bool:
        """Whether it runs on a day of the calendar."""
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (
            (by_day or by_weekday) if self.either else (by_day and by_weekday)
        )

    def __str__(self) -> str:
        """An equal expression in numbers that every cron reads alike.

        >>> str(read_cron("*/15 6-8 * jan-mar sat,sun"))
        '*/15 6-8 * 1-3 0,6'
        """
        fields = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        return " ".join(_shortest(v, *b) for v, b in zip(fields, BOUNDS, strict=True))


@dataclass(frozen=True)
class Calendar:
    """A cron expression in a time zone. All moments are aware; those returned are in UTC."""

    cron: Cron
    zone: tzinfo

    def next_after(self, moment: datetime) -> datetime:
        """The first time due after `moment`; raises ValueError where that is more than nine years away."""
        first = self._local(moment) - timedelta(days=REACH_DAYS)
        for day in (first + timedelta(days=n) for n in range(HORIZON_DAYS)):
            if self._first(day, moment):
                return min(
                    due for n in range(REACH_DAYS + 1) for due in self._first(day + timedelta(days=n), moment)
                )
        raise ValueError(
            f"expected {self.cron} to fall due within nine years of {moment:%Y-%m-%d}, found no day"
        )

    def last_until(self, moment: datetime, after: datetime) -> datetime | None:
        """The last time due at or before `moment` and after `after`; None where there is none."""
        last = self._local(moment) + timedelta(days=REACH_DAYS)
        days = min((last - self._local(after)).days + REACH_DAYS, HORIZON_DAYS)
        for day in (last - timedelta(days=n) for n in range(days + 1)):
            if self._last(day, moment):
                found = max(
                    due for n in range(REACH_DAYS + 1) for due in self._last(day - timedelta(days=n), moment)
                )
                return found if found > after else None
        return None

    def _local(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    def _first(self, day: date, moment: datetime) -> tuple[datetime, ...]:
        """The first time of a day after `moment`, if any. Times of neighbouring days may mingle."""
        times = due_on(self.cron, self.zone, day)
        at = bisect_right(times, moment)
        return times[at : at + 1]

    def _last(self, day: date, moment: datetime) -> tuple[datetime, ...]:
        """The last time of a day up to `moment`, if any."""
        times = due_on(self.cron, self.zone, day)
        at = bisect_right(times, moment)
        return times[max(0, at - 1) : at]


@lru_cache(maxsize=64)
def due_on(cron: Cron, zone: tzinfo, day: date) -> tuple[datetime, ...]:
    """The moments (UTC, ascending, without repeats) that belong to a day of the zone's calendar."""
    if not cron.falls_on(day):
        return ()
    walls = [datetime.combine(day, time(h, m), zone) for h in cron.hours for m in cron.minutes]
    if cron.follows_elapsed_time:
        moments = {
            wall.replace(fold=fold).astimezone(UTC) for wall in walls if _exists(wall) for fold in (0, 1)
        }
    else:
        moments = {wall.astimezone(UTC) if _exists(wall) else _after_leap(wall) for wall in walls}
    return tuple(sorted(moments))


def read_cron(text: str) -> Cron:
    """The expression's meaning; raises ValueError with one sentence on the first thing that is wrong.

    >>> read_cron("30 2 1 * *").hours
    (2,)
    >>> read_cron("0 25 * * *")
    Traceback (most recent call last):
    ValueError: expected values from 0 to 23 in the field hour, not 25
    """
    written = text.split()
    if len(written) != 5:
        raise ValueError(
            f"expected five fields of cron (minute, hour, day of month, month, day of week), not {len(written)}"
        )
    minutes, hours, days, months, weekdays = (_values(n, field) for n, field in enumerate(written))
    both = [field.removesuffix("/1") if field == "*/1" else field for field in (written[2], written[4])]
    steps, free = [field for field in both if "*" in field and field != "*"], "*" in both
    if steps and not free:
        raise ValueError(
            f"expected days that every cron reads alike, not {steps[0]} beside a restriction of the other day "
            "field; write * in one of them, or name the days (1-31/2), and either will be enough"
        )
    if not free and (len(days) == 31 or len(weekdays) == 7):
        days, weekdays = tuple(range(1, 32)), tuple(range(7))
    cron = Cron(minutes, hours, days, months, weekdays)
    if len(weekdays) == 7 and not any(day <= LONGEST[month - 1] for month in months for day in days):
        raise ValueError(
            "expected a day that comes in some year, not one that no month of the expression has"
        )
    return cron


def _values(position: int, field: str) -> tuple[int, ...]:
    """The values of one field, ascending; raises ValueError."""
    name, (low, high) = FIELDS[position], BOUNDS[position]
    found: set[int] = set()
    for part in field.lower().split(","):
        match = PART.fullmatch(part)
        if match is None:
            raise ValueError(f"expected numbers, lists, ranges and steps in the field {name}, not {field!r}")
        first = low if match["all"] else _value(position, match["low"])
        last = high if match["all"] else _value(position, match["high"]) if match["high"] else first
        if position == 4 and match["high"] and first > last == 0:
            last = 7  # fri-sun
        step = int(match["step"] or 1)
        if match["step"] and not (match["all"] or match["high"]):
            raise ValueError(
                f"expected a range before the step in the field {name} ({first}-{high}/{step}), not {part!r}"
            )
        if first > last:
            raise ValueError(
                f"expected an ascending range in the field {name}, not {part!r}; write it as two"
            )
        if step == 0 or step > max(1, last - first):
            raise ValueError(
                f"expected a step from 1 to {max(1, last - first)} in the field {name}, not {part!r}"
            )
        found |= {value % 7 if position == 4 else value for value in range(first, last + 1, step)}
    return tuple(sorted(found))


def _value(position: int, text: str) -> int:
    """One number or name of a field; raises ValueError."""
    name, (low, high) = FIELDS[position], BOUNDS[position]
    if position == 4:
        high = 7
    names = {3: dict(zip(MONTHS, range(1, 13), strict=True)), 4: dict(zip(WEEKDAYS, range(7), strict=True))}
    if not text.isdigit():
        if text not in names.get(position, {}):
            raise ValueError(f"expected values from {low} to {high} in the field {name}, not {text!r}")
        return names[position][text]
    if not low <= int(text) <= high:
        raise ValueError(f"expected values from {low} to {high} in the field {name}, not {text}")
    return int(text)


def _shortest(values: tuple[int, ...], low: int, high: int) -> str:
    """A field in as few words as every cron understands; steps from `*` only where no day is meant."""
    if len(values) == high - low + 1:
        return "*"
    steps = {b - a for a, b in pairwise(values)}
    if len(values) > 2 and len(steps) == 1 and (step := steps.pop()) > 1:
        whole = values[0] == low and values[-1] + step > high and high in (59, 23, 12)
        return f"*/{step}" if whole else f"{values[0]}-{values[-1]}/{step}"
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][-1] == value - 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ",".join(f"{r[0]}-{r[-1]}" if len(r) > 2 else ",".join(map(str, r)) for r in runs)


def _exists(wall: datetime) -> bool:
    """Whether the clocks of its zone ever show a time."""
    return wall.astimezone(UTC).astimezone(wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None)


def _after_leap(wall: datetime) -> datetime:
    """The moment (UTC) at which the clocks leapt over a time that they never showed."""
    zone = wall.tzinfo
    low = wall.replace(fold=1).astimezone(UTC)  # PEP 495: before the leap, counted with the offset after it
    high = wall.replace(fold=0).astimezone(UTC)  # and after the leap, counted with the offset before it
    offset = high.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        low, high = (low, middle) if middle.astimezone(zone).utcoffset() == offset else (middle, high)
    return high
