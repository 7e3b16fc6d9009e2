"""The moments at which a series is predicted, and the steps of time around each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.errors import InputError

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]

DAY = pd.Timedelta(days=1)
NONE = pd.Timedelta(0)
MONDAY = pd.Timestamp("1970-01-05", tz="UTC")
"""A midnight from which origins are counted, so that weekly ones are Mondays."""


@dataclass(frozen=True)
class Origins:
    """Origins, and around each a window of `back` steps before and `ahead` steps from it on.

    The steps of all windows lie on one grid. A window has the shape (back + ahead,): its place `back` is the step
    that starts at the origin. Arrays over windows have the shape (n_origins, back + ahead), those over what is
    predicted (n_origins, ahead), and those that are the same for all steps ahead (n_origins, 1).

    Attributes:
        moments: the origins (UTC), rising, on steps.
        step: the length of a step; a day has a whole number of them.
        back: how many steps before an origin a window starts.
        ahead: how many steps are predicted.
        zone: the time zone of local clocks and days.
    """

    moments: pd.DatetimeIndex
    step: pd.Timedelta
    back: int
    ahead: int
    zone: str

    @property
    def per_day(self) -> int:
        """Steps in 24 hours."""
        return int(DAY / self.step)

    @property
    def per_hour(self) -> int:
        """Steps in an hour, at least one."""
        return max(self.per_day // 24, 1)

    @property
    def start(self) -> pd.Timestamp:
        """When the grid starts: the first step of the first window."""
        return self.moments[0] - self.back * self.step

    @cached_property
    def places(self) -> Positions:
        """The place of every origin on the grid, shape (n_origins,)."""
        return np.asarray((self.moments - self.start) // self.step, dtype=np.int64)

    @cached_property
    def steps(self) -> pd.DatetimeIndex:
        """The grid: the start of every step (UTC)."""
        count = int(self.places[-1]) + self.ahead
        return pd.date_range(self.start, periods=count, freq=self.step, unit="us")

    @cached_property
    def local(self) -> pd.DatetimeIndex:
        """The grid on local clocks, without a zone."""
        return self.steps.tz_convert(self.zone).tz_localize(None)

    @cached_property
    def offsets(self) -> Positions:
        """Steps by which the local clock is ahead of UTC, over the grid."""
        ahead = self.local - self.steps.tz_localize(None)
        return np.asarray(np.round(ahead / self.step), dtype=np.int64)

    @cached_property
    def windows(self) -> Positions:
        """The places on the grid of every window, shape (n_origins, back + ahead)."""
        found: Positions = self.places[:, None] + np.arange(-self.back, self.ahead)
        return found

    @property
    def targets(self) -> Positions:
        """The places on the grid of what is predicted, shape (n_origins, ahead)."""
        return self.windows[:, self.back :]

    def same_clock(self, days: npt.NDArray[np.int64] | int) -> Positions:
        """The places in each window of the same local time, `days` before what is predicted.

        Where that local time did not exist, or lies outside the window, it is the nearest place that is inside.

        Args:
            days: a number of days, or one per target, shape (n_origins, ahead).
        """
        inside = self.back + np.arange(self.ahead)[None] - np.asarray(days) * self.per_day
        inside = np.clip(inside, 0, self.back + self.ahead - 1)
        earlier = self.places[:, None] + inside - self.back
        inside = inside + self.offsets[self.targets] - self.offsets[earlier]
        found: Positions = np.clip(inside, 0, self.back + self.ahead - 1)
        return found


def origins_between(
    first: pd.Timestamp,
    last: pd.Timestamp,
    every: pd.Timedelta,
    step: pd.Timedelta,
    after: pd.Timedelta = NONE,
) -> pd.DatetimeIndex:
    """The origins from `first` to `last`, counted from a time `after` midnight UTC; weekly ones are Mondays.

    Raises:
        InputError: where a day, the time between origins or that after midnight is no whole number of steps.
    """
    if DAY % step:
        raise InputError(f"features.step_minutes: expected a whole number of steps in a day, found {step}")
    if every % step:
        raise InputError(f"features.every_hours: expected a whole number of steps of {step}, found {every}")
    if after % step:
        raise InputError(f"features.first_hour: expected a whole number of steps of {step}, found {after}")
    start = MONDAY + after + -((MONDAY + after - first) // every) * every
    return pd.date_range(start, last, freq=every, unit="us")


def taken(windows: Floats, places: npt.NDArray[Any]) -> Floats:
    """The values of each window at its places, shape of `places`."""
    return np.take_along_axis(windows, places, axis=1)
