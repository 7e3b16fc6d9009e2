"""The load system's features: nothing is used before it was known, and every number is what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from perennial import systems
from perennial.config import Config
from perennial.config_features import SeriesFeatures
from perennial.config_file import load as read
from perennial.config_web import WebSource
from perennial.data.features import known
from perennial.data.features.days_off import days_of, holiday_shares
from perennial.data.features.origins import Origins, origins_between, taken
from perennial.data.features.part import History
from perennial.errors import InputError, NotEnoughDataError, UnknownNameError
from perennial.learn.candidate_checks import check_candidates
from perennial.learn.horizon import horizon_ridge
from perennial.systems import load

ROOT = Path(__file__).resolve().parent.parent
FRANCE = ROOT.parent / "shared/data/electricity-load/fr_60min_2015_2018.csv.gz"
SHIPPED = [
    *(ROOT / "configs" / name for name in ("load.yaml", "demo/load.yaml", "sites/entsoe_files.yaml")),
    *sorted((ROOT / "configs/files").glob("load_*.yaml")),
]
HOUR = pd.Timedelta(hours=1)
DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2021-02-20", tz="UTC")
KEYS = {"id", "time", "known_at", "load_mw"}


def feed(number: str, unit: str, delay_s: float | None) -> dict:
    return {
        "walk": {"kind": "files", "paths": ["x.csv"]},
        "read": {"kind": "csv"},
        "key": ["at"],
        "event_time": "at",
        "available_after_s": delay_s,
        "fields": {
            "at": {"column": "at", "parse": "time"},
            number: {"column": number, "parse": "number", "unit": unit},
        },
    }


def source(delay_s: float = 3600) -> WebSource:
    feeds = {
        "load": feed("load_mw", "MW", delay_s),
        "weather": feed("temperature_c", "degC", None),
        "oil": feed("price", "USD", 86400),
    }
    return WebSource(kind="web", feeds=feeds)


FEATURES = SeriesFeatures(
    horizon_hours=30, zone="Europe/Berlin", country="DE", lags="ratio", given=("weather.temperature_c",)
)


def records_of(
    name: str, times: pd.DatetimeIndex, available: pd.DatetimeIndex, **fields: object
) -> pd.DataFrame:
    times, available = times.as_unit("us"), available.as_unit("us")
    return pd.DataFrame(
        {
            "feed": name,
            "key": times.astype(str),
            "event_time": times,
            "available_at": available,
            "collected_at": available,
            "source": "x",
            "raw": "x",
            **fields,
        }
    )


def made(days: int = 55, step: pd.Timedelta = HOUR, seed: int = 3) -> pd.DataFrame:
    """Load that is revised after two days and has gaps, a forecast that is renewed every day, and a price."""
    rng = np.random.default_rng(seed)
    times = pd.date_range(START, periods=days * int(DAY / step), freq=step)
    level = 50_000 + 8_000 * np.sin(2 * np.pi * times.hour / 24) - 6_000 * (times.dayofweek >= 5)
    values = level + rng.normal(0, 900, len(times))
    kept = rng.random(len(times)) > 0.02
    first = records_of("load", times[kept], times[kept] + step, load_mw=values[kept])
    again = rng.random(len(times)) < 0.1
    revised = records_of(
        "load", times[again & kept], times[again & kept] + 2 * DAY, load_mw=values[again & kept] + 500
    )
    hours = pd.date_range(START, periods=(days + 2) * 24, freq=HOUR)
    told = [
        records_of(
            "weather", hours, hours.floor("D") - ahead * DAY, temperature_c=rng.normal(9, 7, len(hours))
        )
        for ahead in (2, 1, 0)
    ]
    daily = pd.date_range(START, periods=days, freq="D")
    price = records_of("oil", daily, daily + DAY, price=rng.normal(70, 5, len(daily)))
    return pd.concat([first, revised, *told, price], ignore_index=True)


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return made()


@pytest.fixture(scope="module")
def rows(records) -> pd.DataFrame:
    return load.prepare(records, source(), FEATURES)


def assert_prefix_equals_prefix(records: pd.DataFrame, whole: pd.DataFrame, moment: pd.Timestamp) -> None:
    part = load.prepare(records[records["available_at"] <= moment], source(), FEATURES)
    both = part[part["known_at"] <= moment].merge(
        whole, on=["time", "known_at"], suffixes=("", "_whole"), how="left"
    )
    assert len(both) > 20
    for name in set(whole) - KEYS:
        pd.testing.assert_series_equal(both[name], both[f"{name}_whole"], check_names=False, check_exact=True)


def test_the_table_has_the_columns_of_the_contract(rows):
    contract = load.contract(source(), FEATURES)
    assert set(rows) == {c.name for c in contract.columns} - {"id"}
    assert {c.name for c in contract.columns if c.role == "baseline"} == {
        *("persistence", "seasonal_naive_day", "seasonal_naive_week", "moving_average", "drift")
    }
    assert load.SYSTEM.horizon in {c.name for c in contract.features}
    for column in contract.columns:
        if column.is_numeric:
            values = rows[column.name]
            assert values.min() >= (-np.inf if column.minimum is None else column.minimum), column.name
            assert values.max() <= (np.inf if column.maximum is None else column.maximum), column.name
            assert column.unit, column.name


@pytest.mark.parametrize("share", [0.4, 0.6, 0.83, 0.97])
def test_features_of_a_prefix_are_the_prefix_of_the_features(records, rows, share):
    first, last = rows["known_at"].min(), rows["known_at"].max()
    moment = first + (last - first) * share
    assert_prefix_equals_prefix(records, rows, moment)


def assert_the_future_changes_nothing(
    records: pd.DataFrame, rows: pd.DataFrame, moment: pd.Timestamp
) -> None:
    late = (records["available_at"] > moment).to_numpy()
    changed = records.copy()
    for name in ("load_mw", "temperature_c", "price"):
        values = changed.loc[late, name].to_numpy()
        changed.loc[late, name] = np.random.default_rng(1).permutation(values)
    again = load.prepare(changed, source(), FEATURES)
    names = sorted(set(rows) - KEYS)
    keys = ["time", "known_at"]
    seen, seen_again = rows[rows["known_at"] <= moment], again[again["known_at"] <= moment]
    left, right = seen.merge(seen_again[keys], on=keys), seen_again.merge(seen[keys], on=keys)
    assert len(left) > 500
    pd.testing.assert_frame_equal(left[names], right[names], check_exact=True)
    assert not rows[rows["known_at"] > moment].equals(again[again["known_at"] > moment])


@pytest.mark.parametrize("share", [0.5, 0.74])
def test_a_shuffled_future_changes_nothing(records, rows, share):
    first, last = rows["known_at"].min(), rows["known_at"].max()
    assert_the_future_changes_nothing(records, rows, first + (last - first) * share)


@pytest.mark.parametrize("law", [assert_prefix_equals_prefix, assert_the_future_changes_nothing])
def test_a_planted_look_ahead_is_found(records, monkeypatch, law):
    """Both laws notice a reader that takes a record for known 30 hours too early."""
    honest = known.microseconds

    def careless(times):
        early = 30 * 3_600_000_000 if getattr(times, "name", "") == "available_at" else 0
        return honest(times) - early

    monkeypatch.setattr(known, "microseconds", careless)
    whole = load.prepare(records, source(), FEATURES)
    with pytest.raises(AssertionError, match="differ"):
        law(records, whole, whole["known_at"].quantile(0.6) + 20 * HOUR)


def test_another_series_changes_only_its_own_columns(records, rows):
    numbers = {"price": "oil", "temperature_c": "weather"}
    for field, name in numbers.items():
        changed = load.prepare(records.assign(**{field: records[field] * 2 + 1}), source(), FEATURES)
        same = [c for c in rows if not c.startswith(name)]
        pd.testing.assert_frame_equal(changed[same], rows[same], check_exact=True)
        assert not changed.equals(rows)


def test_every_part_reads_no_farther_back_than_it_says_and_nothing_ahead_that_was_not_given():
    features = FEATURES.model_copy(update={"zone": "UTC"})
    moments = origins_between(START + 60 * DAY, START + 63 * DAY, DAY, HOUR)
    origins = Origins(moments, HOUR, 60 * 24, 30, "UTC")
    rng = np.random.default_rng(5)
    shape = (len(moments), origins.back + origins.ahead)
    series = {"load": rng.uniform(30, 60, shape), "weather_temperature_c": rng.uniform(-5, 30, shape)}
    history = History(origins, series)
    for part in load.parts(source(), features):
        start = origins.back - part.look_back // HOUR
        noise = {name: values.copy() for name, values in series.items()}
        for name, values in noise.items():
            values[:, :start] = np.where(
                name == "load", rng.uniform(0, 1, (len(moments), start)), values[:, :start]
            )
        noise["load"][:, origins.back :] = np.nan
        if part.known == "past":
            noise["weather_temperature_c"][:] = np.nan
        before, after = part.values(history), part.values(replace(history, series=noise))
        assert set(before) == {column.name for column in part.columns}, part.name
        for name, values in before.items():
            np.testing.assert_array_equal(values, after[name], err_msg=f"{part.name}: {name}")


def test_lags_are_what_a_plain_loop_finds(records, rows):
    """On a prefix without gaps or revisions, numbers follow from the series by their descriptions alone."""
    loads = records[records["feed"] == "load"]
    chosen = rows.sample(25, random_state=2)
    for row in chosen.itertuples():
        told = loads[loads["available_at"] <= row.known_at].sort_values("available_at", kind="stable")
        told = told.drop_duplicates("key", keep="last").set_index("event_time")["load_mw"].sort_index()
        hours = pd.date_range(row.known_at - 44 * DAY, row.known_at + 29 * HOUR, freq=HOUR)
        series = told.reindex(hours)
        for back in (7 * DAY, DAY):
            for moment in series.index[series.isna()]:
                series[moment] = series.get(moment - back, np.nan)
        past = series[: row.known_at - HOUR]
        level = past.iloc[-168:].mean()
        clock = row.time.tz_convert("Europe/Berlin").tz_localize(None)
        earlier = {
            d: series.get(
                (clock - d * DAY)
                .tz_localize("Europe/Berlin", ambiguous=True, nonexistent="shift_forward")
                .tz_convert("UTC"),
                np.nan,
            )
            for d in (2, 7, 14)
        }
        assert row.load_level == pytest.approx(level)
        assert row.load_last_1h == pytest.approx(past.iloc[-1] / level)
        assert row.load_last_24h == pytest.approx(past.iloc[-24] / level)
        assert row.load_last_3h_week_before == pytest.approx(past.iloc[-171] / level, nan_ok=True)
        assert row.load_last_2d == pytest.approx(past.iloc[-48:-24].mean() / level)
        for days, value in earlier.items():
            found = getattr(row, f"load_{days}d_before")
            assert found == pytest.approx(value / level, nan_ok=True), (row.time, days)
        assert row.persistence == pytest.approx(past.iloc[-1])
        assert row.moving_average == pytest.approx(past.iloc[-24:].mean())
        slope = (past.iloc[-1] - past.iloc[-168]) / 167
        assert row.drift == pytest.approx(past.iloc[-1] + (row.horizon_hours + 1) * slope)
        assert row.seasonal_naive_week == pytest.approx(earlier[7], nan_ok=True)


def test_a_given_series_is_the_newest_forecast_that_was_available(records, rows):
    told = records[records["feed"] == "weather"]
    for row in rows.sample(20, random_state=4).itertuples():
        known_then = told[(told["available_at"] <= row.known_at) & (told["event_time"] == row.time)]
        newest = known_then.sort_values("available_at")["temperature_c"].iloc[-1]
        assert row.weather_temperature_c == newest
        assert row.weather_temperature_c_below_12 == pytest.approx(max(12 - newest, 0))
        assert row.weather_temperature_c_above_19 == pytest.approx(max(newest - 19, 0))
    assert records["temperature_c"].notna().sum() > 2 * len(told["key"].unique())


def test_smoothed_degrees_halve_with_every_day():
    from perennial.data.features.given import _smoothed

    windows = np.concatenate([np.zeros((1, 240)), np.full((1, 72), 10.0)], axis=1)
    windows[0, 250] = np.nan
    assert _smoothed(windows, 24.0)[0, [239, 263, 287, 311]] == pytest.approx([0, 5, 7.5, 8.75])


def test_quarter_hours_are_averaged_and_their_delay_moves_the_newest_hour(rows):
    quarter = pd.Timedelta(minutes=15)
    times = pd.date_range(START, periods=30 * 96, freq=quarter)
    values = np.random.default_rng(2).uniform(40, 60, len(times))
    plain = FEATURES.model_copy(update={"given": (), "country": "", "zone": "UTC"})
    for delay, newest in ((900, 1), (4500, 2)):
        quarters = records_of(
            "load", times, times + pd.Timedelta(seconds=delay), load_mw=values, temperature_c=np.nan
        )
        oil = records_of("oil", times[:1], times[:1], price=[1.0])
        of = source(delay)
        found = load.prepare(pd.concat([quarters, oil], ignore_index=True), of, plain)
        row = found[found["known_at"] == START + 20 * DAY].iloc[0]
        last = values[20 * 96 - 4 * newest : 20 * 96 - 4 * newest + 4].mean()
        assert row["load_last_1h"] * row["load_level"] == pytest.approx(last)
        hourly = found[found["known_at"] == START + 20 * DAY]["load_mw"].to_numpy()
        np.testing.assert_allclose(hourly, values[20 * 96 :].reshape(-1, 4)[:30].mean(axis=1))


def test_quarter_hour_steps_have_a_row_each_and_may_cross_zero():
    quarter = pd.Timedelta(minutes=15)
    times = pd.date_range(START, periods=30 * 96, freq=quarter)
    values = np.random.default_rng(2).normal(0, 3, len(times))
    loads = records_of("load", times, times + quarter, load_mw=values, temperature_c=np.nan, price=np.nan)
    oil = records_of("oil", times[:1], times[:1], price=[1.0])
    features = SeriesFeatures(step_minutes=15, every_hours=6)
    found = load.prepare(pd.concat([loads, oil], ignore_index=True), source(900), features)
    assert (found.groupby("known_at").size().iloc[:-8] == 192).all()
    assert found["known_at"].diff().max() == 6 * HOUR
    row = found.iloc[100]
    place = int((row["time"] - START) / quarter)
    assert row["load_mw"] == values[place]
    assert row["load_2d_before"] == pytest.approx(values[place - 192] - row["load_level"])
    assert row["horizon_hours"] == (row["time"] - row["known_at"]) / HOUR


def test_the_same_clock_is_kept_when_clocks_change():
    moments = origins_between(
        pd.Timestamp("2021-03-27", tz="UTC"), pd.Timestamp("2021-04-02", tz="UTC"), DAY, HOUR
    )
    origins = Origins(moments, HOUR, 30 * 24, 48, "Europe/Berlin")
    hours = np.asarray(origins.local.hour, dtype=float)[origins.windows]
    for days in (2, 7, 14):
        then = taken(hours, origins.same_clock(days))
        now = hours[:, origins.back :]
        assert (then != now).sum() <= 2  # the hour that clocks leave out
    assert (origins.same_clock(7) != origins.same_clock(0) - 168).any()


def test_weekly_origins_are_mondays():
    found = origins_between(START, START + 40 * DAY, 7 * DAY, HOUR)
    assert set(found.dayofweek) == {0}
    assert found[0] >= START
    assert found[0] - START < 7 * DAY


def test_holidays_count_as_sundays_and_bridge_days_are_told():
    days = pd.date_range("2021-05-10", "2021-06-06", freq="D")
    share = pd.Series(holiday_shares("DE", days), days)
    assert share["2021-05-13"] == 1  # Ascension
    assert 0 < share["2021-06-03"] < 1  # Corpus Christi, in some states
    assert share["2021-05-12"] == 0
    moments = origins_between(days[0].tz_localize("UTC"), days[20].tz_localize("UTC"), DAY, HOUR)
    origins = Origins(moments, HOUR, 48, 24, "Europe/Berlin")
    found = days_of(origins, "DE")
    at = {str(day.date()): i for i, day in enumerate(moments)}
    noon = found.targets[:, 12]
    assert found.types[noon[at["2021-05-13"]]] == 6
    assert found.types[noon[at["2021-05-14"]]] == 4
    assert found.facts["bridge_day"][noon[at["2021-05-14"]]] == 1
    assert found.facts["holiday_next"][noon[at["2021-05-12"]]] == 1
    assert found.facts["holiday_before"][noon[at["2021-05-14"]]] == 1


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"country": "XX"}, UnknownNameError, "country in features.country"),
        ({"given": ("weather.temperatur_c",)}, UnknownNameError, "did you mean 'weather.temperature_c'"),
        ({"given": ("load.load_mw",)}, UnknownNameError, "FEED.FIELD in features.given"),
        ({"step_minutes": 7}, InputError, "whole number of steps"),
        ({"horizon_hours": 1.5}, InputError, "features.horizon_hours"),
        ({"every_hours": 0.5}, InputError, "features.every_hours"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(records, change, error, said):
    features = FEATURES.model_copy(update=change)
    with pytest.raises(error, match=said):
        load.prepare(records, source(), features)


def test_a_few_days_are_not_enough(records):
    early = records[records["event_time"] < START + 5 * DAY]
    with pytest.raises(NotEnoughDataError, match="days of records before an origin"):
        load.prepare(early, source(), FEATURES)


def test_origins_may_lie_at_another_hour(records):
    features = FEATURES.model_copy(update={"first_hour": 10.0})
    found = load.prepare(records, source(), features)
    assert set(found["known_at"].dt.hour) == {10}
    with pytest.raises(InputError, match=r"features.first_hour"):
        load.prepare(records, source(), FEATURES.model_copy(update={"first_hour": 0.3}))


def test_degree_days_can_be_left_out(records, rows):
    found = load.prepare(records, source(), FEATURES.model_copy(update={"degree_days": False}))
    gone = set(rows) - set(found)
    assert gone
    assert all("_below_" in name or "_above_" in name for name in gone)
    pd.testing.assert_frame_equal(found, rows[list(found)], check_exact=True)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_shipped_configs_name_features_that_there_are(path):
    of = read(path, Config).config
    contract = systems.get(of.system).contract(of.source, of.features)
    names = {column.name for column in contract.features}
    assert of.learn.relative_to in names
    assert check_candidates(of.learn, "regression") == []
    for candidate in of.learn.candidates:
        if candidate.name == "horizon_ridge":
            built = horizon_ridge(contract.features, candidate.parameters, 7, 1)
            assert contract.features[built.horizon].name == load.SYSTEM.horizon


@pytest.mark.skipif(not FRANCE.exists(), reason="the French load is not on this machine")
def test_two_days_ahead_from_what_was_known_is_far_better_than_last_week():
    """France 2017, fitted on 2016: no year that any config is judged on. Nearer hours are told better."""
    of = read(ROOT / "configs/files/load_fr.yaml", Config).config
    data = pd.read_csv(FRANCE).dropna(subset=["load_mw"])
    times = pd.DatetimeIndex(pd.to_datetime(data["utc_timestamp"], utc=True))
    chosen = (times >= "2015-12-01") & (times < "2017-04-01")
    hours = records_of(
        "load", times[chosen], times[chosen] + HOUR, load_mw=data["load_mw"].to_numpy()[chosen]
    )
    rows = load.prepare(hours, of.source, of.features)
    contract = load.contract(of.source, of.features)
    X = contract.matrix({c.name: rows[c.name] for c in contract.features})
    y, level = rows["load_mw"].to_numpy(), rows["load_level"].to_numpy()
    train = (rows["time"] < pd.Timestamp("2017-01-01", tz="UTC")).to_numpy()
    test = (rows["known_at"] >= pd.Timestamp("2017-01-01", tz="UTC")).to_numpy()
    model = horizon_ridge(contract.features, of.learn.candidates[0].parameters, 7, 1)
    model.fit(X[train], np.log(y / level)[train])
    error = np.abs(level * np.exp(model.predict(X)) / y - 1)[test]
    naive = np.abs(rows["seasonal_naive_week"].to_numpy() / y - 1)[test]
    near = (rows["horizon_hours"] < 24).to_numpy()[test]
    assert error.mean() < 0.6 * naive.mean()
    assert error[near].mean() < 0.8 * error[~near].mean()
