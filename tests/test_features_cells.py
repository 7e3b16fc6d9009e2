"""Features of cells, held against plain loops, and against everything that was not known yet."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from collected import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.config import Config
from perennial.config_features import CellFeatures
from perennial.config_file import load
from perennial.data.features import events as known_module
from perennial.data.features.cells import DECAYS_DAYS, PERIODS_DAYS, around, cell_parts, together
from perennial.data.features.events import known_events
from perennial.data.features.grid import EARTH_KM, REACH, Grid
from perennial.data.records import as_of, current
from perennial.errors import InputError, NotEnoughDataError
from perennial.systems import earthquakes

BEGIN = pd.Timestamp("2012-01-05 03:00", tz="UTC")
WINDOW, STRONG, CELL = 30, 5.0, 2.0
FILES = ROOT.parent / "shared/data/earthquakes"
SOURCE = load(ROOT / "configs/files/earthquakes.yaml", Config, ()).config.source
KEY = ["known_at", "latitude_deg", "longitude_deg"]


def catalogue(seed: int, n: int = 500, days: float = 900.0, revised: float = 0.2) -> pd.DataFrame:
    """Events around two places, one of them at the date line, a part of them revised later."""
    rng = np.random.default_rng(seed)
    east = rng.choice([178.5, 20.0], n) + rng.normal(0, 3, n)
    first = pd.DataFrame(
        {
            "feed": "events",
            "key": [f"e{i}" for i in range(n)],
            "event_time": BEGIN + pd.to_timedelta(np.sort(rng.uniform(0, days, n)).round(5), unit="D"),
            "magnitude": np.round(4.5 + rng.exponential(0.4, n), 1),
            "latitude_deg": np.round(rng.normal(-20, 3, n), 3),
            "longitude_deg": np.round((east + 180) % 360 - 180, 3),
            "depth_km": np.where(rng.random(n) < 0.1, np.nan, rng.uniform(0, 300, n).round(1)),
        }
    )
    first = first.assign(
        available_at=first["event_time"] + pd.to_timedelta(rng.exponential(0.5, n), unit="D")
    )
    again = first[rng.random(n) < revised]
    again = again.assign(
        magnitude=(again["magnitude"] + rng.normal(0, 0.3, len(again))).round(1),
        longitude_deg=((again["longitude_deg"] + 1.3 + 180) % 360 - 180).round(3),
        available_at=again["available_at"] + pd.to_timedelta(rng.exponential(100, len(again)), unit="D"),
    )
    both = pd.concat([first, again], ignore_index=True)
    times = {c: both[c].astype("datetime64[us, UTC]") for c in ("event_time", "available_at")}
    return both.assign(**times, collected_at=times["available_at"], source="file", raw="file")


RECORDS = catalogue(3)


@pytest.fixture(scope="module")
def rows():
    return earthquakes.prepare(RECORDS, SOURCE)


def middle(latitude: float, longitude: float) -> tuple[float, float]:
    """The middle of a cell of two degrees."""
    east = math.floor(longitude / CELL) * CELL + CELL / 2
    return math.floor(latitude / CELL) * CELL + CELL / 2, east - 360 if east > 180 else east


def by_hand(moment: pd.Timestamp, place: tuple[float, float]) -> dict[str, float]:
    """The features of a cell from what the records say at a moment, event by event."""
    past = as_of(RECORDS, moment.to_pydatetime())
    past = past[past["event_time"] < moment]
    began = min(
        first["event_time"].iloc[0]
        for _, first in RECORDS[
            (RECORDS["available_at"] <= moment) & (RECORDS["event_time"] < moment)
        ].groupby("key")
    )
    history = (moment - began) / pd.Timedelta(days=1)
    found: dict[str, float] = dict.fromkeys(
        [f"{what}_{n}" for what in ("events", "strong", "around") for n in PERIODS_DAYS]
        + [f"{name}_{n}" for name in ("close", "near") for n in (*DECAYS_DAYS, "per_year")]
        + ["events_per_year", "strong_per_year", "around_per_year", "largest", "largest_365"],
        0.0,
    )
    hit, hit_any, hit_around = set(), set(), set()
    since, since_strong, depths = [history], [history], []
    for event in past.itertuples():
        age = (moment - event.event_time) / pd.Timedelta(days=1)
        own = middle(event.latitude_deg, event.longitude_deg)
        window = event.event_time.timestamp() // (86400 * WINDOW)
        strong = event.magnitude >= STRONG
        east = abs(own[1] - place[1])
        if own == place:
            hit_any.add(window)
            since.append(age)
            depths.append(event.depth_km)
            found["events_per_year"] += 365.25 / history
            found["strong_per_year"] += strong * 365.25 / history
            found["largest"] = max(found["largest"], event.magnitude)
            if strong:
                hit.add(window)
                since_strong.append(age)
            if age <= 365:
                found["largest_365"] = max(found["largest_365"], event.magnitude)
        elif abs(own[0] - place[0]) <= CELL and min(east, 360 - east) <= CELL and strong:
            hit_around.add((own, window))
            found["around_per_year"] += 365.25 / history
        for days in PERIODS_DAYS:
            if age <= days:
                near = own != place and abs(own[0] - place[0]) <= CELL and min(east, 360 - east) <= CELL
                found[f"events_{days}"] += own == place
                found[f"strong_{days}"] += own == place and strong
                found[f"around_{days}"] += near and strong
        km = straight_km(event.latitude_deg, event.longitude_deg, *place)
        for name, share in (("close", 0.27), ("near", 0.54)):
            width = share * math.radians(CELL) * EARTH_KM
            weight = math.exp(-0.5 * (km / width) ** 2) if km <= REACH * width else 0.0
            found[f"{name}_per_year"] += weight * 365.25 / history
            for days in DECAYS_DAYS:
                found[f"{name}_{days}"] += weight * math.exp(-age / days)
    windows = math.ceil(history / WINDOW)
    return {
        **found,
        "hit": len(hit) / windows,
        "hit_any": len(hit_any) / windows,
        "hit_around": len(hit_around) / windows,
        "days_since": min(since),
        "days_since_strong": min(since_strong),
        "depth_km": float(np.nanmean(depths)) if not np.isnan(depths).all() else math.nan,
    }


def straight_km(a: float, b: float, c: float, d: float) -> float:
    """The distance through the earth between two places (haversine formula, chord)."""
    a, b, c, d = map(math.radians, (a, b, c, d))
    half = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 2 * EARTH_KM * math.sqrt(half)


def test_features_equal_a_count_by_hand(rows):
    assert len(rows) > 300
    assert (rows["longitude_deg"].abs() > 178).any()
    for row in rows.sample(60, random_state=5).itertuples():
        expected = by_hand(row.known_at, (row.latitude_deg, row.longitude_deg))
        for name, value in expected.items():
            assert getattr(row, name) == pytest.approx(value, abs=2e-6, rel=1e-4, nan_ok=True), name


def test_the_target_is_what_the_newest_revisions_say(rows):
    truth = current(RECORDS)
    strong = truth[truth["magnitude"] >= STRONG]
    places = [middle(a, b) for a, b in zip(strong["latitude_deg"], strong["longitude_deg"], strict=True)]
    happened = {(t, *p) for t, p in zip(strong["event_time"], places, strict=True)}
    for row in rows.itertuples():
        inside = any(
            row.known_at <= t < row.time and (row.latitude_deg, row.longitude_deg) == (a, b)
            for t, a, b in happened
        )
        assert row.strong == ("yes" if inside else "no")
    assert rows["strong"].nunique() == 2


def test_windows_follow_one_another_and_a_longer_record_moves_none(rows):
    assert (rows["time"] - rows["known_at"]).eq(pd.Timedelta(days=WINDOW)).all()
    starts = np.sort(rows["known_at"].unique())
    assert set(np.diff(starts)) == {pd.Timedelta(days=WINDOW)}
    earlier = RECORDS.assign(
        key="old " + RECORDS["key"],
        **{c: RECORDS[c] - pd.Timedelta(days=911) for c in ("event_time", "available_at", "collected_at")},
    )
    longer = earthquakes.prepare(pd.concat([earlier, RECORDS]), SOURCE)
    assert set(starts) < set(longer["known_at"].unique())


def test_the_long_term_rate_is_the_share_of_windows_with_the_average_as_one_more(rows):
    for moment, part in rows.groupby("known_at"):
        began = RECORDS.loc[RECORDS["available_at"] <= moment, "event_time"].min()
        windows = math.ceil((moment - began) / pd.Timedelta(days=WINDOW))
        expected = (part["hit"] * windows + part["hit"].mean()) / (windows + 1)
        np.testing.assert_allclose(part["long_term_rate"], expected)


def differs(first: pd.DataFrame, second: pd.DataFrame, moment: pd.Timestamp) -> list[str]:
    """The features of the rows up to a moment that differ between two tables, to the last digit."""
    parts = [t[t["known_at"] <= moment].sort_values(KEY, ignore_index=True) for t in (first, second)]
    assert len(parts[0]) > 50
    pd.testing.assert_frame_equal(parts[0][KEY], parts[1][KEY])
    names = [c for c in parts[0].columns if c not in ("strong", "time", *KEY)]
    return [c for c in names if not np.array_equal(parts[0][c], parts[1][c], equal_nan=True)]


def futures(moment: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Records that are the same up to a moment, and another future each."""
    late = RECORDS["available_at"] > moment
    rng = np.random.default_rng(1)
    mixed = RECORDS.copy()
    names = ["magnitude", "latitude_deg", "longitude_deg", "depth_km"]
    mixed.loc[late, names] = RECORDS.loc[rng.permutation(np.flatnonzero(late)), names].to_numpy()
    elsewhere = RECORDS[late].assign(key="far " + RECORDS["key"], latitude_deg=60.0)
    return {
        "none": RECORDS[~late],
        "permuted": mixed,
        "stronger": RECORDS.assign(magnitude=RECORDS["magnitude"] + 2.0 * late),
        "elsewhere": pd.concat([RECORDS, elsewhere], ignore_index=True),
    }


