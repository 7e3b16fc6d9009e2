"""Hourly weather of a country and of places in it, as it was and as it was forecast."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from demo.world import stream

FIRST_YEAR = 2019
HOUR_S, DAY_S = 3_600, 86_400
START_S = round(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp())
LATITUDE, LONGITUDE = 51.0, 10.0
AHEAD_DAYS = 17


@dataclass(frozen=True)
class Weather:
    """Hour by hour from START_S on: what was measured in the middle of the country.

    Temperature in degrees C at 2 m, radiation in W/m2 on the ground, wind in km/h at 10 m, cloud cover 0 to 1.
    """

    temperature_c: np.ndarray
    radiation_wm2: np.ndarray
    wind_kmh: np.ndarray
    clouds: np.ndarray

    def times_s(self) -> np.ndarray:
        """Seconds since 1970 of every hour."""
        return START_S + np.arange(self.temperature_c.size) * HOUR_S


@functools.lru_cache(maxsize=4)
def weather(seed: int, last_year: int) -> Weather:
    """The weather up to the end of January after a year; earlier hours do not depend on that year."""
    hours = round(datetime(last_year + 1, 1, 1, tzinfo=UTC).timestamp() - START_S) // HOUR_S + 31 * 24
    times = START_S + np.arange(hours) * HOUR_S
    cover = 1 / (1 + np.exp(-2.2 * smooth(seed, "clouds", hours, 0.97) - 0.6))
    wind = np.exp(2.6 + 0.45 * smooth(seed, "wind", hours, 0.985))
    radiation = clear_sky_wm2(times, LATITUDE, LONGITUDE) * (1 - 0.75 * cover**3.4)
    season = -np.cos(2 * np.pi * (_day_of_year(times) - 20) / 365.25)
    slow = 3.8 * smooth(seed, "air masses", hours, 0.993)
    sun = 4.5 * (radiation / 600 - 0.25)
    delayed = np.concatenate([np.full(3, sun[0]), sun[:-3]])
    return Weather(9.8 + 9.2 * season + slow + delayed, radiation, wind, cover)


def at_place(seed: int, whole: Weather, latitude: float, longitude: float) -> Weather:
    """The weather of a place: that of the country, its latitude, its own sun, and some of its own."""
    own = smooth(seed, f"place {latitude:.2f} {longitude:.2f}", whole.clouds.size, 0.95)
    radiation = clear_sky_wm2(whole.times_s(), latitude, longitude) * (1 - 0.75 * whole.clouds**3.4)
    return Weather(
        whole.temperature_c + 0.6 * (LATITUDE - latitude) + 0.6 * own,
        radiation,
        whole.wind_kmh * np.exp(0.1 * own),
        whole.clouds,
    )


def forecast_error(seed: int, now: datetime, hours_ahead: np.ndarray) -> np.ndarray:
    """Standard errors of a forecast by hours ahead; zero for the past, about one three days ahead.

    The forecast is made anew at every full hour of `now`.
    """
    issue = int(now.timestamp()) // HOUR_S
    walk = np.cumsum(stream(seed, "forecast", issue).normal(0, 1, AHEAD_DAYS * 24)) / np.sqrt(72)
    ahead = np.clip(hours_ahead, 0, walk.size)
    return np.where(ahead > 0, walk[np.maximum(ahead, 1) - 1], 0.0)


def smooth(seed: int, name: str, n: int, memory: float) -> np.ndarray:
    """A first-order autoregression of unit variance."""
    noise = stream(seed, name).normal(0, (1 - memory**2) ** 0.5, n)
    return np.fromiter(itertools.accumulate(noise.tolist(), lambda past, new: memory * past + new), float, n)


def clear_sky_wm2(times_s: np.ndarray, latitude: float, longitude: float) -> np.ndarray:
    """Radiation under a clear sky: Kasten and Czeplak (1980), with the declination of Cooper (1969)."""
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + _day_of_year(times_s)) / 365)
    hour_angle = np.radians((times_s % DAY_S) / DAY_S * 360 - 180 + longitude)
    here = np.radians(latitude)
    height = np.sin(here) * np.sin(declination) + np.cos(here) * np.cos(declination) * np.cos(hour_angle)
    return np.maximum(910 * height - 30, 0)


def _day_of_year(times_s: np.ndarray) -> np.ndarray:
    days = times_s.astype("datetime64[s]").astype("datetime64[D]")
    return (days - days.astype("datetime64[Y]")).astype(int) + 1
