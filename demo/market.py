"""The price of bitcoin hour by hour, and an index of fear and greed that follows it.

Daily returns are a GARCH(1,1) (Bollerslev 1986) with Student-t shocks around a slow trend; the index is a smoothed
mixture of past returns and past volatility, and high values of it lower the next returns a little.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from demo.world import stream

FIRST_DAY = date(2017, 8, 17)
FIRST_INDEX = date(2018, 2, 1)
NO_INDEX = (date(2018, 4, 14), date(2018, 4, 15), date(2018, 4, 16))
FIRST_PRICE, TREND_PER_DAY, PULL = 4_300.0, 0.0016, 0.004
CLASSES = ((24, "Extreme Fear"), (46, "Fear"), (54, "Neutral"), (74, "Greed"), (100, "Extreme Greed"))
DAY_S = 86_400


@dataclass(frozen=True)
class Market:
    """Day by day from FIRST_DAY on.

    `hourly` is the price at each full hour, shape (n_days, 25): the last one is the next day's first. `high` and
    `low` hold for the whole day, `volume` is in bitcoin, `index` (0 to 100) is known at 00:00 of its day.
    """

    hourly: np.ndarray
    high: np.ndarray
    low: np.ndarray
    volume: np.ndarray
    trades: np.ndarray
    index: np.ndarray

    @property
    def start_s(self) -> int:
        """The first day's first second (since 1970)."""
        return round(datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC).timestamp())


@functools.lru_cache(maxsize=4)
def market(seed: int, last_year: int) -> Market:
    """The market up to the end of a year; earlier days do not depend on that year."""
    days = (date(last_year + 1, 1, 1) - FIRST_DAY).days
    shocks = stream(seed, "market", "shocks").standard_t(5, days) / np.sqrt(5 / 3)
    mood_noise = stream(seed, "market", "mood").normal(0, 1, days)
    log_price, volatility, index = _daily(shocks, mood_noise)
    hourly = np.exp(_hourly(stream(seed, "market", "hours"), log_price, volatility))
    spread = np.abs(stream(seed, "market", "spread").normal(0, 0.15, (days, 2))) * volatility[:, None]
    volume = 40_000 * np.exp(
        12 * (volatility - 0.035) + stream(seed, "market", "volume").normal(0, 0.3, days)
    )
    return Market(
        hourly=hourly,
        high=hourly.max(axis=1) * np.exp(spread[:, 0]),
        low=hourly.min(axis=1) * np.exp(-spread[:, 1]),
        volume=volume,
        trades=(volume * 25).astype(int),
        index=index,
    )


def class_of(index: int) -> str:
    """The words for a value of the index.

    >>> class_of(12), class_of(50)
    ('Extreme Fear', 'Neutral')
    """
    return next(name for most, name in CLASSES if index <= most)


def _daily(shocks: np.ndarray, mood_noise: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log price at each midnight (one more than days), volatility per day, and the index of each day."""
    price, variance, mood, fast, slow = float(np.log(FIRST_PRICE)), 0.035**2, 0.0, 0.0, 0.0
    trend = price
    prices, volatilities, indices = [price], [], []
    for shock, noise in zip(shocks, mood_noise, strict=True):
        indices.append(round(float(np.clip(50 + 42 * np.tanh(1.3 * mood), 5, 95))))
        volatility = min(variance**0.5, 0.12)
        change = TREND_PER_DAY + 0.12 * fast - 0.0016 * mood + PULL * (trend - price) + volatility * shock
        price, trend = price + change, trend + TREND_PER_DAY * np.exp(-(trend - np.log(FIRST_PRICE)) / 3)
        prices.append(price)
        volatilities.append(volatility)
        variance = 0.035**2 * 0.06 + 0.09 * min(abs(change), 0.2) ** 2 + 0.85 * variance
        fast, slow = 0.7 * fast + 0.3 * change, 0.95 * slow + 0.05 * change
        mood = 0.88 * mood + 4.0 * fast + 8.0 * slow - 1.5 * (volatility - 0.035) + 0.1 * noise
    return np.array(prices), np.array(volatilities), np.array(indices)


def _hourly(rng: np.random.Generator, log_price: np.ndarray, volatility: np.ndarray) -> np.ndarray:
    """Log prices at each hour, shape (n_days, 25): Brownian bridges between midnights."""
    days = volatility.size
    walk = np.concatenate(
        [np.zeros((days, 1)), np.cumsum(rng.normal(0, 1 / np.sqrt(24), (days, 24)), axis=1)], axis=1
    )
    share = np.linspace(0, 1, 25)
    bridge = (walk - share * walk[:, -1:]) * volatility[:, None]
    return log_price[:-1, None] + share * np.diff(log_price)[:, None] + bridge
