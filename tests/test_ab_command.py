"""`run.py ab`: from the start of a trial over its report to the release of the challenger, on a real journal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from releases import build, promote

import run as run_py
from perennial.home import home
from perennial.live import ledger, shelf
from perennial.live.journal.entry import Entry, microseconds
from perennial.live.journal.outcomes import _joined
from perennial.live.journal.store import open_store
from perennial.live.journal.truth import Truth, record_truth
from perennial.live.sign import key_pair
from perennial.live.trial import book
from perennial.live.trial.sequence import FEWEST

SYSTEM = "synthetic"
CONFIG = ("--config", "configs/synthetic.yaml")


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Runs `ab` on a state folder with two versions, the first one released; gives its code and output."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("PERENNIAL_JOURNAL", raising=False)
    key = key_pair(home().keys)
    first, _ = (build(home().releases, key, "kinds", strength, SYSTEM) for strength in (1.0, 0.01))
    promote(home().releases, key, first)

    def called(*arguments):
        code = run_py.main(["ab", arguments[0], *CONFIG, *arguments[1:]])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return called


def history():
    return shelf.history(home().releases, SYSTEM)


def serve(rows, champion, challenger, unit="u{}", keep=lambda number, arm: True):
    """Journals what a service would: both arms' answers, right with the given probabilities, and the truth."""
    trial = book.current(history())
    is_shadow = trial.mode == "shadow"
    rng, now = np.random.default_rng(1), datetime.now(UTC)
    entries, truths = [], []
    for number in range(rows):
        name, kind = unit.format(number), rng.choice(["old", "young"])
        arms = {"champion": ("v1", champion)}
        if trial.tries(name):
            arms = (arms if is_shadow else {}) | {"shadow" if is_shadow else "challenger": ("v2", challenger)}
        for arm, (version, p) in arms.items():
            p = p + rng.uniform(-0.1, 0.1)
            output = {
                "prediction": str(kind),
                "probabilities": {"old": 1 - p, "young": 1 - p} | {str(kind): p},
            }
            if keep(number, arm):
                time = microseconds(trial.since) + number
                entries.append(
                    Entry(f"p{number}", arm, time, version, "{}", json.dumps(output), 0.001, unit=name)
                )
        truths.append(Truth(str(kind), prediction_id=f"p{number}"))
    store = open_store(SYSTEM)
    store.insert(entries)
    record_truth(store, truths, now)
    store.close()


def test_a_better_challenger_is_tried_found_and_released(call):
    code, told = call("start", "--version", "v2", "--share", "0.5", "--reason", "a wider net")
    assert code == 0 and told.startswith("on trial  synthetic-2: v2 for 0.5 of the units, against v1 since ")
    assert history()[-1].facts.reasons == ("a wider net",)
    code, told = call("report")
    assert code == 0 and f"Not enough data on v2: expected at least {FEWEST} differences" in told
    assert "one per block of 4 units with a known truth, found 0" in told and "none yet" in told
    code, told = call("promote")
    assert code == 1 and "expected a trial with the verdict better, found not enough data." in told
    serve(2000, 0.6, 0.8)
    code, told = call("report")
    assert code == 0 and "v2 is better than v1: its Brier score less that of v1 is −0.1" in told
    assert "sample ratio: p = " in told and "champion" in told and "challenger" in told
    figures = json.loads(call("report", "--json")[1])
    assert figures["verdict"] == "better" and figures["effect"]["high"] < 0.0 and figures["blocked"] == ""
    assert sum(arm["units"] for arm in figures["arms"].values()) == 2000
    code, told = call("promote")
    assert code == 0 and told.startswith("synthetic v2 serves now (was: v1)\nv2 is better than v1")
    facts = ledger.champion(history()).facts
    assert facts.version == "v2" and facts.evidence["trial"] == "synthetic-2"
    assert facts.evidence["report"]["verdict"] == "better" and facts.evidence["forced"] is False
    assert book.current(history()) is None
    code, told = call("report")
    assert code == 0 and "v2 is better than v1" in told
    assert "expected a trial that runs, found none" in call("promote")[1]


def test_a_worse_challenger_is_released_by_force_and_reason_alone(call):
    assert call("start", "--version", "v2", "--shadow")[0] == 0
    serve(300, 0.8, 0.6)
    code, told = call("report")
    assert code == 0 and "v2 is worse than v1" in told and "shadow: 0 of 300 rows without its answer" in told
    code, told = call("promote")
    assert code == 1 and "found worse. v2 is worse than v1" in told and "--force and --reason" in told
    assert call("promote", "--force")[0] == 2 and ledger.champion(history()).facts.version == "v1"
    assert call("promote", "--force", "--reason", "the law asks for it")[0] == 0
    facts = ledger.champion(history()).facts
    assert facts.version == "v2" and facts.evidence["forced"] is True
    assert facts.reasons[0] == "the law asks for it" and "v2 is worse than v1" in facts.reasons[1]


def test_lost_units_block_the_verdict_and_the_release(call):
    call("start", "--version", "v2", "--share", "0.5")
    serve(2000, 0.6, 0.8, keep=lambda number, arm: arm == "champion" or number % 4 > 0)
    code, told = call("report")
    assert code == 0 and "No verdict on v2: expected 0.5 : 0.5 of the units in the arms, found" in told
    assert call("promote")[0] == 1 and ledger.champion(history()).facts.version == "v1"


def test_a_trial_is_stopped_and_still_reported(call):
    assert call("stop") == (1, "error: synthetic: expected a trial that runs, found none; start one first\n")
    code, told = call("report")
    assert code == 1 and "expected a trial to report on, found none" in told
    call("start", "--version", "v2", "--shadow")
    serve(300, 0.6, 0.8)
    assert call("stop", "--reason", "seen enough") == (
        0,
        "ended  synthetic-2; synthetic v1 answers all again\n",
    )
    assert call("report")[1].count("v2 is better than v1") == 1
    assert book.latest(history())[1] <= datetime.now(UTC) + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--version", "v9"), "v9"),
        (("--version", "v1"), "expected a version that does not serve now, found v1, the champion"),
        (("--version", "v2", "--share", "1"), "expected a share above 0 and below 1, found 1"),
        (("--version", "v2", "--share", "0", "--shadow"), "expected a share above 0 and up to 1, found 0"),
        (("--version", "v2", "--reason", " "), "expected a few words"),
    ],
)
def test_what_cannot_be_tried_is_told_in_one_sentence(call, arguments, problem):
    code, told = call("start", *arguments)
    assert code in (1, 2) and problem in told and told.count("\n") == 1
    assert len(history()) == 1


def test_truth_is_looked_up_and_not_searched_for_each_prediction(call):
    """A report over many predictions would take their square otherwise."""
    store = open_store(SYSTEM)
    with store.connection() as connection:
        query = _joined(SYSTEM, 0, 1, None).compile(connection.engine, compile_kwargs={"literal_binds": True})
        plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
    store.close()
    looked_up = [step for step in plan if "perennial_truth_" in step]
    assert any("prediction_id=?" in step for step in looked_up)
    assert all("prediction_id=?" in step or "about=?" in step for step in looked_up)
