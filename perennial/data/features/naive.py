"""Forecasts of naive models that need nothing but the history of the series: what a model must beat."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perennial.data.features.lags import WEEK, Series
from perennial.data.features.origins import taken
from perennial.data.features.part import History, Part, Values
from perennial.table import Column

ABOUT = {
    "persistence": "the last known value",
    "seasonal_naive_day": "the last known value of the same local time",
    "seasonal_naive_week": "the last known value of the same local time of the same weekday",
    "moving_average": "the mean of the last known 24 hours",
    "drift": "the last known value, and the mean change per step of the last known week from there on",
}
"""Naive forecasts after Hyndman and Athanasopoulos (2021), Forecasting: principles and practice, section 5.2."""


def naive(series: Series) -> Part:
    """The naive forecasts as columns of role `baseline`, in the series' own unit."""
    columns = tuple(
        Column(name, "number", about, role="baseline", unit=series.unit, nullable=True)
        for name, about in ABOUT.items()
    )

    def values(history: History) -> Values:
        origins = history.origins
        week = WEEK * origins.per_day
        last = series.blocks(history, 1, 1)
        farther = np.arange(origins.ahead)[None] + 1 + history.shift
        per_step = (last - series.blocks(history, 1, 1, week - 1)) / (week - 1)
        windows = history.series[series.name]
        days, weeks = -(-farther // origins.per_day), -(-farther // week)
        return {
            "persistence": last,
            "seasonal_naive_day": taken(windows, origins.same_clock(days)),
            "seasonal_naive_week": taken(windows, origins.same_clock(WEEK * weeks)),
            "moving_average": series.blocks(history, origins.per_day, 1),
            "drift": last + farther * per_step,
        }

    longest = pd.Timedelta(days=WEEK * (1 + series.ahead * series.step // pd.Timedelta(days=WEEK)) + 2)
    return Part("naive", columns, longest, "past", values)
