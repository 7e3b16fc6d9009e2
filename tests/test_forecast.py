"""Forecasts over real HTTP: every rung of the ladder, what was observed, and how truth finds them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from forecasts import config, floor_hour, past, released, sent
from metrics_page import samples, until

from bento.forecast.ladder import RUNGS
from bento.process import free_port, service_environment, started
from perennial import systems
from perennial.live import release
from perennial.live.load import load_predictor
from perennial.live.predict import json_rows
from perennial.live.sign import SigningKey, key_pair

NOW = floor_hour(datetime.now(UTC))
ORIGIN = NOW.replace(hour=0) - timedelta(days=2)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BOUNDS = ("prediction_low", "prediction_high", "prediction_low_95", "prediction_high_95")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    folder = tmp_path_factory.mktemp("state") / "releases"
    released(folder, key, NOW)
    return folder


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return past(NOW)


@pytest.fixture(scope="module")
def url(releases: Path, key: SigningKey) -> Iterator[str]:
    environment = service_environment(releases, "load", key.public_path, workers=2)
    with started(environment, free_port()) as running:
        yield running.url


def post(url: str, path: str, body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(
        url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def asked(
    url: str, records: pd.DataFrame, origin: datetime = ORIGIN, weather: bool = True, **more: Any
) -> tuple[int, Any]:
    known = records[records["available_at"] <= pd.Timestamp(origin)]
    feeds = {"load": "load_mw"} | ({"weather": "temperature_c"} if weather else {})
    body = {"origin": origin.isoformat(), "history": sent(known, **feeds), **more}
    return post(url, "/forecast", body)


def load_at(records: pd.DataFrame, time: str, **before: int) -> float:
    load = records[records["feed"] == "load"].set_index("event_time")["load_mw"]
    return float(load[pd.Timestamp(time) - timedelta(**before)])


def changed(records: pd.DataFrame, since: datetime, change: Any) -> pd.DataFrame:
    """The records with another load from a moment on."""
    late = (records["feed"] == "load") & (records["event_time"] >= pd.Timestamp(since))
    return records.assign(load_mw=records["load_mw"].mask(late, change(records["load_mw"])))


def test_the_champion_answers_what_it_would_answer_to_the_rows_of_training(url, releases, key, records):
    of = config(with_weather=True)
    rows = systems.get("load").prepare(records, of.source, of.features)
    rows = rows[rows["known_at"] == pd.Timestamp(ORIGIN)]
    bundle = release.champion_bundle(releases, "load", key.public_path)
    features = {column.name: rows[column.name] for column in bundle.contract.features}
    expected = json_rows(load_predictor(bundle).answer_columns(features))
    status, answer = asked(url, records, prediction_id="night")
    assert (status, answer["quality"], answer["reason"], answer["version"]) == (200, "champion", "", "v2")
    assert len(expected) == len(answer["predictions"]) == 24
    for k, (row, batch) in enumerate(zip(answer["predictions"], expected, strict=True)):
        assert datetime.fromisoformat(row.pop("time")) == ORIGIN + k * HOUR
        assert row.pop("prediction_id") == f"night-{k}"
        assert row == batch
        assert all(row[name] is not None for name in BOUNDS)


def test_a_shorter_horizon_is_the_beginning_of_the_whole(url, records):
    whole, part = asked(url, records)[1], asked(url, records, horizon=5)[1]
    without_ids = [[{**row, "prediction_id": ""} for row in a["predictions"]] for a in (whole, part)]
    assert without_ids[1] == without_ids[0][:5]


def test_the_previous_champion_answers_where_the_champions_inputs_are_missing(url, records):
    status, answer = asked(url, records, weather=False)
    assert (status, answer["quality"], answer["version"]) == (200, "previous champion", "v1")
    assert answer["reason"].startswith("missing: no value of weather_temperature_c")
    status, answer = asked(url, records)
    assert (status, answer["quality"], answer["version"]) == (200, "champion", "v2")


def test_too_little_history_gives_the_seasonal_forecast_with_intervals_of_its_own(url, records):
    short = records[records["event_time"] >= pd.Timestamp(ORIGIN - 21 * DAY)]
    status, answer = asked(url, short)
    assert (status, answer["quality"]) == (200, "seasonal naive")
    assert "too little: load_mw is known for 57% of the 37 days" in answer["reason"]
    for row in answer["predictions"]:
        assert row["prediction"] == load_at(records, row["time"], days=7)
        assert (
            row["prediction_low_95"]
            < row["prediction_low"]
            < row["prediction_high"]
            < row["prediction_high_95"]
        )


def test_without_a_day_of_history_the_last_value_stands_without_intervals(url, records):
    short = records[records["event_time"] >= pd.Timestamp(ORIGIN - 5 * HOUR)]
    status, answer = asked(url, short)
    assert (status, answer["quality"]) == (200, "last value")
    expected = load_at(records, (ORIGIN - HOUR).isoformat())
    assert [row["prediction"] for row in answer["predictions"]] == [expected] * 24
    assert {row[name] for row in answer["predictions"] for name in BOUNDS} == {None}


def test_without_any_history_there_is_a_sentence(url):
    status, answer = post(url, "/forecast", {"origin": ORIGIN.isoformat(), "history": {}})
    assert (status, answer["error"]) == (422, "no_history")
    assert "missing: no value of load_mw in the 37 days before the origin" in answer["message"]


def test_a_late_history_steps_down(url, records):
    early = records[(records["feed"] != "load") | (records["event_time"] < pd.Timestamp(ORIGIN - 20 * HOUR))]
    status, answer = asked(url, early)
    newest = (ORIGIN - 21 * HOUR).isoformat()
    assert (status, answer["quality"]) == (200, "seasonal naive")
    assert answer["reason"] == f"late: the newest value of load_mw is of {newest}, 20 h older than usual"
    enough = records[(records["feed"] != "load") | (records["event_time"] < pd.Timestamp(ORIGIN - 6 * HOUR))]
    status, answer = asked(url, enough)
    assert (status, answer["quality"]) == (200, "champion")


def test_an_origin_that_no_model_was_trained_on_steps_down(url, records):
    status, answer = asked(url, records, ORIGIN + 10 * HOUR)
    assert (status, answer["quality"]) == (200, "seasonal naive")
    assert answer["reason"].startswith("origin: the model is trained on origins every 24 h, such as")
    assert answer["predictions"][0]["time"] == answer["origin"] == (ORIGIN + 10 * HOUR).isoformat()
    history = sent(records, load="load_mw", weather="temperature_c")
    begun = datetime.now(UTC)
    status, answer = post(url, "/forecast", {"history": history})
    assert (status, answer["quality"]) == (200, "champion")
    days = {
        moment.replace(hour=0, minute=0, second=0, microsecond=0) for moment in (begun, datetime.now(UTC))
    }
    assert datetime.fromisoformat(answer["origin"]) in days


def test_a_flat_history_steps_down_and_is_not_repeated(url, records):
    stuck = changed(records, ORIGIN - 30 * HOUR, lambda load: 41_000.0)
    status, answer = asked(url, stuck)
    since = (ORIGIN - 30 * HOUR).isoformat()
    assert (status, answer["quality"]) == (200, "seasonal naive")
    assert answer["reason"] == f"flat: load_mw has not changed since {since}"
    assert [row["prediction"] for row in answer["predictions"]] == [
        load_at(records, row["time"], days=7) for row in answer["predictions"]
    ]


def test_an_absurd_day_steps_down_and_a_single_absurd_value_counts_as_missing(url, records):
    wild = changed(records, ORIGIN - 12 * HOUR, lambda load: load * 1000)
    status, answer = asked(url, wild)
    assert (status, answer["quality"]) == (200, "seasonal naive")
    assert answer["reason"] == "absurd: 12 of the last 24 values of load_mw cannot be believed"
    once = changed(records, ORIGIN - HOUR, lambda load: load * 1000)
    gone = changed(records, ORIGIN - HOUR, lambda load: np.nan)
    status, answer = asked(url, once)
    assert (status, answer["quality"]) == (200, "champion")
    flag = "1 value of load_mw cannot be believed: treated as missing"
    assert all(flag in row["flag"] for row in answer["predictions"])
    expected = [row["prediction"] for row in asked(url, gone)[1]["predictions"]]
    assert [row["prediction"] for row in answer["predictions"]] == expected


def test_a_worker_starts_without_what_only_forecasts_need(releases, key):
    environment = service_environment(releases, "load", key.public_path)
    code = (
        "import os, sys; from bento.watch import watching; from bento.app import App\n"
        "state = watching(os.environ).standing.state\n"
        "assert '/forecast' in state.document['paths']\n"
        "assert not {'pandas', 'holidays', 'sklearn', 'pyarrow', 'scipy'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, check=True, timeout=120)


def test_a_forecast_needs_no_training_library(releases, key, records):
    environment = service_environment(releases, "load", key.public_path)
    known = records[records["available_at"] <= pd.Timestamp(ORIGIN)]
    history = sent(known, load="load_mw", weather="temperature_c")
    code = (
        "import os, sys, datetime; sys.modules.update(dict.fromkeys(('sklearn', 'pyarrow', 'scipy', 'lxml')))\n"
        "from bento.watch import watching; from bento.forecast.forecaster import Forecaster\n"
        "state = watching(os.environ).standing.state; now = datetime.datetime.now(datetime.UTC)\n"
        "body = Forecaster(lambda _: None, None).forecast(state, sys.stdin.buffer.read(), None, now).body\n"
        'assert b\'"quality":"champion"\' in body, body'
    )
    body = json.dumps({"origin": ORIGIN.isoformat(), "history": history}).encode()
    merged = {**os.environ, **environment}
    subprocess.run([sys.executable, "-c", code], input=body, env=merged, check=True, timeout=120)


def test_rungs_are_counted(url):
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        page = answer.read().decode()
    for rung in ("champion", "previous champion", "seasonal naive", "last value"):
        line = next(
            one
            for one in page.splitlines()
            if one.startswith("perennial_forecasts_total") and f'"{rung}"' in one
        )
        assert float(line.split()[-1]) >= 1


def test_what_models_forecast_is_counted_as_predictions(url):
    """In the bands of the release whose model answered; naive forecasts are no predictions of a model."""
    until(lambda: sum(samples(url, "perennial_prediction_band_total").values()))
    rungs = samples(url, "perennial_forecasts_total")
    assert rungs.keys() == {(rung,) for rung in RUNGS}
    rows = sum(samples(url, "perennial_rows_total").values())
    assert 0 < rows <= 24 * sum(rungs[rung,] for rung in RUNGS[:2])


def test_rules_of_the_feed_hold_for_observations(url):
    at = (NOW - 2.5 * HOUR).isoformat()
    rows = [{"time": at, "load_mw": -5}, {"at": (NOW - 900 * DAY).isoformat(), "load_mw": 5}]
    status, answer = post(url, "/observe", {"feed": "load", "rows": rows})
    assert (status, answer["new"], answer["out_of_reach"]) == (200, 1, 1)
    assert answer["left_out"] == [
        {"row": 0, "field": "load_mw", "problem": "expected at least 0, found -5: treated as missing"}
    ]
    for row, problem in (
        ({"time": at, "load_mw": "5"}, "expected a number or null, found '5'"),
        ({"time": "2026-01-01T00:00:00", "load_mw": 5}, "expected a time with a zone"),
        ({"load_mw": 5}, "expected a value, found none"),
        ({"time": at, "load_kw": 5}, "did you mean 'load_mw'?"),
        ({"time": at, "at": at, "load_mw": 5}, "found both"),
        (7, "expected an object, found 7"),
    ):
        status, answer = post(url, "/observe", {"feed": "load", "rows": [row]})
        assert status == 400 and problem in answer["message"], answer
    for path, body, problem in (
        ("/observe", {"feed": "lod", "rows": []}, "expected one of the feeds load, weather, found 'lod'"),
        ("/observe", {"rows": []}, "expected feed to name one of load, weather"),
        ("/forecast", {"horizon": 25}, "expected a horizon of 1 to 24 steps of 1 h"),
        ("/forecast", {"horizon": 10**400}, "expected a horizon of 1 to 24 steps of 1 h"),
        ("/forecast", {"origin": "2026-01-01T00:30:00Z"}, "expected an origin on a step of 60 min"),
        ("/forecast", {"history": {"sun": []}}, "expected one of the feeds load, weather, found 'sun'"),
        ("/forecast", {"histroy": {}}, "found the unknown field 'histroy'"),
        ("/forecast", [], "found something else"),
    ):
        status, answer = post(url, path, body)
        assert status == 400 and problem in answer["message"], answer
