"""Electricity load of the next 48 hours, hour by hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.config import Source
from perennial.config_features import SeriesFeatures
from perennial.systems import System, feeds_of, own_features, require_records
from perennial.table import Column, Contract

if TYPE_CHECKING:
    import pandas as pd

    from perennial.config_features import Features

OWN = ("load",)
HORIZON_HOURS = 48
LAGS_HOURS = (48, 168, 336)

COLUMNS = (
    Column("id", "text", "digest of the row's content", role="id"),
    Column("time", "time", "hour that is predicted", role="time"),
    Column("known_at", "time", "midnight (UTC) at which it is predicted", role="known_at"),
    Column(
        "horizon_hours", "number", "hours from the prediction to the hour", unit="h", minimum=0, maximum=48
    ),
    Column("hour", "number", "hour of the day (UTC)", unit="h", minimum=0, maximum=23),
    Column("weekday", "number", "day of the week, Monday is 0", unit="1", minimum=0, maximum=6),
    Column("day_of_year", "number", "day of the year", unit="days", minimum=1, maximum=366),
    *(
        Column(f"load_lag_{hours}", "number", f"load {hours} hours before", unit="MW", nullable=True)
        for hours in LAGS_HOURS
    ),
    Column("load_last_day", "number", "mean load of the last 24 known hours", unit="MW", nullable=True),
    Column("load_mw", "number", "mean load in the hour", role="target", unit="MW"),
)


def contract(source: Source, features: Features | None = None) -> Contract:
    """The features of an hour, and one more per number of every further feed, such as the newest temperature."""
    own_features("load", features, SeriesFeatures)
    from perennial.data.series import series_columns

    return Contract("load", (*COLUMNS, *series_columns(feeds_of("load", source, OWN), OWN)))


def prepare(records: pd.DataFrame, source: Source, features: Features | None = None) -> pd.DataFrame:
    """A row per midnight and hour of the following two days; features use what was known at that midnight."""
    import numpy as np
    import pandas as pd

    from perennial.data.records import current, first
    from perennial.data.series import with_series

    require_records("load", records, OWN)
    known, truth = _hourly(first(records, "load")), _hourly(current(records, "load"))["load_mw"]
    hour = pd.Timedelta(hours=1)
    origins = pd.date_range(truth.index.min().ceil("D"), truth.index.max(), freq="D", unit="us")
    known_at = origins.repeat(HORIZON_HOURS)
    horizon = np.tile(np.arange(HORIZON_HOURS), len(origins))
    time = pd.DatetimeIndex(known_at + pd.to_timedelta(horizon, unit="h"))
    recent = known.sort_values("available_at")
    recent = recent.assign(load_last_day=recent["load_mw"].rolling(24).mean())[
        ["available_at", "load_last_day"]
    ]
    rows = pd.DataFrame(
        {
            "time": time,
            "known_at": known_at,
            "horizon_hours": horizon.astype(float),
            "hour": time.hour.astype(float),
            "weekday": time.dayofweek.astype(float),
            "day_of_year": time.dayofyear.astype(float),
            **{f"load_lag_{n}": _known(known, time - n * hour, known_at) for n in LAGS_HOURS},
            "load_mw": truth.reindex(time).to_numpy(),
        }
    )
    joined = pd.merge_asof(
        rows.dropna(subset=["load_mw"]),
        recent.drop_duplicates("available_at", keep="last"),
        left_on="known_at",
        right_on="available_at",
    )
    return with_series(joined.drop(columns="available_at"), records, feeds_of("load", source, OWN), OWN)


def _hourly(load: pd.DataFrame) -> pd.DataFrame:
    """Mean load by hour, and when the last part of the hour was known; hours without a value are left out."""
    hours = load["event_time"].dt.floor("h")
    mean = load.groupby(hours).agg(load_mw=("load_mw", "mean"), available_at=("available_at", "max"))
    return mean.dropna(subset=["load_mw"]).sort_index()


def _known(known: pd.DataFrame, times: pd.DatetimeIndex, moments: pd.DatetimeIndex) -> Any:
    """The load at `times` where it was available at `moments`, else NaN."""
    found = known.reindex(times)
    return found["load_mw"].where(found["available_at"].to_numpy() <= moments.to_numpy()).to_numpy()


SYSTEM = System(
    name="load",
    title="electricity load of the next 48 hours",
    task="regression",
    contract=contract,
    prepare=prepare,
)
