"""Observations: kept beside the journal, shared by workers, there after a restart, and found by forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import postgres
import pytest
from forecasts import floor_hour, past, released, sent
from hypothesis import given, settings
from hypothesis import strategies as st
from test_forecast import post

from bento.process import free_port, service_environment, started
from perennial.live.journal.outcomes import outcomes
from perennial.live.journal.store import Store, open_store
from perennial.live.observed import Kept, Observation, keep, kept
from perennial.live.sign import key_pair

NOW = floor_hour(datetime.now(UTC))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = NOW.replace(hour=0)
LONG_AGO = NOW - 400 * DAY


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        with closing(open_store("load", tmp_path / "load.sqlite")) as opened:
            yield opened
        return
    with postgres.running() as server, closing(open_store("load", server.url)) as opened:
        yield opened


def seen(hour: int, value: float, received: datetime = NOW) -> Observation:
    time = NOW - hour * HOUR
    return Observation("load", time.isoformat(), time, time + HOUR, received, {"load_mw": value})


def test_what_is_kept_comes_back_once_and_revisions_come_later(store: Store) -> None:
    assert kept(store, LONG_AGO, NOW) == []
    rows = [seen(hour, 100.0 + hour) for hour in range(1, 1200)]
    assert keep(store, rows, LONG_AGO) == Kept(1199, 0, 0)
    assert keep(store, rows[::3], LONG_AGO) == Kept(0, 0, 400)
    assert kept(store, LONG_AGO, NOW) == rows
    again = [seen(5, 7.0, NOW + HOUR), seen(6, 106.0, NOW + HOUR)]
    assert keep(store, again, LONG_AGO) == Kept(0, 1, 1)
    assert kept(store, LONG_AGO, NOW) == rows
    newest = kept(store, LONG_AGO, NOW + HOUR)[-1]
    assert (newest.values, newest.available_at) == ({"load_mw": 7.0}, NOW + HOUR)
    assert keep(store, [], NOW - 10 * HOUR) == Kept(0, 0, 0)
    assert {row.event_time for row in kept(store, LONG_AGO, NOW)} == {NOW - h * HOUR for h in range(1, 11)}


@settings(max_examples=10, deadline=None)
@given(values=st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=8))
def test_every_change_is_a_revision_that_is_available_later(values, tmp_path_factory) -> None:
    with closing(open_store("load", tmp_path_factory.mktemp("kept") / "load.sqlite")) as store:
        for value in values:
            keep(store, [seen(1, value)], LONG_AGO)
        found = kept(store, LONG_AGO, NOW + DAY)
    changes = [value for place, value in enumerate(values) if place == 0 or value != values[place - 1]]
    assert [row.values["load_mw"] for row in found] == changes
    times = [row.available_at for row in found]
    assert times == sorted(set(times))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("observed")
    key = key_pair(folder / "keys")
    released(folder / "releases", key, NOW)
    return service_environment(folder / "releases", "load", key.public_path, workers=2)


def told(url: str, feed: str, rows: list[dict[str, Any]]) -> dict[str, int]:
    status, answer = post(url, "/observe", {"feed": feed, "rows": rows})
    assert status == 200, answer
    return {name: answer[name] for name in ("new", "revised", "repeated")}


def test_what_was_observed_forecasts_after_a_restart_and_truth_finds_the_forecast(environment) -> None:
    records = past(NOW, days=50)
    history = sent(records, load="load_mw", weather="temperature_c")
    load, weather = history["load"], history["weather"]
    reached = [row for row in load if datetime.fromisoformat(row["time"]) >= NOW - 44 * DAY]
    with started(environment, free_port()) as running:
        status, answer = post(running.url, "/forecast", {})
        assert (status, answer["error"]) == (422, "no_history")
        assert told(running.url, "load", reached[:600]) == {"new": 600, "revised": 0, "repeated": 0}
        assert told(running.url, "load", load)["repeated"] == 600
        assert told(running.url, "load", load[-30:]) == {"new": 0, "revised": 0, "repeated": 30}
        assert told(running.url, "weather", weather)["new"] > 1000
    with started(environment, free_port()) as running:
        for _ in range(6):
            status, answer = post(running.url, "/forecast", {"origin": MIDNIGHT.isoformat()})
            assert (status, answer["quality"], answer["origin"]) == (200, "champion", MIDNIGHT.isoformat())
        body = {"origin": MIDNIGHT.isoformat(), "history": history, "prediction_id": "sent"}
        _, by_history = post(running.url, "/forecast", body)
        same = [[row["prediction"] for row in one["predictions"]] for one in (answer, by_history)]
        assert same[0] == pytest.approx(same[1], rel=1e-12)
        happened = [
            {"time": row["time"], "truth": 50_000.0 + k} for k, row in enumerate(answer["predictions"])
        ]
        status, recorded = post(running.url, "/truth", {"rows": happened, "source": "meter"})
        assert (status, recorded["new"], recorded["pending"]) == (200, 24, [])
        short = {
            "origin": MIDNIGHT.isoformat(),
            "history": {"load": load[-100:]},
            "prediction_id": "short",
            "horizon": 2,
        }
        assert post(running.url, "/forecast", short)[1]["quality"] == "seasonal naive"
    with closing(open_store("load", Path(environment["PERENNIAL_HOME"]) / "journal/load.sqlite")) as store:
        found = {one.prediction_id: one for one in outcomes(store, NOW - DAY, NOW + 2 * DAY)}
    for k in range(24):
        assert found[f"sent-{k}"].truth == 50_000.0 + k
    assert (found["sent-0"].quality, found["short-1"].quality) == ("champion", "seasonal naive")
