"""Whether a strong earthquake will happen in a cell of the world within a month."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.config import Source
from perennial.config_features import CellFeatures
from perennial.errors import NotEnoughDataError
from perennial.systems import System, feeds_of, own_features, require_records
from perennial.table import Column, Contract

if TYPE_CHECKING:
    import pandas as pd

    from perennial.config_features import Features

OWN = ("events",)
CELL_DEG, WINDOW_DAYS, STRONG = 2.0, 30, 5.0
PERIODS_DAYS = (30, 90, 365, 1095)

COLUMNS = (
    Column("id", "text", "digest of the row's content", role="id"),
    Column("time", "time", "end of the window", role="time"),
    Column("known_at", "time", "start of the window", role="known_at"),
    Column("latitude_deg", "number", "middle of the cell", unit="degrees", minimum=-90, maximum=90),
    Column("longitude_deg", "number", "middle of the cell", unit="degrees", minimum=-180, maximum=180),
    *(
        Column(
            f"events_{days}",
            "number",
            f"events in the cell in the last {days} days",
            unit="events",
            minimum=0,
        )
        for days in PERIODS_DAYS
    ),
    Column(
        "largest_365", "number", "largest magnitude in the cell in a year", unit="magnitude", nullable=True
    ),
    Column("days_since", "number", "time since the last event in the cell", unit="days", minimum=0),
    Column(
        "strong",
        "category",
        f"whether an event of magnitude {STRONG} or more happens in the window",
        role="target",
        categories=("no", "yes"),
    ),
)


def contract(source: Source, features: Features | None = None) -> Contract:
    """The features of a cell at the start of a window, and one more per outside series of the source."""
    own_features("earthquakes", features, CellFeatures)
    from perennial.data.series import series_columns

    return Contract("earthquakes", (*COLUMNS, *series_columns(feeds_of("earthquakes", source, OWN), OWN)))


def prepare(records: pd.DataFrame, source: Source, features: Features | None = None) -> pd.DataFrame:
    """A row per finished window and cell that had an event in the three years before it.

    Windows start every 30 days from the first day of the records plus three years; features use the revisions
    that were available at the start of a window, the target the newest ones.
    """
    import pandas as pd

    from perennial.data.records import as_of, current
    from perennial.data.series import with_series

    require_records("earthquakes", records, OWN)
    events = records[records["feed"] == "events"]
    truth = current(events)
    window = pd.Timedelta(days=WINDOW_DAYS)
    begin = truth["event_time"].min().normalize() + pd.Timedelta(days=PERIODS_DAYS[-1])
    starts = pd.date_range(begin, truth["event_time"].max() - window, freq=window, unit="us")
    if not len(starts):
        raise NotEnoughDataError(
            f"windows of {WINDOW_DAYS} days behind three years of records, {SYSTEM.name}", 0, 1
        )
    strong = truth[truth["magnitude"] >= STRONG]
    parts = []
    for start in starts:
        cells = _cells(as_of(events, start.to_pydatetime()), start)
        within = strong[(strong["event_time"] >= start) & (strong["event_time"] < start + window)]
        hit = pd.MultiIndex.from_frame(_cell(within)).unique()
        parts.append(cells.assign(time=start + window, known_at=start, strong=cells.index.isin(hit)))
    rows = pd.concat(parts).reset_index()
    rows = rows.assign(strong=rows["strong"].map({True: "yes", False: "no"}))
    return with_series(rows, records, feeds_of("earthquakes", source, OWN), OWN)


def _cells(known: pd.DataFrame, start: pd.Timestamp) -> pd.DataFrame:
    """The features of every active cell at `start`, indexed by the middle of the cell."""
    import pandas as pd

    past = known[known["event_time"] < start]
    age = (start - past["event_time"]).dt.total_seconds() / 86_400
    recent = _cell(past).assign(
        days_since=age,
        **{f"events_{n}": (age <= n).astype(float) for n in PERIODS_DAYS},
        largest_365=past["magnitude"].where(age <= 365),
    )
    cells = recent[age <= PERIODS_DAYS[-1]].groupby(["latitude_deg", "longitude_deg"])
    counts = cells[[f"events_{n}" for n in PERIODS_DAYS]].sum()
    features: pd.DataFrame = pd.concat(
        [counts, cells["largest_365"].max(), cells["days_since"].min()], axis="columns"
    )
    return features


def _cell(events: pd.DataFrame) -> pd.DataFrame:
    """The middle of the cell of every event."""
    places = events[["latitude_deg", "longitude_deg"]].astype(float)
    middle = places.floordiv(CELL_DEG) * CELL_DEG + CELL_DEG / 2
    return middle.assign(
        latitude_deg=middle["latitude_deg"].clip(-89, 89),
        longitude_deg=middle["longitude_deg"].clip(-179, 179),
    )


SYSTEM = System(
    name="earthquakes",
    title="an earthquake of magnitude 5 or more in a cell within 30 days",
    task="classification",
    contract=contract,
    prepare=prepare,
)
