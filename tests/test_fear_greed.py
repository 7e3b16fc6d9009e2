"""Indicators against plain loops, and the days of `fear_greed`: what each row knows, and since when."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from project import ROOT

from perennial.config import Config
from perennial.config_features import DailyFeatures
from perennial.config_file import load
from perennial.data.features import indicators
from perennial.data.foresight import foresight
from perennial.systems import fear_greed

DAY, MINUTE = pd.Timedelta(days=1), pd.Timedelta(minutes=1)
START = pd.Timestamp("2022-01-01", tz="UTC")
DAYS = 220
GOLD = """{base_url: "http://localhost", walk: {kind: once, urls: [/gold]}, read: {kind: csv}, key: [gold_day],
  event_time: gold_day, fields: {gold_day: {column: day, parse: time}, price: {column: price, parse: number,
  unit: USD}}}"""
SOURCE, WITH_GOLD = (
    load(ROOT / "configs/fear_greed.yaml", Config, given).config.source
    for given in ((), (f"source.feeds.gold={GOLD}",))
)
CLOSE, WEEK = DailyFeatures(target="close"), DailyFeatures(horizon_days=7)


def prices(days: int = DAYS, seed: int = 4) -> pd.Series:
    """A price by day whose log returns are random."""
    moves = np.random.default_rng(seed).normal(0, 0.04, days).cumsum()
    return pd.Series(30_000 * np.exp(moves), index=pd.date_range(START, periods=days, freq="D"))


def feed(name: str, days: pd.DatetimeIndex, delay: pd.Timedelta, **fields: object) -> pd.DataFrame:
    days = days.as_unit("us")
    available = (days + delay).as_unit("us")
    times = {"event_time": days, "available_at": available, "collected_at": available}
    return pd.DataFrame({"feed": name, "key": days.astype(str), **times, "source": "x", "raw": "x", **fields})


def made(candle_after: pd.Timedelta = DAY, seed: int = 4) -> pd.DataFrame:
    """Records of an index and of candles, of which the shipped config says the same delays."""
    rng, close = np.random.default_rng([seed, 1]), prices(seed=seed)
    days = close.index
    size = rng.uniform(0.001, 0.03, len(days))
    index = feed("index", days, MINUTE, fear_greed_index=rng.integers(5, 96, len(days)).astype(float))
    candles = feed(
        "candles",
        days,
        candle_after,
        open_usdt=close.to_numpy() * (1 - size / 2),
        high_usdt=close.to_numpy() * (1 + size),
        low_usdt=close.to_numpy() * (1 - size),
        close_usdt=close.to_numpy(),
        volume_btc=rng.uniform(100, 900, len(days)),
    )
    gold = feed("gold", days, DAY, price=rng.normal(1800, 30, len(days)))
    return pd.concat([index, candles, gold], ignore_index=True)


def feature_names(source, features=None):
    return [c.name for c in fear_greed.contract(source, features).features]


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return made()


@pytest.fixture(scope="module")
def rows(records) -> pd.DataFrame:
    return fear_greed.prepare(records, SOURCE)


def test_returns_volatility_and_averages_are_those_of_a_loop():
    close = prices()
    values, found = (
        close.to_numpy(),
        {
            "return": indicators.log_return(close, 7).to_numpy(),
            "volatility": indicators.volatility(close, 7).to_numpy(),
            "gap": indicators.mean_gap(close, 10).to_numpy(),
            "band": indicators.band_position(close, 20).to_numpy(),
        },
    )
    for day in range(len(values)):
        window = [math.log(values[i] / values[i - 1]) for i in range(day - 6, day + 1)] if day >= 7 else []
        mean = sum(window) / 7
        told = {
            "return": math.log(values[day] / values[day - 7]) if day >= 7 else math.nan,
            "volatility": math.sqrt(sum((r - mean) ** 2 for r in window) / 6) if day >= 7 else math.nan,
            "gap": values[day] - values[max(0, day - 9) : day + 1].mean() if day >= 4 else math.nan,
            "band": math.nan,
        }
        if day >= 19:
            last = values[day - 19 : day + 1]
            middle, width = last.mean(), 2 * last.std(ddof=1)
            upper, lower = middle + width, middle - width
            told["band"] = (values[day] - (upper + lower) / 2) / ((upper - lower) / 2)
        for name, expected in told.items():
            assert found[name][day] == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True), (name, day)


def test_relative_strength_is_wilders_smoothing_of_gains_and_losses():
    close = prices()
    found = indicators.relative_strength(close, 14).to_numpy()
    moves = np.diff(np.log(close.to_numpy()))
    gain, loss = max(moves[0], 0.0), max(-moves[0], 0.0)
    for day, move in enumerate(moves[1:], start=2):
        gain, loss = (13 * gain + max(move, 0.0)) / 14, (13 * loss + max(-move, 0.0)) / 14
        if day >= 14:
            assert found[day] == pytest.approx(100 - 100 / (1 + gain / loss), rel=1e-9)
    assert np.isnan(found[:14]).all()
    assert np.nanmin(found) >= 0 and np.nanmax(found) <= 100


@pytest.mark.parametrize(("step", "expected"), [(1.01, 100.0), (0.99, 0.0)])
def test_relative_strength_of_a_price_that_moves_one_way_is_at_its_end(step, expected):
    close = pd.Series(100.0 * step ** np.arange(60), index=pd.date_range(START, periods=60, freq="D"))
    assert indicators.relative_strength(close).dropna().to_numpy() == pytest.approx(np.full(46, expected))


def test_macd_gap_is_that_of_a_recursion():
    close = prices()
    found = indicators.macd_gap(close).to_numpy()
    fast = slow = float(close.iloc[0])
    signal = 0.0
    for day, value in enumerate(close.to_numpy()):
        fast, slow = fast + (value - fast) * 2 / 13, slow + (value - slow) * 2 / 27
        signal += (fast - slow - signal) * 2 / 10
        assert found[day] == pytest.approx((fast - slow - signal) / value, rel=1e-9, abs=1e-12)


def test_a_price_that_stands_still_has_no_moves_and_no_bands():
    close = pd.Series(100.0, index=pd.date_range(START, periods=60, freq="D"))
    for still in (
        indicators.log_return(close, 1),
        indicators.volatility(close, 7),
        indicators.macd_gap(close),
        indicators.mean_gap(close, 7),
    ):
        assert (still.dropna() == 0).all() and still.notna().sum() > 40
    assert indicators.relative_strength(close).isna().all()
    assert indicators.band_position(close).isna().all()


def test_every_feature_of_a_row_is_what_the_indicators_of_its_day_say(records, rows):
    """The rows by day, from a plain table of the records: no shift of a day in between."""
    day = rows["known_at"] - DAY
    close = prices()
    assert len(rows) == DAYS - 1 and (rows["time"] - rows["known_at"] == DAY).all()
    index = records[records["feed"] == "index"].set_index("event_time")["fear_greed_index"]
    expected = {
        "close": close[day],
        "index": index[day],
        "persistence": index[day],
        "index_lag_3": index.reindex(day - 3 * DAY),
        "index_change_2": index[day].to_numpy() - index.reindex(day - 2 * DAY).to_numpy(),
        "return_0_days_ago": np.log(close[day].to_numpy() / close.reindex(day - DAY).to_numpy()),
        "return_2_days_ago": np.log(
            close.reindex(day - 2 * DAY).to_numpy() / close.reindex(day - 3 * DAY).to_numpy()
        ),
        "volatility_30": indicators.volatility(close, 30)[day],
        "relative_strength": indicators.relative_strength(close)[day],
        "macd_gap": indicators.macd_gap(close)[day],
        "band_position": indicators.band_position(close)[day],
        "seasonal_naive_week": index.reindex(rows["time"] - DAY - 7 * DAY),
        "drift": index[day].to_numpy() + index.diff(30)[day].fillna(0).to_numpy() / 30,
        "index_next": index[rows["time"] - DAY],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(rows[name], np.asarray(values), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("features", [None, CLOSE, WEEK])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_features_of_a_prefix_equal_the_prefix_of_the_features(records, features, share):
    whole = fear_greed.prepare(records, WITH_GOLD, features)
    moment = whole["known_at"].quantile(share)
    part = fear_greed.prepare(records[records["available_at"] <= moment], WITH_GOLD, features)
    names = ["known_at", *fear_greed.BASELINES, *feature_names(WITH_GOLD, features)]
    assert len(part) > 40 and part["known_at"].max() <= moment
    pd.testing.assert_frame_equal(part[names], whole[names].iloc[: len(part)], check_exact=True)


@pytest.mark.parametrize("features", [None, CLOSE, WEEK])
def test_a_shuffled_future_changes_nothing(records, features):
    moment = records["available_at"].quantile(0.6)
    shuffled = records.copy()
    for name in ("index", "candles", "gold"):
        late = ((records["available_at"] > moment) & (records["feed"] == name)).to_numpy()
        fields = [c for c in records if pd.api.types.is_float_dtype(records[c])]
        order = np.random.default_rng(2).permutation(np.flatnonzero(late))
        shuffled.loc[late, fields] = records[fields].iloc[order].to_numpy()
    names = [*fear_greed.BASELINES, *feature_names(WITH_GOLD, features)]
    first, second = (fear_greed.prepare(some, WITH_GOLD, features) for some in (records, shuffled))
    seen = (first["known_at"] <= moment).to_numpy()
    assert seen.sum() > 100 and not first[names][~seen].equals(second[names][~seen])
    pd.testing.assert_frame_equal(first[names][seen], second[names][seen], check_exact=True)


def test_another_series_changes_its_own_column_alone(records, rows):
    joined = fear_greed.prepare(records, WITH_GOLD)
    others = joined.drop(columns="gold_price")
    assert feature_names(WITH_GOLD)[-1] == "gold_price" and joined["gold_price"].notna().sum() > 100
    pd.testing.assert_frame_equal(others[list(rows)], rows, check_exact=True)
    other = records.assign(price=records["price"] * 2)
    pd.testing.assert_frame_equal(
        fear_greed.prepare(other, WITH_GOLD).drop(columns="gold_price"), others, check_exact=True
    )


def test_the_return_of_a_day_is_known_when_the_next_index_comes_out_and_not_earlier(records, rows):
    """The index of a day follows the return of the day before, so that the moment decides."""
    candles = records[records["feed"] == "candles"].set_index("event_time")["available_at"]
    index = records[records["feed"] == "index"].set_index("event_time")["available_at"]
    predicted = rows["time"] - DAY
    assert (candles[predicted - DAY].to_numpy() == rows["known_at"].to_numpy()).all()
    assert (rows["known_at"].to_numpy() < index[predicted].to_numpy()).all()
    asked = rows["known_at"].iloc[100]
    before = records[records["available_at"] < asked]
    earlier = fear_greed.prepare(
        pd.concat([before, records[(records["feed"] == "index") & (records["available_at"] >= asked)]]),
        SOURCE,
    )
    assert earlier["known_at"].max() == asked - DAY


@pytest.mark.parametrize(("late", "newest"), [(pd.Timedelta(seconds=59), 1), (pd.Timedelta(seconds=61), 0)])
def test_a_candle_that_comes_after_the_index_of_the_next_day_predicts_nothing(late, newest):
    assert len(fear_greed.prepare(made(candle_after=DAY + late), SOURCE)) == newest * (DAYS - 1)


def test_an_index_that_comes_late_is_not_used_before(records, rows):
    """One day's index is told two days later: at the close of that day the one before it is the newest."""
    day = START + 100 * DAY
    is_late = (records["feed"] == "index") & (records["event_time"] == day)
    late = records.assign(
        available_at=records["available_at"].mask(is_late, records["available_at"] + 2 * DAY)
    )
    told, usual = (r.set_index("known_at") for r in (fear_greed.prepare(late, SOURCE), rows))
    assert told.loc[day + DAY, "index"] == usual.loc[day, "index"] != usual.loc[day + DAY, "index"]
    assert (told.loc[:day, "index"] == usual.loc[:day, "index"]).all()


@pytest.mark.parametrize("name", ["relative_strength", "band_position", "macd_gap", "volatility"])
def test_an_indicator_that_looks_ahead_is_caught_and_named(monkeypatch, records, name):
    """Planted: the indicator of the day after, of which the close is not known yet."""
    honest = getattr(indicators, name)
    prepare = partial(fear_greed.prepare, source=SOURCE)
    assert foresight(records, prepare(records), prepare, fear_greed.contract(SOURCE), 7).changed == ()
    monkeypatch.setattr(indicators, name, lambda close, *given: honest(close, *given).shift(-1))
    found = foresight(records, prepare(records), prepare, fear_greed.contract(SOURCE), 7)
    touched = {"volatility": {"volatility_7", "volatility_30", "return_scaled"}}.get(name, {name})
    assert {changed.column for changed in found.changed} == touched
    assert all("the column knows the future" in changed.sentence for changed in found.changed)
