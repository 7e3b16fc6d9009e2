"""What was known of events in cells at each of many moments, added up without a loop over moments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.data.features.grid import Floats, Grid, Pairs, Positions

DAY_US = 86_400_000_000
DIGITS = 6
"""Decimals of a sum of weights: what adding and taking away leaves behind is smaller."""


@dataclass(frozen=True)
class KnownEvents:
    """Revisions of events, and at which origins each was the newest one known.

    Sums and extremes over events have the shape (n_cells, n_origins). Arrays over revisions are in the order in
    which these became available, so that what comes later changes no digit of a sum.

    Attributes:
        grid: the cells of the world.
        codes: the cells in which any revision lies, rising, shape (n_cells,).
        origins: days since 1970, rising, shape (n_origins,).
        cell: the position of every revision's cell in `codes`.
        start: the first origin at which a revision is known, and has happened.
        stop: the first origin after that at which it no longer counts; n_origins for never.
        day: when it happened, days since 1970.
        magnitude: its magnitude.
        depth_km: how deep it was; NaN where that is missing.
        latitude: degrees.
        longitude: degrees.
    """

    grid: Grid
    codes: Positions
    origins: Floats
    cell: Positions
    start: Positions
    stop: Positions
    day: Floats
    magnitude: Floats
    depth_km: Floats
    latitude: Floats
    longitude: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and origins."""
        return len(self.codes), len(self.origins)

    def at_least(self, magnitude: float) -> KnownEvents:
        """The revisions of this magnitude or more."""
        return self._only(self.magnitude >= magnitude)

    def recent(self, days: float) -> KnownEvents:
        """The same events, each until it is more than `days` old."""
        old = np.searchsorted(self.origins, self.day + days, side="right")
        return replace(self, stop=np.minimum(self.stop, old))

    def count(self) -> Floats:
        """How many events are known in every cell."""
        return self._spread(self.cell, self._all(), self._ones(), len(self.codes))

    def mean_depth(self) -> Floats:
        """Mean depth of the events of every cell, km; NaN where none is known."""
        deep = self._only(np.isfinite(self.depth_km))
        total = deep._spread(deep.cell, deep._all(), deep.depth_km, len(self.codes))
        count = deep.count()
        mean = np.divide(total, count, out=np.full(self.shape, np.nan), where=count > 0)
        rounded: Floats = np.round(mean, DIGITS)
        return rounded

    def weighted(self, pairs: Pairs, decay_days: float = np.inf) -> Floats:
        """The sum of the pairs' weights over known events, each times exp(-age / decay_days).

        Args:
            pairs: cells and revisions (see `Grid.near`).
            decay_days: after which time an event counts 1 / e of what it did at first.
        """
        total = self._spread(pairs.cell, pairs.other, pairs.weight, len(self.codes), decay_days)
        found: Floats = np.maximum(np.round(total, DIGITS), 0.0)
        return found

    def windows_hit(self, window_days: int) -> Floats:
        """In how many windows of the grid of `window_days` before the origin every cell had an event."""
        window = (self.day // window_days).astype(np.int64)
        hits, which = np.unique(np.stack([self.cell, window]), axis=1, return_inverse=True)
        known = self._spread(np.reshape(which, -1), self._all(), self._ones(), hits.shape[1]) > 0
        found = np.zeros(self.shape)
        np.add.at(found, hits[0], known)
        return found

    def greatest(self, values: Floats) -> Floats:
        """The greatest of the values of the known events of every cell, -inf where none is known.

        Args:
            values: one per revision.
        """
        n_origins = len(self.origins)
        found = np.full(self.shape, -np.inf)
        lasting = (self.stop >= n_origins) & (self.start < n_origins)
        np.maximum.at(found, (self.cell[lasting], self.start[lasting]), values[lasting])
        found = np.maximum.accumulate(found, axis=1)
        passing = np.flatnonzero((self.stop < n_origins) & (self.start < self.stop))
        lengths = (self.stop - self.start)[passing]
        which = np.repeat(passing, lengths)
        step = np.arange(len(which)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        np.maximum.at(found, (self.cell[which], self.start[which] + step), values[which])
        return found

    def began(self) -> Floats:
        """When the first event happened that was known by each origin, shape (n_origins,); inf before that."""
        found = np.full(len(self.origins) + 1, np.inf)
        np.minimum.at(found, self.start, self.day)
        began: Floats = np.minimum.accumulate(found)[:-1]
        return began

    def _spread(
        self, rows: Positions, events: Positions, weights: Floats, n_rows: int, decay_days: float = np.inf
    ) -> Floats:
        """The sum over (row, event, weight) of the events that are known, shape (n_rows, n_origins).

        Each event is added where it becomes known and taken away where it stops; both are carried on from origin
        to origin. Those that became available first are added first.
        """
        n_origins = len(self.origins)
        changes = np.zeros(n_rows * (n_origins + 1))
        usable = self.start[events] < self.stop[events]
        rows, events, weights = rows[usable], events[usable], weights[usable]
        for at, sign in ((self.start[events], 1.0), (self.stop[events], -1.0)):
            age = self.origins[np.minimum(at, n_origins - 1)] - self.day[events]
            added = sign * weights * np.exp(-age / decay_days)
            changes += np.bincount(rows * (n_origins + 1) + at, added, len(changes))
        total = changes.reshape(n_rows, n_origins + 1)[:, :-1]
        if np.isinf(decay_days):
            return np.cumsum(total, axis=1)
        kept = np.exp(-np.diff(self.origins) / decay_days)
        for place, share in enumerate(kept, start=1):
            total[:, place] += total[:, place - 1] * share
        return total

    def _only(self, chosen: npt.NDArray[np.bool_]) -> KnownEvents:
        names = ("cell", "start", "stop", "day", "magnitude", "depth_km", "latitude", "longitude")
        parts: dict[str, Any] = {name: getattr(self, name)[chosen] for name in names}
        return replace(self, **parts)

    def _all(self) -> Positions:
        return np.arange(len(self.cell))

    def _ones(self) -> Floats:
        return np.ones(len(self.cell))


def known_events(events: pd.DataFrame, grid: Grid, origins: Floats) -> KnownEvents:
    """What was known of the events at each origin: their newest revision that was available, if it was before.

    Args:
        events: all revisions of a feed with the fields magnitude, depth_km, latitude_deg and longitude_deg.
        grid: the cells.
        origins: days since 1970, rising, shape (n_origins,).
    """
    ordered = events.sort_values(["key", "available_at", "collected_at"], kind="stable")
    replaced = days_of(ordered["available_at"].shift(-1).fillna(ordered["available_at"]))
    is_newest = ~ordered["key"].duplicated(keep="last").to_numpy()
    ordered = ordered.assign(replaced=np.where(is_newest, np.inf, replaced))
    ordered = ordered.sort_values(["available_at", "event_time", "key"], kind="stable")
    day, known = days_of(ordered["event_time"]), days_of(ordered["available_at"])
    happened = np.searchsorted(origins, day, side="right")
    place = {name: ordered[name].to_numpy(np.float64) for name in ("latitude_deg", "longitude_deg")}
    codes, cell = np.unique(grid.codes(*place.values()), return_inverse=True)
    return KnownEvents(
        grid=grid,
        codes=codes,
        origins=origins,
        cell=np.reshape(cell, -1),
        start=np.maximum(happened, np.searchsorted(origins, known, side="left")),
        stop=np.searchsorted(origins, ordered["replaced"].to_numpy(), side="left"),
        day=day,
        magnitude=ordered["magnitude"].to_numpy(np.float64),
        depth_km=ordered["depth_km"].to_numpy(np.float64),
        latitude=place["latitude_deg"],
        longitude=place["longitude_deg"],
    )


def days_of(times: pd.Series[Any]) -> Floats:
    """Times (UTC) as days since 1970, shape (n_times,)."""
    return np.asarray(times.dt.as_unit("us").astype("int64"), dtype=np.float64) / DAY_US
