"""When records happened: counts over calendar buckets, gaps, and how late they could be known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perennial.data.exploration.histogram import Floats, Histogram, histogram
from perennial.live.report.time_axis import EARLIEST_S, LATEST_S

MOST_BUCKETS = 130
REGULAR_SHARE = 0.5
FALSE_GAPS = 0.01
FEWEST_STEPS = 5
_HOUR, _DAY = 3600.0, 86400.0

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Buckets:
    """Records per calendar unit: `edges` are seconds since 1970 (UTC), one more than there are counts."""

    unit: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def empty(self) -> int:
        """How many units have no record."""
        return sum(count == 0 for count in self.counts)


@dataclass(frozen=True)
class Gap:
    """A stretch without a record, from one record's time to the next one's; `steps` are missing, 0 if unknown."""

    start: float
    stop: float
    steps: int = 0


@dataclass(frozen=True)
class Gaps:
    """The gaps, longest first, and the rule by which they are gaps; `step` is the usual one in s, NaN if none."""

    rule: str
    step: float
    found: tuple[Gap, ...]

    @property
    def missing_steps(self) -> int:
        """How many regular times have no record."""
        return sum(gap.steps for gap in self.found)


@dataclass(frozen=True)
class Delay:
    """Seconds between when records happened and when they could be known."""

    records: int
    least: float
    median: float
    late: float
    greatest: float
    negative: int
    drawn: Histogram | None


@dataclass(frozen=True)
class Coverage:
    """The times of a table: `column` says when records happened, `known_column` when they could be known."""

    column: str
    records: int
    without: int
    first: float
    last: float
    buckets: Buckets
    gaps: Gaps | None
    known_column: str = ""
    delay: Delay | None = None


def coverage(
    column: str, happened: Floats, known_column: str = "", known: Floats | None = None
) -> Coverage | None:
    """What the times say, in seconds since 1970, NaN for none; None where no record has a time."""
    times = happened[~np.isnan(happened)]
    if not len(times):
        return None
    return Coverage(
        column=column,
        records=len(times),
        without=len(happened) - len(times),
        first=float(times.min()),
        last=float(times.max()),
        buckets=buckets(times),
        gaps=gaps(times),
        known_column=known_column,
        delay=None if known is None else delay(known - happened),
    )


def buckets(times: Floats, most: int = MOST_BUCKETS) -> Buckets:
    """Counts over the finest calendar unit that needs at most `most` buckets between first and last time."""
    for unit in _UNITS:
        low, high = (int(_number(np.array([end]), unit)[0]) for end in (times.min(), times.max()))
        if high - low < most:
            break
    counts = np.bincount(_number(times, unit) - low, minlength=high - low + 1)
    edges = np.clip(_start(np.arange(low, high + 2), unit), EARLIEST_S, LATEST_S)
    return Buckets(unit, tuple(edges.tolist()), tuple(counts.tolist()))


_UNITS = ("hour", "day", "week", "month", "quarter", "year", "decade", "century", "millennium")
_LENGTH = {"hour": _HOUR, "day": _DAY, "week": 7 * _DAY}
_MONTHS = {"month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200, "millennium": 12000}
_MONDAY = 4 * _DAY
_MONTHS_TO_1970 = 1970 * 12


def _number(times: Floats, unit: str) -> Places:
    """The number of the calendar unit that each time falls into."""
    if unit in _LENGTH:
        return np.asarray(np.floor((times - _MONDAY) / _LENGTH[unit]), dtype=np.int64)
    months = np.floor(times).astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    return np.asarray((months + _MONTHS_TO_1970) // _MONTHS[unit], dtype=np.int64)


def _start(numbers: Places, unit: str) -> Floats:
    """When the calendar units of these numbers start, in seconds since 1970."""
    if unit in _LENGTH:
        return np.asarray(numbers * _LENGTH[unit] + _MONDAY, dtype=np.float64)
    months = (numbers * _MONTHS[unit] - _MONTHS_TO_1970).astype("datetime64[M]")
    return months.astype("datetime64[s]").astype(np.int64).astype(np.float64)


def gaps(times: Floats) -> Gaps | None:
    """Stretches without a record that are longer than the table's own rhythm explains; None below 6 times.

    Where one step between successive times is the usual one (at least half of all), a gap is a step of at
    least 1.5 times that length. Else the times are taken as random at a constant rate, whose longest of n
    steps exceeds ln(n / p) mean steps with probability p = 0.01 at most (the union bound on exponential
    steps); the mean is taken as no less than median / ln 2, and longer steps are gaps.
    """
    moments = np.unique(times)
    steps = np.diff(moments)
    if len(steps) < FEWEST_STEPS:
        return None
    lengths, counts = np.unique(np.round(steps, 3), return_counts=True)
    usual, share = float(lengths[counts.argmax()]), float(counts.max() / len(steps))
    if share >= REGULAR_SHARE and usual > 0:
        limit, rule = 1.5 * usual, f"records come every {span_text(usual)}; a longer step is a gap"
    else:
        usual = math.nan
        mean = max(float(steps.mean()), float(np.median(steps)) / math.log(2))
        limit = mean * math.log(len(steps) / FALSE_GAPS)
        rule = (
            f"records come irregularly; a step above {span_text(limit)} is a gap, which random times at the "
            f"mean rate would show in 1 of {1 / FALSE_GAPS:.0f} tables"
        )
    wide = np.flatnonzero(steps > limit)
    ranked = wide[np.lexsort((wide, -steps[wide]))]
    found = tuple(
        Gap(
            float(moments[i]),
            float(moments[i + 1]),
            0 if math.isnan(usual) else max(1, round(float(steps[i]) / usual) - 1),
        )
        for i in ranked.tolist()
    )
    return Gaps(rule, usual, found)


def delay(seconds: Floats) -> Delay | None:
    """How the delays (s, NaN for none) are distributed; None without one."""
    known = seconds[~np.isnan(seconds)]
    if not len(known):
        return None
    least, median, late, greatest = np.quantile(known, [0, 0.5, 0.95, 1]).tolist()
    return Delay(len(known), least, median, late, greatest, int((known < 0).sum()), histogram(known))


def span_text(seconds: float) -> str:
    """A length of time in the unit that suits it.

    >>> span_text(5400.0), span_text(86400.0), span_text(-90.0), span_text(0.0)
    ('1.5 h', '1 day', '−1.5 min', '0 s')
    """
    unit, length = span_unit(seconds)
    count = seconds / length
    text = f"{count:,.3g}" if abs(count) < 1000 else f"{count:,.0f}"
    plural = "s" if unit in ("day", "year") and text not in ("1", "-1") else ""
    return f"{text.replace('-', '−')} {unit}{plural}"


def span_unit(seconds: float) -> tuple[str, float]:
    """The unit in which a length of time reads best, and its seconds."""
    size = abs(seconds)
    for unit, length in (("year", 365.2425 * _DAY), ("day", _DAY), ("h", _HOUR), ("min", 60.0)):
        if size >= (2 if unit == "year" else 1) * length * 0.9995:
            return unit, length
    return "s", 1.0
