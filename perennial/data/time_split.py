"""Splits by time: what was predicted later validates, and trains nothing that was known only after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.config import TimeSplit
from perennial.errors import InputError, NotEnoughDataError
from perennial.table import Table

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
Folds = list[tuple[Positions, Positions]]


def in_time(table: Table, rules: TimeSplit) -> tuple[Positions, Positions]:
    """The training and the hold-out rows of `perennial.data.splits.split`, each rising."""
    moments = moments_in(table)
    start = _since(moments, rules.since) if rules.since else _latest(moments, rules.holdout)
    holdout = np.flatnonzero(moments.origin >= start)
    return before(table, moments, start, rules.gap_hours, holdout), holdout


def walking(table: Table, rules: TimeSplit, n: int) -> Folds:
    """The training and validation rows of `n` blocks of origins, in order (see `perennial.data.splits.folds`)."""
    moments = moments_in(table)
    found = []
    for origins in _blocks(moments, rules.first, n):
        valid = np.flatnonzero((moments.origin >= origins[0]) & (moments.origin <= origins[-1]))
        train = before(table, moments, origins[0], rules.gap_hours, valid)
        if rules.window_days is not None:
            train = train[moments.origin[train] >= origins[0] - 24.0 * rules.window_days]
            if not len(train):
                remedy = "widen split.window_days or shorten split.gap_hours"
                raise NotEnoughDataError("training rows in the window of a fold", 0, 1, remedy)
        found.append((train, valid))
    return found


def surrounded(table: Table, rules: TimeSplit, n: int) -> Folds:
    """The training and validation rows of `n` blocks of all origins (see `perennial.data.splits.residual_folds`)."""
    moments = moments_in(table)
    found = []
    for origins in np.array_split(moments.distinct, min(n, len(moments.distinct))):
        valid = np.flatnonzero((moments.origin >= origins[0]) & (moments.origin <= origins[-1]))
        is_before = (moments.target < origins[0]) & (moments.target <= origins[0] - rules.gap_hours)
        last = moments.target[valid].max()
        is_after = (moments.origin > last) & (moments.origin >= last + rules.gap_hours)
        train = np.flatnonzero((is_before | is_after) & ~pd.Index(table.ids).isin(table.ids[valid]))
        if not len(train):
            remedy = "collect more records or shorten split.gap_hours"
            raise NotEnoughDataError(f"training rows around one of {n} blocks of origins", 0, 1, remedy)
        found.append((train, valid))
    return found


@dataclass(frozen=True, eq=False)
class Moments:
    """Per row, in hours since 1970: `origin`, when it was predicted, and `target`, when its truth comes about.

    Both have the shape (n_rows,). `distinct` are the different origins, rising, and `counts` the rows of each.
    """

    origin: Floats
    target: Floats
    distinct: Floats
    counts: Positions


def moments_in(table: Table) -> Moments:
    """The moments of all rows; without a column of role `known_at` the origin is the time of the target."""
    contract = table.contract
    columns = {c.role: c.name for c in contract.columns if c.role in ("time", "known_at")}
    if "time" not in columns:
        raise InputError(
            f"split.kind time: expected a column with the role time in the contract of "
            f"{contract.system}, found none; use stratified or grouped"
        )
    target = _hours(table.frame[columns["time"]])
    origin = _hours(table.frame[columns["known_at"]]) if "known_at" in columns else target
    return Moments(origin, np.maximum(origin, target), *np.unique(origin, return_counts=True))


def _hours(times: pd.Series[Any]) -> Floats:
    seconds = (pd.to_datetime(times, utc=True) - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    return np.asarray(seconds, dtype=np.float64) / 3600.0


def hours_of(moment: datetime) -> float:
    """A moment in hours since 1970; without a zone it is in UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() / 3600.0


def _since(moments: Moments, since: datetime) -> float:
    start = hours_of(since)
    if not (moments.distinct >= start).any():
        remedy = "let split.since name an earlier moment, or collect newer records"
        raise NotEnoughDataError(f"hold-out rows since {since:%Y-%m-%d %H:%M} (split.since)", 0, 1, remedy)
    return start


def _latest(moments: Moments, share: float) -> float:
    """The origin at which the hold-out starts, so that it has about this share of the rows."""
    distinct, counts = moments.distinct, moments.counts
    if len(distinct) < 2:
        raise NotEnoughDataError("time split, distinct times", len(distinct), 2)
    later = np.cumsum(counts[::-1])[::-1]
    return float(distinct[1 + int(np.argmin(np.abs(later[1:] - share * counts.sum())))])


def _blocks(moments: Moments, first: float, n: int) -> list[Floats]:
    """The origins of every validation block, in order: `n` blocks of about as many rows after the first part."""
    distinct, counts = moments.distinct, moments.counts
    if len(distinct) < n + 1:
        raise NotEnoughDataError(f"{n} time folds, distinct times", len(distinct), n + 1)
    middles = (np.cumsum(counts) - counts / 2) / counts.sum()
    places = np.floor((middles - first) / (1.0 - first) * n).astype(np.int64)
    if places[0] >= 0 or len(np.unique(places[places >= 0])) < n:  # few origins, or very unequal ones
        training = min(max(1, round(first * len(distinct))), len(distinct) - n)
        return np.array_split(distinct[training:], n)
    return [distinct[places == block] for block in range(n)]


def before(table: Table, moments: Moments, start: float, gap_hours: float, later: Positions) -> Positions:
    """The rows whose truth was there before `start` less the gap, without twins of the `later` rows.

    Raises:
        NotEnoughDataError: where there are none.
    """
    is_early = (moments.target < start) & (moments.target <= start - gap_hours)
    train = np.flatnonzero(is_early & ~pd.Index(table.ids).isin(table.ids[later]))
    if not len(train):
        raise NotEnoughDataError(
            f"training rows more than {gap_hours:g} h before the hold-out",
            0,
            1,
            "shorten split.gap_hours",
        )
    return train
