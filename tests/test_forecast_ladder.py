"""The ladder by itself: which rung answers, why not the one above, and how sure a naive forecast is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from forecasts import build, config, past, released, sent
from hypothesis import given, settings
from hypothesis import strategies as st
from releases import build as build_prices
from releases import promote
from test_forecast_rows import daily, daily_source

from bento.answering import Answering
from bento.asked import Refused
from bento.forecast.forecaster import Forecaster
from bento.forecast.ladder import Past, StepDown, check_history, first_to_hold, flat_from
from bento.forecast.naive import band, errors_at, seasonal_lag
from bento.forecast.wiring import forecaster
from bento.guard import Guard
from bento.process import service_environment
from bento.watch import watching
from perennial.config import Config
from perennial.live.sign import SigningKey, key_pair
from perennial.systems import fear_greed

ORIGIN = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def climbing(*held: str) -> Any:
    """Rungs a, b, c of which those in `held` answer, and the list of those that were asked."""
    asked: list[str] = []

    def rung(name: str) -> str:
        asked.append(name)
        if name not in held:
            raise StepDown(f"no {name}" if name != "b" else "no a")
        return name.upper()

    return [(name, lambda name=name: rung(name)) for name in "abc"], asked


def test_the_first_rung_that_answers_is_the_last_that_is_asked() -> None:
    rungs, asked = climbing("a", "b")
    stood = first_to_hold(rungs)
    assert (stood.quality, stood.answer, stood.reason, asked) == ("a", "A", "", ["a"])
    rungs, asked = climbing("c")
    stood = first_to_hold(rungs)
    assert (stood.quality, stood.reason, asked) == ("c", "no a", ["a", "b", "c"])
    with pytest.raises(StepDown, match=r"^no a; no c$"):
        first_to_hold(climbing()[0])


def series(n: int = 24 * 20, delay: timedelta = HOUR, **at: float) -> Past:
    known = 100.0 + np.arange(n) % 24
    known[n - max(int(delay / HOUR) - 1, 0) :] = np.nan
    return Past("load_mw", known, np.zeros(n, dtype=bool), ORIGIN, HOUR, delay)


@pytest.mark.parametrize("delay", [timedelta(0), HOUR, 3 * HOUR, 1.25 * HOUR])
def test_a_whole_history_holds_whatever_the_usual_delay(delay: timedelta) -> None:
    past = series(delay=delay)
    check_history(past, True, timedelta(0))
    past.known[-int(-(-delay // HOUR)) - 7 :] = np.nan
    with pytest.raises(StepDown, match="late"):
        check_history(past, True, 6 * HOUR)


@settings(deadline=None)
@given(stuck=st.integers(0, 60), holes=st.sets(st.integers(0, 59), max_size=20))
def test_flat_is_a_day_of_equal_values_whatever_is_missing_between(stuck: int, holes: set[int]) -> None:
    past = series()
    n = len(past.known)
    past.known[n - stuck :] = 7.0
    for hole in holes:
        past.known[n - 1 - hole] = np.nan
    seen = [place for place in range(n - stuck, n) if np.isfinite(past.known[place])]
    assert flat_from(past) == (seen[0] if len(seen) >= 24 else None)


def test_a_series_that_stood_still_in_training_may_be_flat() -> None:
    past = series()
    past.known[:] = 5.0
    check_history(past, False, HOUR)
    with pytest.raises(StepDown, match="flat: load_mw has not changed since 2026-02-10T00:00:00"):
        check_history(past, True, HOUR)


@settings(deadline=None)
@given(n=st.integers(0, 300), level=st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]), seed=st.integers(0, 9))
def test_a_band_leaves_out_at_most_its_share_on_either_side(n: int, level: float, seed: int) -> None:
    errors = np.random.default_rng(seed).normal(size=n)
    found = band(errors, level)
    assert (found is None) == (n + 1 < round(2 / (1 - level)))
    if found is not None:
        low, high = found
        for outside in ((errors < low).sum(), (errors > high).sum()):
            assert outside + 1 <= (1 - level) / 2 * (n + 1) + 1e-6


def test_bands_hold_what_they_promise_of_errors_to_come() -> None:
    rng = np.random.default_rng(3)
    hits = []
    for _ in range(4000):
        errors = rng.standard_t(4, size=40)
        low, high = band(errors[:-1], 0.8) or (np.nan, np.nan)
        hits.append(low <= errors[-1] <= high)
    assert np.mean(hits) == pytest.approx(0.8, abs=0.03)


@settings(deadline=None)
@given(values=st.lists(st.sampled_from([1.0, 2.0, np.nan]), max_size=30), lag=st.integers(-1, 31))
def test_errors_are_those_of_every_pair(values: list[float], lag: int) -> None:
    known = np.array(values)
    pairs = [known[i] - known[i - lag] for i in range(lag, len(known))] if lag > 0 else []
    assert errors_at(known, lag).tolist() == [e for e in pairs if np.isfinite(e)]


@settings(deadline=None)
@given(distance=st.integers(1, 500), period=st.integers(1, 200))
def test_a_season_reaches_back_to_what_is_known(distance: int, period: int) -> None:
    lag = seasonal_lag(distance, period)
    assert lag % period == 0 and distance <= lag < distance + period


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return key_pair(tmp_path_factory.mktemp("keys"))


def standing_of(folder: Path, system: str, key: SigningKey) -> tuple[Answering, Forecaster]:
    environment = service_environment(folder, system, key.public_path)
    watch = watching(environment)
    assert isinstance(watch.standing.state, Answering), watch.standing.trouble
    return watch.standing.state, forecaster(environment, lambda: watch.standing, None)


class Broken:
    """A model that fails, or answers what is no number."""

    def __init__(self, answer: float | None) -> None:
        self.answer = answer

    def raw(self, matrix: Any) -> Any:
        if self.answer is None:
            raise RuntimeError("the session is gone")
        return np.full(len(matrix), self.answer)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "the model failed (RuntimeError); see the service's log"),
        (np.inf, "the model's answer is no finite number"),
        (np.nan, "the model's answer is no finite number"),
    ],
)
def test_a_model_that_fails_is_stepped_down_from_to_its_end(tmp_path, key, answer, reason) -> None:
    released(tmp_path, key, ORIGIN)
    champion, asks = standing_of(tmp_path, "load", key)
    body = json.dumps(
        {"origin": ORIGIN.isoformat(), "history": sent(past(ORIGIN), load="load_mw", weather="temperature_c")}
    ).encode()

    def told() -> tuple[str, str, str]:
        found = json.loads(asks.forecast(champion, body, None, ORIGIN).body)
        assert all(row["prediction"] is not None for row in found["predictions"])
        return found["quality"], found["reason"], found["version"]

    assert told() == ("champion", "", "v2")
    champion.ready.predictor.model = Broken(answer)
    assert told() == ("previous champion", reason, "v1")
    before = asks.previous(champion)
    assert before is not None and before is asks.previous(champion)
    before.ready.predictor.model = Broken(answer)
    assert told() == ("seasonal naive", reason, "v2")


def test_without_a_release_before_the_seasonal_forecast_comes_next(tmp_path, key) -> None:
    promote(tmp_path, key, build(tmp_path, key, config(True), past(ORIGIN), ORIGIN, 1.0))
    champion, asks = standing_of(tmp_path, "load", key)
    body = {"origin": ORIGIN.isoformat(), "history": sent(past(ORIGIN), load="load_mw")}
    found = json.loads(asks.forecast(champion, json.dumps(body).encode(), None, ORIGIN).body)
    assert found["quality"] == "seasonal naive"
    assert found["reason"].endswith("; there is no previous champion")


def test_a_daily_system_forecasts_its_one_row(tmp_path, key) -> None:
    records = daily()
    of = Config.model_validate(
        {
            "system": "fear_greed",
            "source": daily_source().model_dump(),
            "features": {"kind": "daily", "target": "index", "horizon_days": 1},
            "split": {"kind": "time"},
            "learn": {"candidates": [{"name": "ridge"}]},
        }
    )
    promote(tmp_path, key, build(tmp_path, key, of, records, ORIGIN, 1.0))
    champion, asks = standing_of(tmp_path, "fear_greed", key)
    origin = records["available_at"][records["feed"] == "candles"].iloc[-40]
    known = records[records["available_at"] <= origin].drop_duplicates(["feed", "key"])
    fields = {
        name: [f for f in feed.fields if f != feed.event_time] for name, feed in of.source.feeds.items()
    }
    history = {
        name: [
            {"time": row["event_time"].isoformat(), **{f: float(row[f]) for f in fields[name]}}
            for row in known[known["feed"] == name].to_dict("records")
        ]
        for name in fields
    }
    body = {"origin": origin.isoformat(), "history": history}
    found = json.loads(asks.forecast(champion, json.dumps(body).encode(), None, ORIGIN).body)
    assert (found["quality"], found["reason"]) == ("champion", "")
    assert [row["time"] for row in found["predictions"]] == [(origin + pd.Timedelta(days=1)).isoformat()]
    body["history"] = {**history, "candles": history["candles"][:-3], "index": history["index"][:-5]}
    newest = history["index"][-6]["time"]
    found = json.loads(asks.forecast(champion, json.dumps(body).encode(), None, ORIGIN).body)
    assert found["quality"] == "seasonal naive", found["reason"]
    assert f"late: the newest value of fear_greed_index is of {newest}" in found["reason"]
    (row,) = found["predictions"]
    batch = fear_greed.prepare(records, of.source, of.features).set_index("known_at")
    assert row["prediction"] == batch["seasonal_naive_week"][origin]
    assert row["prediction_low_95"] < row["prediction_low"] < row["prediction_high"]


def test_a_system_that_does_not_forecast_says_so(tmp_path, key) -> None:
    promote(tmp_path, key, build_prices(tmp_path, key, "prices", 1.0))
    champion, asks = standing_of(tmp_path, "prices", key)
    assert not {"/forecast", "/observe"} & set(champion.document["paths"])
    for ask in (
        lambda: asks.forecast(champion, b"{}", None, ORIGIN),
        lambda: asks.observe(champion, b"{}", ORIGIN),
    ):
        with pytest.raises(Refused, match="expected a system that forecasts, found prices") as refused:
            ask()
        assert refused.value.status == 404


def test_who_predicts_may_forecast_and_who_tells_the_truth_may_observe() -> None:
    tokens = {"predict": "p" * 16, "truth": "t" * 16}
    for path, role in (("/forecast", "predict"), ("/observe", "truth")):
        for name, token in tokens.items():
            headers = {b"authorization": f"Bearer {token}".encode()}
            if name == role:
                Guard(tokens).check(path, headers)
                continue
            with pytest.raises(Refused) as refused:
                Guard(tokens).check(path, headers)
            assert refused.value.status == 403
