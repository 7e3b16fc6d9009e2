"""Earlier values of the series that is predicted, told relative to its level at the origin.

All read windows without gaps: what was not known is there as it was a week, or else a day, before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from perennial.data.features.days_off import days_of
from perennial.data.features.known import seasonally_filled
from perennial.data.features.origins import Floats, Origins, Positions, taken
from perennial.data.features.part import History, Part, Values
from perennial.table import Column

WEEK = 7
EARLIER_DAYS = (1, 2, 3, 4, 5, 6, 7, 14, 21)
HOURS_OF_LAST_WEEK = 6
FARTHEST_SIMILAR_DAYS = 35
DAY = pd.Timedelta(days=1)
HOUR = pd.Timedelta(hours=1)


@dataclass(frozen=True)
class Series:
    """The series that is predicted.

    Attributes:
        name: what its columns and its windows are called.
        unit: its unit.
        lags: whether an earlier value is told as its difference from the level, or its ratio to it.
        step: the length of a step.
        ahead: how many steps are predicted.
    """

    name: str
    unit: str
    lags: Literal["difference", "ratio"]
    step: pd.Timedelta
    ahead: int

    @property
    def nearest_days(self) -> int:
        """The fewest whole days before every predicted step that lie before the origin."""
        return max(-(-self.ahead * self.step // DAY), 1)

    def relative(self, values: Floats, level: Floats) -> Floats:
        """Values told relative to the level, which broadcasts to them; no ratio to a level of 0 or less."""
        if self.lags == "difference":
            return values - level
        return values / np.where(level > 0, level, np.nan)

    def lag(self, name: str, about: str) -> Column:
        """The column of an earlier value."""
        unit, told = ("1", "as a ratio to") if self.lags == "ratio" else (self.unit, "as a difference from")
        return Column(
            f"{self.name}_{name}", "number", f"{about}, {told} {self.name}_level", unit=unit, nullable=True
        )

    def level(self, history: History) -> Floats:
        """The mean of the last seven days, shape (n_origins, 1)."""
        return self.blocks(history, history.origins.per_day * WEEK, 1)

    def blocks(self, history: History, size: int, count: int, before: int = 0) -> Floats:
        """Means of the newest `count` blocks of `size` known steps, newest first, shape (n_origins, count).

        `before` is how many further steps they lie back.
        """
        stop = history.origins.back - history.shift - before
        chosen = history.series[self.name][:, stop - size * count : stop]
        return mean(chosen.reshape(len(chosen), count, size), axis=2)[:, ::-1]


def without_gaps(windows: Floats, origins: Origins) -> Floats:
    """Windows with what was missing or not known replaced by what was a week, or else a day, before."""
    return seasonally_filled(seasonally_filled(windows, WEEK * origins.per_day), origins.per_day)


def lag_parts(series: Series, country: str) -> tuple[Part, ...]:
    """All parts of earlier values: the level, the last hours and days, the same clock time, a similar day."""
    return (
        _level(series),
        _last_hours(series),
        _last_days(series),
        _same_clock(series),
        _similar_day(series, country),
        _unrest(series),
    )


def mean(values: Floats, axis: int) -> Floats:
    """The mean of what is there along an axis; NaN where nothing is."""
    present = np.isfinite(values)
    total, count = np.where(present, values, 0.0).sum(axis=axis), present.sum(axis=axis)
    found: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return found


def _level(series: Series) -> Part:
    column = Column(
        f"{series.name}_level", "number", "mean of the last seven known days", unit=series.unit, nullable=True
    )
    return Part("level", (column,), DAY * (WEEK + 1), "past", lambda h: {column.name: series.level(h)})


def _part(
    name: str, series: Series, columns: Sequence[Column], days: int, read: Callable[[History], Floats]
) -> Part:
    """A part whose columns are the last axis of what `read` gives, told relative to the level."""

    def values(history: History) -> Values:
        told = series.relative(read(history), series.level(history)[:, :, None])
        return {column.name: told[..., i] for i, column in enumerate(columns)}

    return Part(name, tuple(columns), DAY * days, "past", values)


def _last_hours(series: Series) -> Part:
    """The means of the last 24 hours, and of the newest six of the week before: what happened of late."""
    block = max(HOUR, series.step)
    size, hours = block // series.step, block // HOUR
    count = DAY // block
    weekly = min(HOURS_OF_LAST_WEEK, count)
    columns = [
        *(
            series.lag(
                f"last_{n * hours}h", f"{_block(hours)} number {n}, counted back from the newest known"
            )
            for n in range(1, count + 1)
        ),
        *(
            series.lag(f"last_{n * hours}h_week_before", f"a week before {_block(hours)} number {n}")
            for n in range(1, weekly + 1)
        ),
    ]

    def read(history: History) -> Floats:
        last = series.blocks(history, size, count)
        before = series.blocks(history, size, weekly, WEEK * history.origins.per_day)
        return np.concatenate([last, before], axis=1)[:, None]

    return _part("last_hours", series, columns, WEEK + 2, read)


def _block(hours: int) -> str:
    return "hour" if hours == 1 else f"stretch of {hours} hours"


def _last_days(series: Series) -> Part:
    columns = [
        series.lag(f"last_{n}d", f"mean of 24 hours, number {n} counted back from the newest")
        for n in range(1, WEEK + 1)
    ]
    return _part(
        "last_days",
        series,
        columns,
        WEEK + 1,
        lambda history: series.blocks(history, history.origins.per_day, WEEK)[:, None],
    )


def _same_clock(series: Series) -> Part:
    """The same local time some days before, of which every predicted step has one before the origin."""
    chosen = [d for d in EARLIER_DAYS if d >= series.nearest_days] or [series.nearest_days]
    columns = [series.lag(f"{d}d_before", f"the same local time {d} days before") for d in chosen]

    def read(history: History) -> Floats:
        windows = history.series[series.name]
        return np.stack([taken(windows, history.origins.same_clock(d)) for d in chosen], axis=2)

    return _part("same_clock", series, columns, chosen[-1] + 1, read)


def _similar_day(series: Series, country: str) -> Part:
    """The same local time of the last day of the same kind: of the last Sunday or holiday, for a holiday."""
    column = series.lag("similar_day", "the same local time of the last known day of the same kind")
    farthest = FARTHEST_SIMILAR_DAYS + series.nearest_days

    def read(history: History) -> Floats:
        days = days_of(history.origins, country)
        back = _days_since_the_same(days.types, series.nearest_days)[days.targets]
        return taken(history.series[series.name], history.origins.same_clock(back))[..., None]

    return _part("similar_day", series, [column], farthest + 1, read)


def _days_since_the_same(types: Positions, least: int) -> Positions:
    """How many days before each day the last one of its type is, at least `least` days; 7 where it is unknown."""
    found = np.full(len(types), max(WEEK, least), dtype=np.int64)
    for distance in range(FARTHEST_SIMILAR_DAYS + least, least - 1, -1):
        same = np.append(
            np.zeros(min(distance, len(types)), dtype=bool), types[distance:] == types[:-distance]
        )
        found[same[: len(types)]] = distance
    return found


def _unrest(series: Series) -> Part:
    """How far the last day lay from the week before it, hour by hour: how hard the series is to tell of late."""
    column = series.lag("unrest", "mean distance of the last 24 hours from those a week before")

    def values(history: History) -> Values:
        per_day = history.origins.per_day
        last = series.blocks(history, 1, per_day)
        distance = mean(np.abs(last - series.blocks(history, 1, per_day, WEEK * per_day)), axis=1)[:, None]
        level = series.level(history)
        told = distance / np.where(level > 0, level, np.nan) if series.lags == "ratio" else distance
        return {column.name: told}

    return Part("unrest", (column,), DAY * (WEEK + 2), "past", values)
