"""Forecasts of two models on trial over real HTTP: who answers whom, and what journal and report say of it."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from forecasts import build, config, floor_hour, on_trial, past, sent
from metrics_page import samples, until
from test_router import journalled_of, metric, ready

from bento.forecast.fit import _feed_misfits, _time_misfits, misfits
from bento.forecast.plan import plan_of
from bento.process import free_port, service_environment, started
from perennial import systems
from perennial.config import Config
from perennial.errors import InputError
from perennial.live.answer import AnswerRule, Band, Interval
from perennial.live.bundle import open_bundle
from perennial.live.load import load_predictor
from perennial.live.sign import key_pair
from perennial.live.trial import book
from perennial.live.trial.fit import answer_misfits
from perennial.live.trial.report import report

NOW = floor_hour(datetime.now(UTC))
ORIGIN = NOW.replace(hour=0) - timedelta(days=2)
FEEDS = {"load": "load_mw", "weather": "temperature_c"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A releases folder with a champion and a challenger, and by version what each forecasts at `ORIGIN`."""
    root = tmp_path_factory.mktemp("trial")
    key = key_pair(root / "keys")
    on_trial(root / "releases", key, NOW)
    expected = {}
    of = config(with_weather=True)
    for version in ("v1", "v2"):
        bundle = open_bundle(root / "releases" / "load" / "bundles" / version, key.public_path)
        rows = systems.get("load").prepare(past(NOW), of.source, of.features)
        rows = rows[rows["known_at"] == pd.Timestamp(ORIGIN)]
        columns = {column.name: rows[column.name] for column in bundle.contract.features}
        expected[version] = load_predictor(bundle).answer_columns(columns).answers.prediction.tolist()
    assert expected["v1"] != pytest.approx(expected["v2"], rel=1e-3)
    return root / "releases", key, expected


@pytest.fixture(scope="module")
def served(place):
    folder, key, _ = place
    environment = service_environment(folder, "load", key.public_path) | {"PERENNIAL_WATCH_S": "0.05"}
    with started(environment, free_port()) as running:
        yield running.url


@pytest.fixture
def begin(place, served):
    """Begins a trial that the service has seen, and ends it when the test does."""
    folder, key, _ = place

    def begun(mode, share):
        now = datetime.now(UTC)
        trial = book.start(
            folder, "load", "v2", mode, share, key.public_path, now, "a try", "t@h", against=misfits
        )
        until(lambda: ready(served).get("trial", {}).get("answers"))
        return trial

    yield begun
    book.stop(folder, "load", datetime.now(UTC), "enough", "t@h")
    until(lambda: "trial" not in ready(served))


def post(url, path, body, **headers):
    told = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), told)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers, json.load(answer)


def history(since=None):
    records = past(NOW)
    known = records[records["available_at"] <= pd.Timestamp(ORIGIN)]
    if since is not None:
        known = known[known["event_time"] >= pd.Timestamp(since)]
    return sent(known, **FEEDS)


def without_weather():
    """A history that will do for the champion alone."""
    return {"load": history()["load"]}


def ask(url, unit=None, own_id=None, **body):
    headers = {} if unit is None else {"X-Unit-Id": unit}
    body = {"origin": ORIGIN.isoformat(), "history": history(), "prediction_id": own_id, **body}
    return post(url, "/forecast", body, **headers)


def predicted(answer):
    return [row["prediction"] for row in answer["predictions"]]


