"""Local clocks, and the year as waves."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from perennial.data.features.part import History, Part, Values
from perennial.table import Column

HARMONICS = (1, 2, 3)
SOME_YEAR = 2024


def clock(zone: str) -> Part:
    """The local hour, and whether clocks are ahead for the summer where that happens."""
    hour = Column("hour", "number", "local hour of the day", unit="h", minimum=0, maximum=24)
    summer = Column(
        "summer_time", "number", "how far clocks are ahead for the summer", unit="h", minimum=0, maximum=2
    )
    standard, ahead = _offsets_h(zone)

    def values(history: History) -> Values:
        origins = history.origins
        local = np.asarray(origins.local.hour + origins.local.minute / 60, dtype=np.float64)
        offset = (origins.local - origins.steps.tz_localize(None)) / pd.Timedelta(hours=1)
        found = {"hour": local, "summer_time": np.clip(np.asarray(offset) - standard, 0, 2)}
        return {column.name: found[column.name][origins.targets] for column in columns}

    columns = (hour, summer) if ahead > standard else (hour,)
    return Part("clock", columns, pd.Timedelta(0), "ahead", values)


def season() -> Part:
    """Sines and cosines of one, two and three waves a year, by the local day: what time of the year it is."""
    names = [(f"year_{wave}_{k}", k, wave) for k in HARMONICS for wave in ("sin", "cos")]
    columns = tuple(
        Column(
            name, "number", f"{wave}e of {k} waves a year, by the local day", unit="1", minimum=-1, maximum=1
        )
        for name, k, wave in names
    )

    def values(history: History) -> Values:
        origins = history.origins
        angle = 2 * np.pi * np.asarray(origins.local.dayofyear, dtype=np.float64) / 365.25
        waves = {"sin": np.sin, "cos": np.cos}
        return {name: waves[wave](k * angle)[origins.targets] for name, k, wave in names}

    return Part("season", columns, pd.Timedelta(0), "ahead", values)


def _offsets_h(zone: str) -> tuple[float, float]:
    """The least and the greatest distance of a zone's clocks from UTC in a year, in hours."""
    moments = [datetime(SOME_YEAR, month, 15, tzinfo=ZoneInfo(zone)) for month in range(1, 13)]
    offsets = [(m.utcoffset() or pd.Timedelta(0)).total_seconds() / 3600 for m in moments]
    return min(offsets), max(offsets)
