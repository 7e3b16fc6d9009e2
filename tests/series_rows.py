"""A daily series as model-ready rows: every row knows the newest values and is asked for a later one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perennial.table import Column, Contract, Table

LAGS = 40


def path(days: int, seed: int, weekly: float = 3.0) -> np.ndarray:
    """An ARMA(1, 1) around 50 with a weekly pattern, shape (days,)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=days + 1)
    level = np.zeros(days)
    for day in range(1, days):
        level[day] = 0.9 * level[day - 1] + noise[day] + 0.4 * noise[day - 1]
    return 50.0 + 2.0 * level + weekly * (np.arange(days) % 7 == 0)


def daily_table(
    rows: int = 300,
    seed: int = 0,
    holes: float = 0.0,
    series: np.ndarray | None = None,
    ahead: int = 1,
    lags: int = LAGS,
) -> Table:
    """Rows of successive days; `holes` takes out that share of the features other than the newest value."""
    rng = np.random.default_rng([seed, 1])
    values = path(rows + lags + ahead, seed) if series is None else series
    days = np.arange(lags, len(values) - ahead)
    origins = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(days, unit="D")
    history = {"index" if lag == 0 else f"index_lag_{lag}": values[days - lag] for lag in range(lags + 1)}
    weekdays = np.array([f"day-{day % 7}" for day in days + ahead], dtype=object)
    frame = pd.DataFrame({**history, "warmth": rng.normal(size=len(days)), "model": weekdays})
    others = frame.columns.drop("index")
    frame[others] = frame[others].mask(rng.random((len(days), len(others))) < holes)
    frame = frame.assign(
        horizon_hours=24.0 * ahead,
        id=[f"r{day}" for day in days],
        known_at=origins,
        time=origins + pd.Timedelta(days=ahead),
        index_next=values[days + ahead],
    )
    columns = [Column(name, "number", name, unit="points", nullable=True) for name in history]
    contract = Contract(
        "daily",
        (
            Column("id", "text", "row", role="id"),
            Column("time", "time", "day that is predicted", role="time"),
            Column("known_at", "time", "origin", role="known_at"),
            *columns,
            Column("warmth", "number", "says nothing", unit="1", nullable=True),
            Column(
                "model", "category", "weekday", categories=tuple(f"day-{d}" for d in range(7)), nullable=True
            ),
            Column("horizon_hours", "number", "how far ahead", unit="h"),
            Column("index_next", "number", "value later on", role="target", unit="points"),
        ),
    )
    return Table(frame.reset_index(drop=True), contract)
