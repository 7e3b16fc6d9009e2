"""Features of cells of the world: how much happened there and around it, over several past periods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perennial.data.features.events import KnownEvents
from perennial.data.features.grid import Floats, Pairs
from perennial.table import Column

Values = Mapping[str, Floats]

PERIODS_DAYS = (30, 90, 365, 1095)
DECAYS_DAYS = (7, 30, 120, 480)
"""Several exponential decays together follow the power law by which aftershocks become rarer (Omori 1894)."""

DISTANCES = {"close": 0.27, "near": 0.54}
"""Standard deviations of Gaussian weights around the middle of a cell, in heights of a cell."""

YEAR_DAYS = 365.25


@dataclass(frozen=True)
class CellPart:
    """A named group of feature columns of a cell at an origin; all read what was known at the origin.

    Attributes:
        name: what it is called in documents and tests.
        columns: the columns that it makes.
        look_back: how far before an origin it reads; None for all records.
        values: every column's values, of a shape that broadcasts to (n_cells, n_origins).
    """

    name: str
    columns: tuple[Column, ...]
    look_back: pd.Timedelta | None
    values: Callable[[KnownEvents], Values]


def cell_parts(magnitude: float, window_days: int) -> tuple[CellPart, ...]:
    """All parts, in the order of their columns.

    Args:
        magnitude: from which magnitude on an event is called strong.
        window_days: length of a window.
    """
    return (
        place(),
        *(counts(days, magnitude) for days in PERIODS_DAYS),
        rates(magnitude),
        windows_hit(magnitude, window_days),
        *(decayed(name, share) for name, share in DISTANCES.items()),
        last_and_largest(magnitude),
    )


def place() -> CellPart:
    """Where the cell is, and how deep its events were."""
    columns = (
        Column(
            "latitude_deg", "number", "middle of the cell", unit="degrees", minimum=-90, maximum=90
        ),
        Column(
            "longitude_deg", "number", "middle of the cell", unit="degrees", minimum=-180, maximum=180
        ),
        Column("depth_km", "number", "mean depth of the events in the cell", unit="km", nullable=True),
    )  # fmt: skip

    def values(known: KnownEvents) -> Values:
        latitude, longitude = known.grid.middles(known.codes)
        return {
            "latitude_deg": latitude[:, None],
            "longitude_deg": longitude[:, None],
            "depth_km": known.mean_depth(),
        }

    return CellPart("place", columns, None, values)


def counts(days: int, magnitude: float) -> CellPart:
    """Events of the last `days` days in the cell, the strong ones, and the strong ones in its neighbours."""
    about = {
        f"events_{days}": "events in the cell",
        f"strong_{days}": f"events of magnitude {magnitude:g} or more in the cell",
        f"around_{days}": f"events of magnitude {magnitude:g} or more in the eight cells around",
    }
    columns = tuple(
        Column(name, "number", f"{text}, last {days} days", unit="events", minimum=0)
        for name, text in about.items()
    )

    def values(known: KnownEvents) -> Values:
        recent = known.recent(days)
        strong = recent.at_least(magnitude).count()
        return dict(zip(about, (recent.count(), strong, around(known, strong)), strict=True))

    return CellPart(f"counts_{days}", columns, pd.Timedelta(days=days), values)


def rates(magnitude: float) -> CellPart:
    """Events a year since the records began: in the cell, strong ones, and strong ones in its neighbours."""
    about = {
        "events_per_year": "events in the cell",
        "strong_per_year": f"events of magnitude {magnitude:g} or more in the cell",
        "around_per_year": f"events of magnitude {magnitude:g} or more in the eight cells around",
    }
    columns = tuple(
        Column(name, "number", f"{text}, per year since the records began", unit="1/year", minimum=0)
        for name, text in about.items()
    )

    def values(known: KnownEvents) -> Values:
        strong = known.at_least(magnitude).count()
        years = history_days(known) / YEAR_DAYS
        found = (known.count(), strong, around(known, strong))
        return {name: value / years for name, value in zip(about, found, strict=True)}

    return CellPart("rates", columns, None, values)


def windows_hit(magnitude: float, window_days: int) -> CellPart:
    """The share of past windows with a strong event, in the cell and around, and with any event.

    Unlike the number of events it hardly grows by the aftershocks of a single one.
    """
    strong_text = f"an event of magnitude {magnitude:g} or more"
    columns = (
        Column("hit", "number", f"share of past windows with {strong_text}", unit="1", minimum=0, maximum=1),
        Column("hit_any", "number", "share of past windows with any event", unit="1", minimum=0, maximum=1),
        Column("hit_around", "number", "sum of that of the eight cells around", unit="1", minimum=0),
        Column(
            "hit_near", "number", "sum of that of all cells, weighted by their distance", unit="1", minimum=0
        ),
    )

    def values(known: KnownEvents) -> Values:
        windows = past_windows(known, window_days)
        hit = known.at_least(magnitude).windows_hit(window_days) / windows
        grid, codes = known.grid, known.codes
        near = grid.near(codes, *grid.middles(codes), grid.height_km)
        return {
            "hit": hit,
            "hit_any": known.windows_hit(window_days) / windows,
            "hit_around": around(known, hit),
            "hit_near": together(near, hit),
        }

    return CellPart("windows_hit", columns, None, values)


def decayed(name: str, share: float) -> CellPart:
    """Events around the middle of the cell, weighted by distance and age, and by distance alone a year.

    Args:
        name: the columns' prefix.
        share: the standard deviation of the weight over distance, in heights of a cell.
    """
    where = f"weighted by distance (standard deviation {share:g} heights of a cell)"

    def columns() -> Iterator[Column]:
        for days in DECAYS_DAYS:
            about = f"events, {where} and age (1/e after {days} days)"
            yield Column(f"{name}_{days}", "number", about, unit="events", minimum=0)
        about = f"events, {where}, per year since the records began"
        yield Column(f"{name}_per_year", "number", about, unit="1/year", minimum=0)

    def values(known: KnownEvents) -> Values:
        pairs = known.grid.near(known.codes, known.latitude, known.longitude, share * known.grid.height_km)
        found = {f"{name}_{days}": known.weighted(pairs, days) for days in DECAYS_DAYS}
        yearly = known.weighted(pairs) / (history_days(known) / YEAR_DAYS)
        return {**found, f"{name}_per_year": yearly}

    return CellPart(name, tuple(columns()), None, values)


def last_and_largest(magnitude: float) -> CellPart:
    """How long ago the last events were, and how large the largest."""
    text = f"last event of magnitude {magnitude:g} or more in the cell"
    columns = (
        Column("days_since", "number", "time since the last event in the cell", unit="days", minimum=0),
        Column(
            "days_since_strong",
            "number",
            f"time since the {text}, or since the records began",
            unit="days",
            minimum=0,
        ),
        Column("largest", "number", "largest magnitude in the cell", unit="magnitude"),
        Column("largest_365", "number", "the same of a year, 0 for no event", unit="magnitude"),
    )

    def values(known: KnownEvents) -> Values:
        strong, recent = known.at_least(magnitude), known.recent(365)
        longest = history_days(known)
        largest = (events.greatest(events.magnitude) for events in (known, recent))
        return {
            "days_since": np.minimum(known.origins - known.greatest(known.day), longest),
            "days_since_strong": np.minimum(known.origins - strong.greatest(strong.day), longest),
            **{
                name: np.where(np.isfinite(found), found, 0.0)
                for name, found in zip(("largest", "largest_365"), largest, strict=True)
            },
        }

    return CellPart("last_and_largest", columns, None, values)


def history_days(known: KnownEvents) -> Floats:
    """How long before every origin the records began, shape (n_origins,); at least a day."""
    return np.maximum(known.origins - known.began(), 1.0)


def past_windows(known: KnownEvents, window_days: int) -> Floats:
    """How many windows lie between the first known event and every origin, shape (n_origins,); at least one."""
    return np.maximum(np.ceil((known.origins - known.began()) / window_days), 1.0)


def around(known: KnownEvents, values: Floats) -> Floats:
    """The sum of values over the cells around every cell, shape (n_cells, n_origins)."""
    return together(known.grid.neighbours(known.codes), values)


def together(pairs: Pairs, values: Floats) -> Floats:
    """The weighted sum of the values of other cells, shape (n_cells, n_origins)."""
    from scipy.sparse import csr_array

    n_cells = len(values)
    total = csr_array((pairs.weight, (pairs.cell, pairs.other)), shape=(n_cells, n_cells)) @ values
    return np.asarray(total, dtype=np.float64)
