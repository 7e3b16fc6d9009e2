"""A challenger that blocks or fails at a forecast costs the caller nothing, and sees what the champion saw."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from forecasts import on_trial, past, sent
from test_forecast_ladder import ORIGIN
from trialled import Blocking, Failing, Running, counted, running, until

from bento.forecast.forecaster import Forecaster
from perennial.live.bundle import open_bundle
from perennial.live.observed import kept
from perennial.live.sign import key_pair
from perennial.live.trial.report import report

FEEDS = {"load": "load_mw", "weather": "temperature_c"}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    root = tmp_path_factory.mktemp("shadow")
    key = key_pair(root / "keys")
    on_trial(root / "releases", key, ORIGIN)
    folder = root / "releases" / "load" / "bundles"
    return [open_bundle(folder / version, key.public_path) for version in ("v1", "v2")]


class Ahead(Running):
    """Forecasts loads from what was observed."""

    def more(self):
        self.forecaster = Forecaster(lambda _: None, self.recorder.store)
        return {
            "forecasted": lambda answering, body, own_id, tried, leads: self.forecaster.forecast(
                answering, body, own_id, datetime.now(UTC), tried, leads
            )
        }

    def observe(self, records, at=ORIGIN):
        for feed, rows in sent(records, **FEEDS).items():
            body = json.dumps({"feed": feed, "rows": rows}).encode()
            self.forecaster.observe(self.standing.state, body, at, self.standing.challenger)

    def ask(self, unit, own_id):
        return self.post("/forecast", {"origin": ORIGIN.isoformat(), "prediction_id": own_id}, unit)

    def unit(self, is_tried=True):
        return self.units(1, is_tried)[0]


@contextmanager
def trying(bundles, mode, wrap, root):
    with running(Ahead(bundles, mode, wrap, root, datetime.now(UTC))) as made:
        made.observe(past(ORIGIN))
        yield made


def values(answers):
    return [row["prediction"] for row in answers]


def test_a_late_shadow_sees_what_the_champion_saw_and_costs_no_answer(bundles, tmp_path, monkeypatch):
    """It is stuck until everything was observed anew, more forecasts were asked for and the trial has ended."""
    with trying(bundles, "shadow", Blocking, tmp_path) as served:
        reach = served.standing.state.plan.reach
        with closing(served.recorder.store("load")) as store:
            held = len(kept(store, ORIGIN - reach, ORIGIN))
        monkeypatch.setattr("bento.shadow.MOST_HISTORY_ROWS", 2 * held)
        dropped = counted("perennial_shadow_dropped_total")
        unit = served.unit()
        answers = [served.ask(unit, f"f{n}") for n in range(4)]
        assert {(status, answer["quality"], headers["X-Arm"]) for status, headers, answer in answers} == {
            (200, "champion", "champion")
        }
        until(lambda: counted("perennial_shadow_dropped_total") == dropped + 2)
        challenger, ended = served.standing.challenger, datetime.now(UTC) + timedelta(milliseconds=1)
        changed = past(ORIGIN).assign(load_mw=lambda records: records["load_mw"] * 1.1)
        served.observe(changed, ORIGIN - timedelta(minutes=1))
        served.standing = replace(served.standing, trial=None, challenger=None)
        until(lambda: datetime.now(UTC) > ended)
        _, headers, after = served.ask(unit, "after")
        assert "X-Arm" not in headers
        assert values(after["predictions"]) != values(answers[0][2]["predictions"])
        served.model.may.set()
        until(lambda: len(served.rows(tmp_path)) == (4 + 2 + 1) * 24)
        found = served.rows(tmp_path)

    sane = past(ORIGIN)
    known = sent(sane[sane["available_at"] <= ORIGIN], **FEEDS)
    body = json.dumps({"origin": ORIGIN.isoformat(), "history": known}).encode()
    own = json.loads(served.forecaster.forecast(challenger, body, None, ORIGIN).body)["predictions"]
    shadow = [row for row in found if row.arm == "shadow"]
    assert {row.request_id for row in shadow} == {"f0", "f1"} and {row.unit for row in shadow} == {unit}
    for row in shadow:
        assert row.time >= ended
        assert row.output["prediction"] == pytest.approx(own[row.row]["prediction"], rel=1e-9)
    told = report(found, served.trial, bundles[0].rule, ended, read=ended + timedelta(hours=1))
    assert (told.expected, told.missing, told.arms[1].rows) == (4 * 24, 2 * 24, 2 * 24)


@pytest.mark.parametrize("mode", ["shadow", "split"])
def test_a_challenger_that_raises_is_counted_and_the_champions_ladder_answers(
    bundles, mode, tmp_path, caplog
):
    with trying(bundles, mode, lambda _: Failing(), tmp_path) as served:
        failed = counted("perennial_challenger_failures_total")
        for is_tried in (True, False):
            status, headers, answer = served.ask(served.unit(is_tried), f"f{is_tried}")
            assert (status, headers["X-Arm"], headers["X-Model-Version"]) == (200, "champion", "v1")
            assert (answer["quality"], answer["version"]) == ("champion", "v1")
            assert ("the model failed" in answer["reason"]) == (mode == "split" and is_tried)
        until(lambda: counted("perennial_challenger_failures_total") == failed + 1)
        found = served.rows(tmp_path)
    assert {(row.arm, row.unit) for row in found} == {
        ("champion", served.unit(tried)) for tried in (True, False)
    }
    now = datetime.now(UTC)
    told = report(found, served.trial, bundles[0].rule, now, read=now + timedelta(hours=1))
    assert (told.missing, told.failed) == ((24, 0) if mode == "shadow" else (0, 24))
    assert "no such operator" in caplog.text


def test_the_history_of_a_challenger_that_reads_farther_back_is_kept(bundles, tmp_path):
    with trying(bundles, "shadow", lambda model: model, tmp_path) as served:
        plan = served.standing.challenger.plan
        far = replace(plan, follows=plan.follows + timedelta(days=400))
        served.standing.challenger.__dict__["plan"] = far
        early = past(ORIGIN - timedelta(days=150))
        body = json.dumps({"feed": "load", "rows": sent(early, load="load_mw")["load"][-48:]}).encode()
        champion, tried = served.standing.state, served.standing.challenger
        assert served.forecaster.observe(champion, body, ORIGIN, tried)["new"] == 48
        assert served.ask(served.unit(), "f")[2]["quality"] == "champion"
        until(lambda: len(served.rows(tmp_path)) == 48)
        assert served.forecaster.observe(champion, body, ORIGIN)["out_of_reach"] == 48