@pytest.mark.parametrize("future", ["none", "permuted", "stronger", "elsewhere"])
@pytest.mark.parametrize("share", [0.45, 0.7, 0.9])
def test_another_future_changes_no_digit_of_a_feature(rows, future, share):
    moment = rows["known_at"].quantile(share)
    other = earthquakes.prepare(futures(moment)[future], SOURCE)
    last = min(moment, other["known_at"].max())
    assert differs(rows, other, last) == []


@pytest.mark.parametrize(
    "leak",
    [
        lambda events: events.assign(available_at=events["event_time"]),
        lambda events: events.sort_values("available_at").drop_duplicates("key", keep="last"),
    ],
    ids=["known as soon as it happens", "the newest revision alone"],
)
def test_a_planted_look_ahead_is_seen(rows, monkeypatch, leak):
    moment = rows["known_at"].quantile(0.7)
    honest = known_module.known_events
    monkeypatch.setattr(known_module, "known_events", lambda events, *a: honest(leak(events), *a))
    whole = earthquakes.prepare(RECORDS, SOURCE)
    part = earthquakes.prepare(futures(moment)["none"], SOURCE)
    both = part.merge(whole, on=KEY, suffixes=("", "_whole"))
    names = [c for c in part.columns if f"{c}_whole" in both and c not in ("strong", "time")]
    assert any((both[c] != both[f"{c}_whole"]).any() for c in names)


