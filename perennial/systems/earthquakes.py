"""Whether a strong earthquake will happen in a cell of the world within a month."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.config import Source
from perennial.config_features import CellFeatures
from perennial.errors import InputError, NotEnoughDataError
from perennial.systems import System, feeds_of, own_features, require_records
from perennial.table import Column, Contract

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from perennial.config_features import Features
    from perennial.data.features.events import KnownEvents
    from perennial.data.features.grid import Floats

OWN = ("events",)
FIELDS = ("magnitude", "latitude_deg", "longitude_deg", "depth_km")
LEAST_HISTORY_DAYS = 365
CLASSES = ("no", "yes")
MAGNITUDE_SLACK = 0.25


def contract(source: Source, features: Features | None = None) -> Contract:
    """The features of a cell at the start of a window, and one more per outside series of the source.

    Raises:
        InputError: where the feed of events lacks a field that the features need.
    """
    from perennial.data.features.cells import cell_parts
    from perennial.data.series import series_columns

    own, web = own_features("earthquakes", features, CellFeatures), feeds_of("earthquakes", source, OWN)
    missing = [name for name in FIELDS if name not in web.feeds["events"].fields]
    if missing:
        raise InputError(
            f"system earthquakes: expected the feed events to have the fields {', '.join(FIELDS)}, "
            f"found none called {', '.join(missing)}"
        )
    strong = f"an event of magnitude {own.magnitude:g} or more"
    parts = cell_parts(own.magnitude, own.window_days)
    return Contract(
        "earthquakes",
        (
            Column("id", "text", "digest of the row's content", role="id"),
            Column("time", "time", "end of the window", role="time"),
            Column("known_at", "time", "start of the window", role="known_at"),
            *(column for part in parts for column in part.columns),
            *series_columns(web, OWN),
            Column(
                "long_term_rate",
                "number",
                f"share of the cell's past windows with {strong}; the average cell counts as one more window",
                role="baseline",
                unit="1",
                minimum=0,
                maximum=1,
            ),
            Column(
                "strong",
                "category",
                f"whether {strong} happens in the window of {own.window_days} days",
                role="target",
                categories=CLASSES,
            ),
        ),
    )


def prepare(records: pd.DataFrame, source: Source, features: Features | None = None) -> pd.DataFrame:
    """A row per finished window and cell that is known to have had an event, of any magnitude on record.

    Windows follow one another without overlap, counted from 1970, so that longer records move none; the first
    starts a year after the records do. Features use the revisions that were available at the start of a window,
    the target the newest ones.

    Raises:
        InputError: where the records hold nothing of the magnitude that counts.
        NotEnoughDataError: where there is no finished window behind a year of records.
    """
    import numpy as np
    import pandas as pd

    from perennial.data.features.cells import cell_parts
    from perennial.data.features.events import days_of, known_events
    from perennial.data.features.grid import Grid
    from perennial.data.records import current
    from perennial.data.series import with_series

    require_records("earthquakes", records, OWN)
    own, web = own_features("earthquakes", features, CellFeatures), feeds_of("earthquakes", source, OWN)
    events = records[records["feed"] == "events"]
    truth = current(events)
    _require_magnitude(truth["magnitude"], own.magnitude)
    days = days_of(truth["event_time"])
    origins = _origins(days, own.window_days)
    known = known_events(events, Grid(own.cell_deg), origins)
    active = (known.count() > 0) & (known.origins - known.began() >= LEAST_HISTORY_DAYS)
    at, cell = np.nonzero(active.T)
    if not len(at):
        raise NotEnoughDataError(
            f"windows of {own.window_days} days behind a year of records, {SYSTEM.name}", 0, 1
        )
    found = {
        name: np.broadcast_to(values, known.shape)[cell, at]
        for part in cell_parts(own.magnitude, own.window_days)
        for name, values in part.values(known).items()
    }
    start = pd.Timestamp(0, tz="UTC").as_unit("us") + pd.to_timedelta(origins[at], unit="D")
    strong = truth[truth["magnitude"] >= own.magnitude]
    rows = pd.DataFrame(
        {
            "time": start + pd.Timedelta(days=own.window_days),
            "known_at": start,
            **found,
            "long_term_rate": _long_term_rate(known, active, own)[cell, at],
            "strong": np.where(_hits(strong, known, own.window_days)[cell, at], "yes", "no"),
        }
    )
    return with_series(rows, records, web, OWN)


def _require_magnitude(magnitudes: pd.Series[float], least: float) -> None:
    """Raises InputError where nothing near the least magnitude is on record: weaker events were left out."""
    if magnitudes.min() > least + MAGNITUDE_SLACK:
        raise InputError(
            f"system earthquakes: expected records from magnitude {least:g} on (features.magnitude), found none "
            f"below {magnitudes.min():g}; collect weaker events or raise features.magnitude"
        )


def _origins(days: Floats, window_days: int) -> Floats:
    """The starts of all windows from the first event on that end before the last event, days since 1970."""
    import numpy as np

    first, last = np.ceil(days.min() / window_days), np.floor(days.max() / window_days)
    return np.arange(first, last) * window_days


def _hits(strong: pd.DataFrame, known: KnownEvents, window_days: int) -> npt.NDArray[np.bool_]:
    """Whether a strong event happens in each cell in the window that starts at each origin."""
    import numpy as np

    from perennial.data.features.events import days_of

    codes = known.grid.codes(strong["latitude_deg"], strong["longitude_deg"])
    window = np.floor(days_of(strong["event_time"]) / window_days) * window_days
    place = np.searchsorted(known.origins, window)
    inside = np.isin(window, known.origins)
    hits = np.zeros(known.shape, dtype=np.bool_)
    hits[np.searchsorted(known.codes, codes[inside]), place[inside]] = True
    return hits


def _long_term_rate(known: KnownEvents, active: npt.NDArray[np.bool_], own: CellFeatures) -> Floats:
    """The share of past windows with a strong event; the average of the active cells counts as one more window.

    Without that window a cell's first strong event would have been impossible.
    """
    import numpy as np

    from perennial.data.features.cells import past_windows

    windows = past_windows(known, own.window_days)
    hits = known.at_least(own.magnitude).windows_hit(own.window_days)
    average = (hits / windows * active).sum(axis=0) / np.maximum(active.sum(axis=0), 1)
    rate: Floats = (hits + average) / (windows + 1)
    return rate


SYSTEM = System(
    name="earthquakes",
    title="an earthquake of magnitude 5 or more in a cell within 30 days",
    task="classification",
    contract=contract,
    prepare=prepare,
    segments=("latitude_deg", "longitude_deg"),
)
