"""A search that was killed goes on where it was, and trusts nothing that another search left."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from search_once import KINDS, facts, result
from test_learn_models import class_table, folds_of, learn_config, number_table
from test_learn_tune import ticking

from perennial.errors import PerennialError
from perennial.learn import checkpoint
from perennial.learn.checkpoint import Saved, clear_old, digest_of
from perennial.learn.cross import CrossValidation
from perennial.learn.search import runner
from perennial.learn.search.units import score_unit
from perennial.learn.tune import search

HERE = Path(__file__).resolve().parent
FOREST = {"name": "random_forest", "parameters": {"n_estimators": 3}, "trials": 3}


def finished(folder):
    """How many fits are kept in the only checkpoint of a folder; 0 where there is none yet."""
    found = list(folder.glob("*.sqlite"))
    if not found:
        return 0
    try:
        with sqlite3.connect(found[0]) as database:
            return database.execute("SELECT count(*) FROM fits").fetchone()[0]
    except sqlite3.OperationalError:  # just being made
        return 0


def counted(monkeypatch):
    """The fits that are really made from now on."""
    made = []

    def scored(problem, unit):
        made.append(unit)
        return score_unit(problem, unit)

    monkeypatch.setattr(runner, "score_unit", scored)
    return made


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "halving" else pytest.mark.torture) for kind in KINDS]
)
def test_a_killed_search_goes_on_and_refits_nothing(kind, tmp_path, monkeypatch):
    killed = subprocess.Popen(
        [sys.executable, "search_once.py", kind, str(tmp_path)],
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        stdout=subprocess.PIPE,
    )
    while finished(tmp_path) < 7:
        assert killed.poll() is None, "expected the search to take longer"
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.communicate()[0] == b""
    before = finished(tmp_path)
    made = counted(monkeypatch)
    again = facts(result(kind, tmp_path))
    after_kill = len(made)
    made.clear()
    assert again == facts(result(kind, None))
    assert before >= 7 and after_kill + before == len(made)
    assert not list(tmp_path.iterdir())


def simple(folder=None, clock=None, candidates=(FOREST,), rows=200, seed=1, **rest):
    learn = learn_config(*candidates, **rest).model_copy(update={"threads": 1})
    table, folds = class_table(rows), folds_of(rows)
    return search(table, folds, learn, "classification", seed, clock or ticking(), kept=folder)


def failing(folder, **rest):
    """A search whose last candidate is refused, so that what the others did stays."""
    with pytest.raises(PerennialError, match="C"):
        simple(folder, candidates=(FOREST, {"name": "logistic", "parameters": {"C": -1.0}}), **rest)


def test_what_a_failed_search_did_serves_the_same_rows_and_rules_alone(tmp_path, monkeypatch):
    made = counted(monkeypatch)
    failing(tmp_path)
    assert finished(tmp_path) == 3 and len(made) == 4
    made.clear()
    simple(tmp_path, folds=4, budget_s=77.0, default_margin=2.0)
    assert len(made) == 9 and not list(tmp_path.glob("*.sqlite*"))
    failing(tmp_path)
    for changed in ({"rows": 201}, {"seed": 2}, {"gaps": 0.1}, {"search_rows": 150}):
        made.clear()
        simple(tmp_path, **changed)
        assert len(made) == 12, changed
    monkeypatch.setattr(checkpoint, "code_version", lambda: "newer")
    made.clear()
    simple(tmp_path)
    assert len(made) == 12
    assert finished(tmp_path) == 3


def test_everything_that_a_score_depends_on_is_in_the_name():
    table, folds = number_table(120), tuple(folds_of(120))
    problem = CrossValidation(table, folds, learn_config(target_scale="log"), "regression", 1).problem
    X, y = problem.X.copy(), problem.y.copy()
    X[5, 2], y[-1] = np.nan, np.nextafter(y[-1], 99)
    (fitted, scored), *others = folds
    older = problem.learn.model_copy(update={"gaps": 0.2})
    renamed = replace(problem.features[0], categories=("audi", "seat"))
    changes = [
        {"X": X},
        {"y": y},
        {"folds": ((fitted[:-1], scored), *others)},
        {"folds": (others[0], (fitted, scored), *others[1:])},
        {"seed": 2},
        {"learn": older},
        {"features": (renamed, *problem.features[1:])},
        {"moments": np.zeros((120, 2))},
    ]
    names = [digest_of(replace(problem, **change)) for change in ({}, *changes)]
    assert len(set(names)) == len(names)
    same = problem.learn.model_copy(update={"threads": 9, "folds": 9, "budget_s": 9.0})
    assert digest_of(replace(problem, learn=same)) == names[0]
    assert digest_of(replace(problem, X=np.asfortranarray(problem.X))) == names[0]


def test_scores_come_back_to_the_last_digit(tmp_path):
    problem = CrossValidation(class_table(60), folds_of(60), learn_config(), "classification", 1).problem
    kept = Saved(0.1 + 0.2, 1 / 3)
    with pytest.raises(KeyboardInterrupt), checkpoint.checkpoint(tmp_path, problem) as saved:
        saved.put("ridge", {"alpha": 0.1}, 2, 1 / 9, saved=kept, elapsed=4.5)
        raise KeyboardInterrupt
    with checkpoint.checkpoint(tmp_path, problem) as saved:
        assert saved.elapsed == 4.5
        assert saved.get("ridge", {"alpha": 0.1}, 2, 1 / 9) == kept
        for other in (
            ("ridge", {"alpha": 0.1}, 2, 1.0),
            ("ridge", {"alpha": 0.2}, 2, 1 / 9),
            ("rigde", {}, 2, 1.0),
        ):
            assert saved.get(*other) is None
    assert not list(tmp_path.glob("*.sqlite*"))


def test_the_time_of_a_killed_search_counts_towards_the_budget(tmp_path):
    whole = simple(clock=ticking(2.0), budget_s=40.0)
    assert whole.budget_exhausted
    problem = CrossValidation(
        class_table(200), folds_of(200), learn_config(FOREST), "classification", 1
    ).problem
    with pytest.raises(KeyboardInterrupt), checkpoint.checkpoint(tmp_path, problem) as saved:
        saved.put("another", {}, 0, 1.0, saved=Saved(1.0, 39.0), elapsed=39.0)
        raise KeyboardInterrupt
    late = simple(tmp_path, clock=ticking(2.0), budget_s=40.0)
    assert late.budget_exhausted and len(late.trials) == 1 < len(whole.trials)


def test_old_checkpoints_are_removed_and_others_stay(tmp_path):
    now = datetime(2030, 1, 1, tzinfo=UTC)
    for name, days in (("old.sqlite", 15), ("old.sqlite-wal", 15), ("new.sqlite", 13), ("note.txt", 99)):
        path = tmp_path / name
        path.touch()
        moment = (now - timedelta(days=days)).timestamp()
        os.utime(path, (moment, moment))
    assert {path.name for path in clear_old(tmp_path, now)} == {"old.sqlite", "old.sqlite-wal"}
    assert {path.name for path in tmp_path.iterdir()} == {"new.sqlite", "note.txt"}
    assert clear_old(tmp_path / "none", now) == []