def test_in_a_split_each_unit_has_the_forecast_of_its_arm_and_the_ladder_below_it(place, served, begin):
    expected = place[2]
    assert "X-Arm" not in ask(served, "u0")[0]
    trial = begin("split", 0.5)
    ours, theirs = (
        next(f"u{i}" for i in range(99) if trial.tries(f"u{i}") == is_tried) for is_tried in (True, False)
    )
    headers, answer = ask(served, ours)
    assert (headers["X-Arm"], headers["X-Model-Version"]) == ("challenger", "v2")
    assert (answer["quality"], answer["reason"], answer["version"]) == ("challenger", "", "v2")
    assert predicted(answer) == pytest.approx(expected["v2"], rel=1e-9)
    for unit in (theirs, None):
        headers, answer = ask(served, unit)
        assert (headers["X-Arm"], headers["X-Model-Version"], answer["quality"]) == (
            "champion",
            "v1",
            "champion",
        )
        assert predicted(answer) == pytest.approx(expected["v1"], rel=1e-9)

    headers, answer = ask(served, ours, "failed", history=without_weather())
    assert (headers["X-Arm"], headers["X-Model-Version"], answer["quality"]) == ("champion", "v1", "champion")
    assert answer["reason"].startswith("missing: no value of weather_temperature_c")
    assert answer["reason"].startswith("missing: no value of weather_temperature_c")
    assert metric(served, "perennial_challenger_failures_total") == 1

    short = history(since=ORIGIN - timedelta(days=20))
    for unit, arm in ((ours, "challenger"), (theirs, "champion")):
        headers, answer = ask(served, unit, history=short)
        assert (headers["X-Arm"], answer["quality"], answer["version"]) == (arm, "seasonal naive", "v1")
        assert "too little" in answer["reason"]
    assert metric(served, "perennial_challenger_failures_total") == 1
    assert samples(served, "perennial_forecasts_total")["challenger",] == 1

    rows = journalled_of("load", place, trial)
    assert Counter((r.arm, r.model_version, r.quality, r.unit) for r in rows) == {
        ("challenger", "v2", "challenger", ours): 24,
        ("champion", "v1", "champion", theirs): 24,
        ("champion", "v1", "champion", ""): 24,
        ("champion", "v1", "champion", ours): 24,
        ("challenger", "v1", "seasonal naive", ours): 24,
        ("champion", "v1", "seasonal naive", theirs): 24,
    }
    found = said(place, trial, rows)
    assert (found.failed, found.fallbacks, found.elsewhere) == (24, 48, 0)
    assert [arm.rows for arm in found.arms] == [24, 24]
    inputs = next(r.inputs for r in rows if r.quality == "champion")
    headers, answer = post(served, "/predict", inputs, **{"X-Unit-Id": ours})
    assert "X-Arm" not in headers and answer["version"] == "v1"


def said(place, trial, rows):
    folder, key, _ = place
    rule = open_bundle(folder / "load" / "bundles" / "v1", key.public_path).rule
    now = datetime.now(UTC)
    return report(rows, trial, rule, now, read=now + timedelta(days=1))


def test_a_shadow_forecasts_what_the_champion_was_asked_and_a_day_is_a_unit(place, served, begin):
    expected = place[2]
    before = metric(served, "perennial_challenger_failures_total")
    trial = begin("shadow", 1.0)
    records = past(NOW)
    for feed, rows in sent(records, **FEEDS).items():
        post(served, "/observe", {"feed": feed, "rows": rows})
    for number, more in enumerate(({}, {"history": None}, {"horizon": 5})):
        headers, answer = ask(served, own_id=f"f{number}", **more)
        assert (headers["X-Arm"], answer["version"], answer["quality"]) == ("champion", "v1", "champion")
        assert predicted(answer) == pytest.approx(expected["v1"][: len(predicted(answer))], rel=1e-9)
    ask(served, "oslo", "named")
    steps = 24 + 24 + 5 + 24
    until(lambda: len(journalled_of("load", place, trial)) == 2 * steps)
    rows = {(r.prediction_id, r.arm): r for r in journalled_of("load", place, trial)}
    for (prediction_id, arm), row in rows.items():
        twin = rows[prediction_id, {"champion": "shadow", "shadow": "champion"}[arm]]
        version, quality = {"champion": ("v1", "champion"), "shadow": ("v2", "challenger")}[arm]
        assert (row.unit, row.request_id, row.row, row.about) == (
            twin.unit,
            twin.request_id,
            twin.row,
            twin.about,
        )
        assert (row.model_version, row.quality) == (version, quality)
        assert row.output["prediction"] == pytest.approx(expected[version][row.row], rel=1e-9)
        assert row.unit == ("oslo" if row.request_id == "named" else ORIGIN.date().isoformat())

    # What would do for neither model is no failure of the challenger's, and what would for the champion is.
    ask(served, own_id="short", history=history(since=ORIGIN - timedelta(days=20)))
    ask(served, own_id="blind", history=without_weather())
    until(lambda: metric(served, "perennial_challenger_failures_total") == before + 1)
    found = said(place, trial, journalled_of("load", place, trial))
    assert (found.expected, found.missing, found.fallbacks) == (steps + 24, 24, 24)

    load = records[records["feed"] == "load"].set_index("event_time")["load_mw"]
    truth = [
        {"time": time.isoformat(), "truth": float(load[time])}
        for time in pd.date_range(ORIGIN, periods=24, freq="h")
    ]
    post(served, "/truth", {"rows": truth})
    found = said(place, trial, journalled_of("load", place, trial))
    errors = {
        version: [abs(p - t["truth"]) for p, t in zip(expected[version], truth, strict=True)]
        for version in expected
    }
    worse = [b - a for a, b in zip(errors["v1"], errors["v2"], strict=True)]
    day = [*worse, *worse, *worse[:5]]
    assert found.differences == 2 and found.unusable == 0
    assert found.found.mean[-1] == pytest.approx((sum(day) / len(day) + sum(worse) / 24) / 2, rel=1e-9)


