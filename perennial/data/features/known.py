"""What was known of a series at each origin, step by step: nothing that became available later is in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.data.content import TIMES
from perennial.data.features.origins import Floats, Origins, Positions

Revision = tuple[Floats, Positions]


def known_windows(series: pd.DataFrame, field: str, origins: Origins) -> Floats:
    """The mean of a field over every step, as it was known at each origin, shape (n_origins, back + ahead).

    A record counts in the latest revision that was available at the origin; NaN where none was, or where it has no
    value. Several records within a step (quarter hours within an hour) are averaged over those that were known.

    Args:
        series: the records of one feed, in any order.
        field: the field that is looked up.
        origins: the origins, and how far around each is looked.
    """
    total = np.zeros((len(origins.moments), origins.back + origins.ahead))
    count = np.zeros(total.shape)
    moments = microseconds(origins.moments)[:, None]
    for revisions in _by_slot(series, field, origins):
        known = np.full(total.shape, np.nan)
        for values, available in revisions:
            known = np.where(available[origins.windows] <= moments, values[origins.windows], known)
        present = np.isfinite(known)
        total += np.where(present, known, 0.0)
        count += present
    found: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return found


def step_means(series: pd.DataFrame, field: str, step: pd.Timedelta) -> pd.Series[float]:
    """The mean of a field over every step that has a value, by the step's start, rising."""
    means = series[field].astype(float).groupby(series["event_time"].dt.floor(step)).mean()
    found: pd.Series[float] = means.dropna().sort_index()
    return found


def spacing(series: pd.DataFrame) -> pd.Timedelta:
    """The usual time between records: the median of those between successive ones; a day where there is one."""
    moments = np.unique(microseconds(series["event_time"]))
    gaps = np.diff(moments)
    return pd.Timedelta(int(np.median(gaps)), unit="us") if len(gaps) else pd.Timedelta(days=1)


def microseconds(times: pd.Series[Any] | pd.DatetimeIndex) -> Positions:
    """Times in microseconds since 1970, shape (n,)."""
    return np.asarray(pd.Series(times).astype(TIMES).astype("int64"), dtype=np.int64)


def carried(windows: Floats, places: int) -> Floats:
    """The windows with missing values replaced by the last one before them, at most `places` before."""
    at = np.arange(windows.shape[1])
    last = np.maximum.accumulate(np.where(np.isfinite(windows), at, -1), axis=1)
    usable = (last >= 0) & (at - last <= places)
    return np.where(usable, np.take_along_axis(windows, np.maximum(last, 0), axis=1), np.nan)


def seasonally_filled(windows: Floats, period: int) -> Floats:
    """The windows with missing values replaced by those one period before, or two, and so on."""
    filled = windows.copy()
    for start in range(period, filled.shape[1], period):
        stop = min(start + period, filled.shape[1])
        here, before = filled[:, start:stop], filled[:, start - period : stop - period]
        filled[:, start:stop] = np.where(np.isnan(here), before, here)
    return filled


def _by_slot(series: pd.DataFrame, field: str, origins: Origins) -> Iterator[list[Revision]]:
    """Per rank of a record within its step: its revisions in order, each as values and availability on the grid."""
    happened = series["event_time"].astype(TIMES)
    place = np.asarray((happened - origins.start) // origins.step, dtype=np.int64)
    inside = np.flatnonzero((place >= 0) & (place < len(origins.steps)))
    keys = pd.factorize(series["key"])[0]
    available, moments = microseconds(series["available_at"]), microseconds(happened)
    rows = inside[np.lexsort((available[inside], keys[inside], moments[inside]))]
    if not len(rows):
        return
    is_record = np.append(True, (np.diff(moments[rows]) != 0) | (np.diff(keys[rows]) != 0))
    is_step = np.append(True, np.diff(place[rows]) != 0)
    record = np.cumsum(is_record) - 1
    slot = record - record[is_step][np.cumsum(is_step) - 1]
    revision = np.arange(len(rows)) - np.flatnonzero(is_record)[record]
    values = series[field].to_numpy(dtype=np.float64, na_value=np.nan)
    for number in range(int(slot.max()) + 1):
        chosen = [(slot == number) & (revision == r) for r in range(int(revision.max()) + 1)]
        yield [_on_grid(rows[c], place, values, available, len(origins.steps)) for c in chosen if c.any()]


def _on_grid(
    rows: npt.NDArray[np.intp], place: Positions, values: Floats, available: Positions, steps: int
) -> Revision:
    """The values of these rows at their places, and when each became available; never, where there is none."""
    on_grid, since = np.full(steps, np.nan), np.full(steps, np.iinfo(np.int64).max)
    on_grid[place[rows]], since[place[rows]] = values[rows], available[rows]
    return on_grid, since
