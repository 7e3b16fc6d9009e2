"""Indicators of a daily price, each from the days up to its own: no value knows a later one.

Every function takes a series by day without gaps in its index (missing values allowed) and gives one of the same
index.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd

Daily: TypeAlias = "pd.Series[float]"


def log_return(close: Daily, days: int) -> Daily:
    """The log return over so many days."""
    return pd.Series(np.log(close), index=close.index).diff(days)


def volatility(close: Daily, days: int) -> Daily:
    """The standard deviation of the last daily log returns (n - 1 in the denominator)."""
    return log_return(close, 1).rolling(days).std()


def relative_strength(close: Daily, days: int = 14) -> Daily:
    """The relative strength index, 0 to 100 (Wilder 1978): smoothed gains as a share of gains and losses.

    Wilder's smoothing gives a new day the weight 1 / `days`.
    """
    change = log_return(close, 1)
    gains, losses = (
        part.ewm(alpha=1.0 / days, adjust=False, min_periods=days).mean()
        for part in (change.clip(lower=0), -change.clip(upper=0))
    )
    return 100.0 * gains / (gains + losses).replace(0.0, np.nan)


def macd_gap(close: Daily, fast: int = 12, slow: int = 26, signal: int = 9) -> Daily:
    """Moving average convergence divergence less its signal line, as a share of the close (Appel 2005)."""
    lines = close.ewm(span=fast, adjust=False).mean() - close.ewm(span=slow, adjust=False).mean()
    return (lines - lines.ewm(span=signal, adjust=False).mean()) / close


def band_position(close: Daily, days: int = 20, width: float = 2.0) -> Daily:
    """Where the close lies between its Bollinger bands: -1 on the lower, 1 on the upper one (Bollinger 2001)."""
    window = close.rolling(days)
    return (close - window.mean()) / (width * window.std()).replace(0.0, np.nan)


def mean_gap(values: Daily, days: int) -> Daily:
    """How far a value lies above the mean of its last days; half of them must be there."""
    return values - values.rolling(days, min_periods=max(1, days // 2)).mean()