def test_a_challenger_with_a_shorter_horizon_is_refused_in_one_sentence(place):
    folder, key, _ = place
    values = config(True).model_dump()
    values["features"]["horizon_hours"] = 12
    build(folder, key, Config.model_validate(values), past(NOW), NOW, 1.0)
    with pytest.raises(
        InputError, match="found that it forecasts 12 steps and not 24; train it for the same"
    ):
        book.start(
            folder,
            "load",
            "v3",
            "shadow",
            1.0,
            key.public_path,
            datetime.now(UTC),
            "a try",
            "t@h",
            against=misfits,
        )


def test_what_forecasts_cannot_be_compared(place):
    folder, key, _ = place
    champion, challenger = (
        open_bundle(folder / "load" / "bundles" / v, key.public_path) for v in ("v1", "v2")
    )
    assert misfits(champion, challenger) == []
    plan = plan_of(champion)
    asked, hour = plan.followed, timedelta(hours=1)
    for change, told in (
        ({"field": "price"}, "it forecasts price of load and not load_mw of load"),
        ({"step": hour / 2}, "its steps are of 0.5 h and not 1 h"),
        ({"after": hour}, "its first row is about a time after 1 h and not 0 h"),
        ({"steps": 23}, "it forecasts 23 steps and not 24"),
        (
            {"first": hour},
            "it was trained on origins every 24 h from Monday 1 h on and not every 24 h from 0 h on",
        ),
        ({"every": 48 * hour}, "it was trained on origins every 48 h from Monday 0 h on and"),
    ):
        (found,) = _time_misfits(asked, replace(asked, **change))
        assert found.startswith(told)
    assert _time_misfits(asked, replace(asked, steps=48, every=hour)) == []
    source = plan.source.model_dump()
    for change, told in (
        (
            lambda feeds: feeds.update(sun=feeds["weather"]),
            "it reads the feed sun, which callers do not send",
        ),
        (
            lambda feeds: feeds["load"].update(available_after_s=0),
            "its rows of load happen or become known by another",
        ),
        (
            lambda feeds: feeds["load"]["fields"]["load_mw"].update(unit="kW"),
            "its load_mw of load is of another type",
        ),
        (
            lambda feeds: feeds["load"]["fields"].update(x=feeds["load"]["fields"]["load_mw"]),
            "it reads x of load, which callers do not send",
        ),
    ):
        other = type(plan.source).model_validate(source).model_dump()
        change(other["feeds"])
        (found,) = _feed_misfits(plan, replace(plan, source=type(plan.source).model_validate(other)))
        assert found.startswith(told)


def test_intervals_that_callers_read_must_be_there():
    def rule(*levels):
        bands = [Band(level, (-1.0,), (1.0,)) for level in levels]
        interval = Interval(bands[0].level, (), (-1.0,), (1.0,), further=tuple(bands[1:])) if levels else None
        return AnswerRule("regression", "load", "MW", interval=interval)

    for ours, theirs in (((), ()), ((), (0.9,)), ((0.8,), (0.8, 0.95)), ((0.8, 0.9), (0.8, 0.95, 0.9))):
        assert answer_misfits(rule(*ours), rule(*theirs)) == []
    assert answer_misfits(rule(0.8, 0.95), rule(0.8, 0.9)) == [
        "its intervals are of 0.8 and 0.9 and not of 0.8 and 0.95"
    ]
    assert answer_misfits(rule(0.8), rule(0.95, 0.8)) == ["its intervals are of 0.95 and 0.8 and not of 0.8"]
    assert answer_misfits(rule(0.8), rule()) == ["its intervals are of no level and not of 0.8"]
