"""Online equals batch: the rows of one origin, made from what was known then, are those of training."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_load_features import FEATURES, HOUR, made, records_of, source

from perennial.config_features import DailyFeatures
from perennial.config_web import WebSource
from perennial.errors import InputError, NotEnoughDataError
from perennial.systems import fear_greed, load

HOURLY = FEATURES.model_copy(update={"every_hours": 1.0})
STEPS = {"hours": HOUR, "quarter hours within hours": HOUR / 4}


@pytest.fixture(scope="module", params=STEPS, ids=str)
def world(request: pytest.FixtureRequest) -> tuple[pd.DataFrame, pd.DataFrame, WebSource]:
    """Records across the spring's change of clocks, the rows of training at every hour, and their source."""
    step = STEPS[request.param]
    found = made(days=60, step=step)
    of = source(step.total_seconds())
    return found, load.prepare(found, of, HOURLY), of


def alike(online: pd.DataFrame, batch: pd.DataFrame, without: tuple[str, ...]) -> None:
    """Every value is the same to the last bit, and every column has the same type."""
    names = [name for name in batch if name not in without]
    pd.testing.assert_frame_equal(
        online[names].reset_index(drop=True), batch[names].reset_index(drop=True), check_exact=True
    )


@settings(max_examples=20, deadline=None)
@given(hours=st.integers(0, 50 * 24))
def test_the_rows_of_an_origin_are_those_of_training(world, hours: int) -> None:
    records, batch, of = world
    origins = batch["known_at"].drop_duplicates()
    origin = origins.iloc[hours % len(origins)]
    known = records[records["available_at"] <= origin]
    online = load.ahead(known, of, HOURLY, origin)
    assert len(online) == HOURLY.horizon_hours and online["load_mw"].isna().all()
    expected = batch[batch["known_at"] == origin]
    kept = online[online["time"].isin(expected["time"])]
    assert len(kept) == len(expected) > 0
    alike(kept, expected, without=("load_mw",))


def test_what_became_available_later_changes_nothing(world) -> None:
    records, batch, of = world
    for origin in batch["known_at"].drop_duplicates().iloc[::211]:
        late = records["available_at"] > origin
        wild = records.assign(
            load_mw=records["load_mw"].mask(late, -1e9), price=records["price"].mask(late, 7.0)
        )
        online = load.ahead(records[~late], of, HOURLY, origin)
        pd.testing.assert_frame_equal(load.ahead(wild, of, HOURLY, origin), online, check_exact=True)


def test_nothing_before_the_look_back_is_needed(world) -> None:
    records, batch, of = world
    followed = load.follows(of, HOURLY)
    origin = batch["known_at"].iloc[-1]
    since = origin - followed.look_back - followed.steps * followed.step - timedelta(days=2)
    near = records[records["event_time"] >= since]
    assert len(near) < len(records)
    whole = load.ahead(records, of, HOURLY, origin)
    pd.testing.assert_frame_equal(load.ahead(near, of, HOURLY, origin), whole, check_exact=True)


def test_an_origin_between_steps_and_one_before_all_records_are_refused(world) -> None:
    records, batch, of = world
    origin = batch["known_at"].iloc[0]
    with pytest.raises(InputError, match="on a step of 60 min"):
        load.ahead(records, of, HOURLY, origin + HOUR / 2)
    with pytest.raises(NotEnoughDataError, match="records of the feed load"):
        load.ahead(records, of, HOURLY, records["available_at"].min() - HOUR)


def daily_source() -> WebSource:
    def feed(day: str, delay_s: float, *fields: str) -> dict:
        return {
            "walk": {"kind": "files", "paths": ["x.csv"]},
            "read": {"kind": "csv"},
            "key": [day],
            "event_time": day,
            "available_after_s": delay_s,
            "fields": {
                day: {"column": day, "parse": "time"},
                **{name: {"column": name, "parse": "number", "unit": "1"} for name in fields},
            },
        }

    prices = [f"{name}_usdt" for name in ("open", "high", "low", "close")]
    feeds = {
        "index": feed("index_day", 60, "fear_greed_index"),
        "candles": feed("candle_day", 86400, *prices, "volume_btc"),
        "gold": feed("gold_day", 90_000, "usd_per_ounce"),
    }
    return WebSource(kind="web", feeds=feeds)