def test_events_far_away_change_nothing_but_the_average(rows):
    far = RECORDS.assign(key="far " + RECORDS["key"], latitude_deg=RECORDS["latitude_deg"] + 70.0)
    other = earthquakes.prepare(pd.concat([RECORDS, far], ignore_index=True), SOURCE)
    same = other[other["latitude_deg"] < 20]
    assert len(same) == len(rows) < len(other)
    assert set(differs(rows, same, rows["known_at"].max())) == {"long_term_rate"}


def test_every_part_makes_its_columns_and_reads_no_further_back_than_it_says(rows):
    moment = float((rows["known_at"].max() - pd.Timestamp(0, tz="UTC")).days) + 500.0
    known = known_events(RECORDS, Grid(CELL), np.array([moment]))
    for part in cell_parts(STRONG, WINDOW):
        found = part.values(known)
        assert list(found) == [c.name for c in part.columns]
        if part.look_back is None:
            continue
        old = known.day < moment - part.look_back.days
        forgotten = replace(known, stop=np.where(old, 0, known.stop))
        assert old.any()
        for name, values in part.values(forgotten).items():
            np.testing.assert_array_equal(values, found[name])


@settings(max_examples=60, deadline=None)
@given(
    cell_deg=st.sampled_from([1.0, 2.0, 2.5, 7.0, 30.0]),
    places=st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=40),
)
def test_places_lie_in_their_cells_and_neighbours_touch_both_ways(cell_deg, places):
    grid = Grid(cell_deg)
    latitude, longitude = np.array(places).T
    codes = grid.codes(latitude, longitude)
    north, east = grid.middles(codes)
    assert (abs(north - latitude) <= cell_deg / 2 + 1e-9).all()
    apart = np.minimum(abs(east - longitude), 360 - abs(east - longitude))
    assert (apart <= cell_deg / 2 + 1e-9).all()
    cells = np.unique(codes)
    pairs = grid.neighbours(cells)
    ties = set(zip(pairs.cell.tolist(), pairs.other.tolist(), strict=True))
    assert ties == {(b, a) for a, b in ties}
    rows, columns = np.divmod(cells, grid.columns)
    expected = {
        (a, b)
        for a in range(len(cells))
        for b in range(len(cells))
        if a != b
        and abs(rows[a] - rows[b]) <= 1
        and (columns[a] - columns[b]) % grid.columns in (0, 1, grid.columns - 1)
    }
    assert ties == expected


