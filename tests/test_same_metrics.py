"""Runs of one config give the same metrics to the last digit, however many threads compute them."""

from __future__ import annotations

import json

import pytest
from collected import ROOT
from project import Project
from test_fear_greed import made

from perennial import systems
from perennial.config import Config
from perennial.config_file import load
from perennial.data import splits
from perennial.data.checks import check, require
from perennial.learn import models, tune
from perennial.learn.chosen import fit_chosen
from perennial.learn.evaluate import evaluate

QUICK = ("evaluate.resamples=100", "learn.budget_s=1000000", "learn.folds=2", "checks.min_rows=100")
TREES = "{n_estimators: 30, num_leaves: 7, subsample: 0.7, colsample_bytree: 0.5}"
SYSTEMS = {
    "synthetic": (
        *QUICK,
        "learn.candidates=[{name: random_forest, parameters: {n_estimators: 20}, trials: 1}, "
        f"{{name: lightgbm, parameters: {TREES}, trials: 1}}]",
    ),
    "fear_greed": (
        *QUICK,
        "split.holdout=0.3",
        f"learn.candidates=[{{name: lightgbm, parameters: {TREES}}}, {{name: ridge, trials: 1}}, "
        f"{{name: blend, parameters: {{members: [{{name: ridge}}, {{name: lightgbm, parameters: {TREES}}}]}}}}]",
    ),
}


def measured(name, threads):
    """Everything but the seconds that a whole training measures, as text."""
    of = load(ROOT / f"configs/{name}.yaml", Config, SYSTEMS[name]).config
    learn, system, seed = of.learn.model_copy(update={"threads": threads}), systems.get(of.system), of.seed
    records = made() if name == "fear_greed" else system.collect(of.source, seed)
    rows = system.prepare(records, of.source, of.features)
    checked = check(
        rows, system.contract(of.source, of.features), of.checks.model_copy(update={"max_missing": 1.0})
    )
    require(checked.report)
    sides = splits.split(checked.table, of.split, seed)
    train, holdout = checked.table.rows(sides.train), checked.table.rows(sides.holdout)
    folds = splits.folds(train, of.split, learn.folds, seed)
    found = tune.search(train, folds, learn, system.task, seed, lambda: 0.0)
    inner = (
        splits.residual_folds(train, of.split, learn.folds, seed) if system.task == "regression" else folds
    )
    model = fit_chosen(train, inner, found.best, learn, of.evaluate.prediction_levels, seed, system.horizon)
    evaluation = evaluate(
        of.system, model, train, holdout, of.evaluate, system.segments, seed, system.horizon, learn
    )
    trials = [trial.model_dump(mode="json", exclude={"seconds"}) for trial in found.trials]
    return json.dumps([trials, evaluation.model_dump(mode="json")], sort_keys=True)


@pytest.mark.parametrize("name", SYSTEMS)
def test_three_runs_on_one_two_and_four_threads_give_identical_metrics(monkeypatch, name):
    monkeypatch.setattr(models, "SMALL_FIT", 0)
    first, *others = (measured(name, threads) for threads in (1, 2, 4))
    assert len(json.loads(first)[1]["metrics"]) > 3
    assert [other == first for other in others] == [True, True]


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_three_trainings_without_cache_give_identical_metrics(tmp_path):
    runs = []
    for number in range(3):
        project = Project(tmp_path / str(number))
        project.train("--no-cache", "--set", f"learn.threads={number + 1}")
        found = project.bundle("v1", "metrics.json")["evaluation"]
        runs.append(json.dumps(found, sort_keys=True))
    assert len(json.loads(runs[0])["metrics"]) > 3 and runs[1:] == runs[:1] * 2