def daily(days: int = 700, seed: int = 1) -> pd.DataFrame:
    """An index with missing days that is revised now and then, candles, and a price of another market."""
    rng = np.random.default_rng(seed)
    start = pd.date_range("2021-01-01", periods=days, freq="D", tz="UTC")
    close = 30_000 * np.exp(np.cumsum(rng.normal(0, 0.03, days)))
    values = np.clip(50 + 25 * np.sin(np.arange(days) / 9) + rng.normal(0, 6, days), 1, 99).round()
    kept = rng.random(days) > 0.03
    told = start + pd.Timedelta(seconds=60)
    again = rng.random(days) < 0.05
    candles = records_of(
        "candles",
        start,
        start + pd.Timedelta(days=1),
        open_usdt=close * 0.99,
        high_usdt=close * 1.02,
        low_usdt=close * 0.97,
        close_usdt=close,
        volume_btc=rng.gamma(2, 1000, days),
    )
    index = records_of("index", start[kept], told[kept], fear_greed_index=values[kept])
    revised = records_of(
        "index",
        start[again & kept],
        told[again & kept] + pd.Timedelta(days=2),
        fear_greed_index=values[again & kept] + 1,
    )
    gold = records_of("gold", start, start + pd.Timedelta(hours=25), usd_per_ounce=rng.normal(1900, 20, days))
    return pd.concat([index, revised, candles, gold], ignore_index=True)


@pytest.fixture(scope="module")
def days() -> pd.DataFrame:
    return daily()


@pytest.mark.parametrize("target", ["index", "close"])
@pytest.mark.parametrize("horizon", [1, 5])
def test_the_row_of_a_day_is_that_of_training(days: pd.DataFrame, target: str, horizon: int) -> None:
    chosen = DailyFeatures(target=target, horizon_days=horizon)
    batch = fear_greed.prepare(days, daily_source(), chosen)
    for place in range(3, len(batch), 83):
        expected = batch.iloc[place : place + 1]
        origin = expected["known_at"].iloc[0]
        later = days.assign(
            fear_greed_index=days["fear_greed_index"].mask(days["available_at"] > origin, 5.0)
        )
        for records in (days[days["available_at"] <= origin], later):
            online = fear_greed.ahead(records, daily_source(), chosen, origin)
            alike(online, expected, without=(f"{target}_next",))
            assert online[f"{target}_next"].isna().all()


@pytest.mark.parametrize("horizon", [1, 3])
def test_the_first_row_of_a_forecast_is_as_far_ahead_as_is_told(
    days: pd.DataFrame, world: tuple[pd.DataFrame, pd.DataFrame, WebSource], horizon: int
) -> None:
    of = DailyFeatures(horizon_days=horizon)
    origin = days["available_at"][days["feed"] == "candles"].iloc[-40]
    row = fear_greed.ahead(days, daily_source(), of, origin).iloc[0]
    assert row["time"] == origin + fear_greed.follows(daily_source(), of).after
    records, batch, web = world
    later = batch["known_at"].iloc[-1]
    known = records[records["available_at"] <= later]
    first = load.ahead(known, web, HOURLY, later)["time"].min()
    assert first == later + load.follows(web, HOURLY).after


def test_four_hundred_days_are_as_good_as_all(days: pd.DataFrame) -> None:
    chosen = DailyFeatures()
    origin = pd.Timestamp("2022-11-20", tz="UTC")
    look_back = fear_greed.follows(daily_source(), chosen).look_back
    near = days[days["event_time"] >= origin - look_back]
    online, whole = (fear_greed.ahead(r, daily_source(), chosen, origin) for r in (near, days))
    pd.testing.assert_frame_equal(online, whole, rtol=1e-9)


def test_a_candle_that_is_not_there_leaves_its_row_without_values(days: pd.DataFrame) -> None:
    origin = pd.Timestamp("2022-06-01", tz="UTC")
    known = days[(days["feed"] != "candles") | (days["event_time"] < origin - pd.Timedelta(days=3))]
    row = fear_greed.ahead(known, daily_source(), DailyFeatures(), origin)
    assert row["time"].tolist() == [origin + pd.Timedelta(days=1)]
    assert row["known_at"].tolist() == [origin] and row["close"].isna().all()
