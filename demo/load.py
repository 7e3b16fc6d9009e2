"""The electricity load of Germany, quarter hour by quarter hour, and what the grid operators forecast of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from dateutil.easter import easter

from demo.weather import DAY_S, START_S, Weather, smooth, weather

QUARTER_S = 900
# Thousands of MW above or below the level, hour by hour of the local day.
HOURLY_WORKDAY = (
    -9.5, -10.6, -11.0, -10.8, -9.8, -6.5, -0.5, 4.8, 7.2, 7.6, 7.9, 8.4,
    7.8, 6.6, 5.4, 4.6, 4.9, 6.6, 7.6, 6.4, 3.8, 1.6, -2.2, -6.2,
)  # fmt: skip
HOURLY_FREE = (
    -11.5, -12.8, -13.4, -13.6, -13.4, -12.6, -10.8, -8.2, -5.0, -2.8, -1.4, -0.4,
    -1.0, -2.6, -3.9, -4.4, -3.8, -1.6, 0.6, 0.4, -1.6, -3.2, -5.4, -8.2,
)  # fmt: skip
FIXED_HOLIDAYS = ((1, 1), (5, 1), (10, 3), (12, 24), (12, 25), (12, 26), (12, 31))
EASTER_HOLIDAYS = (-2, 1, 39, 50)


@dataclass(frozen=True)
class Grid:
    """Quarter hour by quarter hour from START_S on, all in MW."""

    load_mw: np.ndarray
    day_ahead_mw: np.ndarray
    solar_mw: np.ndarray
    wind_mw: np.ndarray

    def times_s(self) -> np.ndarray:
        """Start of every quarter hour, in seconds since 1970."""
        return START_S + np.arange(self.load_mw.size) * QUARTER_S


@functools.lru_cache(maxsize=4)
def grid(seed: int, last_year: int) -> Grid:
    """The grid up to the end of January after a year; earlier quarters do not depend on that year."""
    sky = weather(seed, last_year)
    times = START_S + np.arange((sky.clouds.size - 1) * 4) * QUARTER_S
    here = times + local_offset_s(times)
    quiet = _base_mw(here) + _weather_mw(sky, times)
    disturbed = 900 * smooth(seed, "demand", times.size, 0.996) + 180 * smooth(
        seed, "meters", times.size, 0.2
    )
    missed = 1_100 * smooth(seed, "operators", times.size, 0.99)
    return Grid(
        load_mw=(quiet + disturbed).round(1),
        day_ahead_mw=(quiet + 0.5 * disturbed + missed).round(1),
        solar_mw=(_quarterly(sky.radiation_wm2, sky, times) * 62).round(1),
        wind_mw=np.minimum(4.2 * _quarterly(sky.wind_kmh, sky, times) ** 2.6, 52_000).round(1),
    )


def local_offset_s(times_s: np.ndarray) -> np.ndarray:
    """Seconds that clocks in Germany are ahead of UTC.

    Summer time is from the last Sunday of March to that of October, 01:00 UTC (Directive 2000/84/EC).
    """
    years = range(int(times_s[0] // (365.25 * DAY_S)) + 1969, int(times_s[-1] // (365.25 * DAY_S)) + 1972)
    turns = np.array([_last_sunday_s(year, month) for year in years for month in (3, 10)])
    return np.where(np.searchsorted(turns, times_s, side="right") % 2 == 1, 7_200, 3_600)


def _last_sunday_s(year: int, month: int) -> int:
    last = datetime(year, month, 31, 1, tzinfo=UTC)
    return round((last - timedelta(days=(last.weekday() + 1) % 7)).timestamp())


def _base_mw(local_s: np.ndarray) -> np.ndarray:
    """Load by hour, weekday and holiday, in local time."""
    days = local_s // DAY_S
    holiday = np.isin(days, _holidays(int(days[0]), int(days[-1])))
    free = ((days + 3) % 7 >= 5) | holiday
    sunday = ((days + 3) % 7 == 6) | holiday
    hour = (local_s % DAY_S) / 3_600
    clock = np.arange(25)
    workday_shape = np.interp(hour, clock, [*HOURLY_WORKDAY, HOURLY_WORKDAY[0]])
    free_shape = np.interp(hour, clock, [*HOURLY_FREE, HOURLY_FREE[0]])
    return 58_000 + 1_000 * np.where(free, free_shape - 2.5 * sunday, workday_shape)


def _weather_mw(sky: Weather, times_s: np.ndarray) -> np.ndarray:
    """Heating below 15 degrees, cooling above 22, less what roofs with solar cells use themselves."""
    temperature = _quarterly(sky.temperature_c, sky, times_s)
    radiation = _quarterly(sky.radiation_wm2, sky, times_s)
    return 420 * np.maximum(15 - temperature, 0) + 260 * np.maximum(temperature - 22, 0) - 5.5 * radiation


def _quarterly(hourly: np.ndarray, sky: Weather, times_s: np.ndarray) -> np.ndarray:
    return np.interp(times_s, sky.times_s(), hourly)


def _holidays(first_day: int, last_day: int) -> list[int]:
    """Public holidays in all of Germany and the days that are like them, as days since 1970."""
    epoch = date(1970, 1, 1)
    years = range((epoch + timedelta(days=first_day)).year, (epoch + timedelta(days=last_day)).year + 1)
    fixed = [date(year, month, day) for year in years for month, day in FIXED_HOLIDAYS]
    moving = [easter(year) + timedelta(days=after) for year in years for after in EASTER_HOLIDAYS]
    return [(day - epoch).days for day in (*fixed, *moving)]