def test_cells_on_both_sides_of_the_date_line_are_neighbours():
    grid = Grid(2.0)
    codes = np.unique(grid.codes([-21.0, -21.0, -21.0], [179.0, -179.0, 175.0]))
    values = np.array([[1.0], [10.0], [100.0]])
    known = replace(known_events(RECORDS, grid, np.array([16000.0])), codes=codes)
    _, east = grid.middles(codes)
    seen = dict(zip(east.tolist(), around(known, values)[:, 0].tolist(), strict=True))
    value = dict(zip(east.tolist(), values[:, 0].tolist(), strict=True))
    assert seen == {179.0: value[-179.0], -179.0: value[179.0], 175.0: 0.0}
    near = together(
        grid.near(codes, np.array([-21.0, 0.0, 0.0]), np.array([-179.9, 0.0, 0.0]), 111.0), values
    )
    assert near[list(east).index(179.0), 0] > 0.5 * values[0, 0]
    assert near[list(east).index(175.0), 0] == 0.0


def test_other_cells_windows_and_magnitudes_by_config():
    own = CellFeatures(cell_deg=5.0, window_days=10, magnitude=4.8)
    rows = earthquakes.prepare(RECORDS, SOURCE, own)
    assert (rows["time"] - rows["known_at"]).eq(pd.Timedelta(days=10)).all()
    assert (rows["latitude_deg"] % 5 == 2.5).all()
    default = earthquakes.prepare(RECORDS, SOURCE)
    assert (rows["strong"] == "yes").mean() != (default["strong"] == "yes").mean()
    assert earthquakes.contract(SOURCE, own)["strong"].description.startswith(
        "whether an event of magnitude 4.8"
    )
    columns = [c.name for c in earthquakes.contract(SOURCE, own).columns if c.role not in ("id",)]
    assert sorted(columns) == sorted(rows.columns)


def test_records_that_leave_weaker_events_out_are_refused():
    with pytest.raises(InputError, match=r"expected records from magnitude 3 on .* found none below [34]"):
        earthquakes.prepare(RECORDS, SOURCE, CellFeatures(magnitude=3.0))


def test_less_than_a_year_of_records_is_no_window():
    early = RECORDS[RECORDS["event_time"] < BEGIN + pd.Timedelta(days=300)]
    with pytest.raises(NotEnoughDataError, match="behind a year of records"):
        earthquakes.prepare(early, SOURCE)


def test_a_feed_without_depths_is_told():
    feed = SOURCE.feeds["events"]
    fields = {name: rule for name, rule in feed.fields.items() if name != "depth_km"}
    source = SOURCE.model_copy(update={"feeds": {"events": feed.model_copy(update={"fields": fields})}})
    with pytest.raises(InputError, match="found none called depth_km"):
        earthquakes.contract(source)
