"""Gains that are too good to be true: a leak that no check stopped is refused by the shipped configs' bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from collected import ROOT
from test_fear_greed import made as days
from test_features_cells import catalogue
from test_load_features import made as hours

from perennial import systems
from perennial.config import Config
from perennial.config_file import load
from perennial.data.checks import check
from perennial.data.splits import split
from perennial.learn.evaluate import evaluate
from perennial.learn.measured import Measured
from perennial.learn.models import fit
from perennial.learn.promote import check_promotion, decide
from perennial.table import Column

MEASURED = Measured(median_ms=0.3, p99_ms=2.0, size_mb=0.4)
WIDE = {"max_missing": 1.0, "max_repeats": 1.0, "max_quarantined": 1.0, "constant": "warning", "min_rows": 50}
LATE = ("split.since=null", "split.holdout=0.3")


def weeks():
    """Load without its weather: of the columns that the config reads alone."""
    records = hours(days=80)
    return records[records["feed"] == "load"].reset_index(drop=True)


CASES = {
    "bitcoin_close": (days, "ridge", {"alpha": 1.0}, "times that of persistence"),
    "earthquakes": (lambda: catalogue(3), "lightgbm", {"n_estimators": 60}, "brier_skill_score is"),
    "load_fr": (weeks, "ridge", {"alpha": 1.0}, "times that of seasonal_naive_week"),
}


def judged(name, leak):
    """The reasons of the shipped promotion rules about a model of made-up data; `leak` is the noise of a copy."""
    make, candidate, parameters, _ = CASES[name]
    of = load(ROOT / f"configs/files/{name}.yaml", Config, LATE).config
    system, rng = systems.get(of.system), np.random.default_rng(1)
    contract = system.contract(of.source, of.features)
    rows = system.prepare(make(), of.source, of.features)
    if leak is not None:
        truth = rows[contract.target.name]
        told = truth.eq("yes").astype(float) if not contract.target.is_numeric else truth
        spread = 1.0 if not contract.target.is_numeric else truth.std()
        extra = Column("copy", "number", "what is tried", unit="1")
        contract = replace(contract, columns=(*contract.columns, extra))
        rows = rows.assign(copy=told + leak * spread * rng.normal(size=len(rows)))
    table = check(rows, contract, of.checks.model_copy(update=WIDE)).table
    sides = split(table, of.split, 7)
    train, holdout = table.rows(sides.train), table.rows(sides.holdout)
    learn = of.learn.model_copy(update={"relative_to": None, "target_scale": "identity"})
    model = fit(train, candidate, parameters, learn, 7)
    rules = of.evaluate.model_copy(update={"resamples": 100})
    found = evaluate(of.system, model, train, holdout, rules, (), 7, system.horizon)
    decision = decide(found, None, False, None, MEASURED, of.promotion)
    return decision, [r for r in decision.reasons if r.rule.startswith("too_good")]


@pytest.mark.parametrize("name", CASES)
def test_a_leak_is_refused_and_told(name):
    decision, (reason,) = judged(name, 0.01)
    assert not reason.passed and not decision.promote
    assert CASES[name][3] in reason.sentence and "too good to be true (bound" in reason.sentence
    assert "Explain it under promotion.too_good, or find the leak." in reason.sentence
    assert "Look at copy first" in reason.sentence


@pytest.mark.parametrize("name", CASES)
def test_without_the_leak_it_can_be_believed(name):
    _, (reason,) = judged(name, None)
    assert reason.passed and "can be believed" in reason.sentence


@pytest.mark.parametrize(
    ("pattern", "metric"),
    [
        ("**/bitcoin*.yaml", "mean_absolute_error"),
        ("**/earthquakes*.yaml", "brier_skill_score"),
        ("**/load*.yaml", "mean_absolute_"),
    ],
)
def test_every_shipped_config_of_these_has_a_bound(pattern, metric):
    paths = sorted((ROOT / "configs").glob(pattern))
    assert paths
    for path in paths:
        of = load(path, Config, ()).config
        (bound,) = of.promotion.too_good
        assert bound.metric.startswith(metric) and not bound.explained
        task = systems.get(of.system).task
        assert check_promotion(of.promotion, task) == []
