"""The probability above which the second class is answered: chosen out of fold, shipped, and followed."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from perennial.config import Candidate, Learn
from perennial.evidence import Trial
from perennial.learn.chosen import fit_chosen
from perennial.learn.cross import CrossValidation
from perennial.learn.details import classification_details
from perennial.learn.models import raw_output
from perennial.learn.pairs import pairs_of
from perennial.learn.threshold import STEPS, best_threshold, out_of_fold_threshold
from perennial.live.answer import AnswerRule, answer, rule_from
from perennial.table import Column, Contract, Table

TRIAL = Trial(
    candidate="logistic", parameters={"C": 1.0}, metric="log_loss_error", score=0.0, folds=(0.0,), seconds=0.0
)
RULE = AnswerRule("classification", "event", classes=("no", "yes"))


def learn(threshold: str) -> Learn:
    return Learn(candidates=(Candidate(name="logistic"),), threshold=threshold, threads=1)


def rare(rows: int = 1200, seed: int = 2) -> Table:
    """An event in about one row of twelve, more likely where `a` is large."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=rows)
    happened = rng.random(rows) < 1 / (1 + np.exp(-(1.5 * a - 3.2)))
    columns = (
        Column("id", "text", "id", role="id"),
        Column("a", "number", "a number", unit="1"),
        Column("event", "category", "whether it happened", role="target", categories=("no", "yes")),
    )
    frame = pd.DataFrame(
        {"id": [f"r{i}" for i in range(rows)], "a": a, "event": np.where(happened, "yes", "no")}
    )
    return Table(frame, Contract("rare", columns))


def halves(table: Table) -> list[tuple[np.ndarray, np.ndarray]]:
    rows = np.arange(len(table))
    return [(rows[rows % 2 == k], rows[rows % 2 != k]) for k in (0, 1)]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_no_threshold_has_a_greater_f1(pairs):
    probabilities, happened = (np.array(part) for part in zip(*pairs, strict=True))
    found = best_threshold(probabilities.astype(float), happened.astype(bool))
    claimed = probabilities > np.arange(1, STEPS)[:, None] / STEPS
    hits = (claimed & happened).sum(axis=1)
    scores = 2 * hits / np.maximum(claimed.sum(axis=1) + happened.sum(), 1)
    assert scores[round(found * STEPS) - 1] == pytest.approx(max(scores), abs=1e-12)


def test_the_threshold_comes_from_rows_that_the_model_did_not_see():
    table = rare()
    folds = halves(table)
    cross = CrossValidation(table, folds, learn("f1"), "classification", 7)
    found = out_of_fold_threshold(cross, TRIAL.candidate, TRIAL.parameters)
    unseen = np.zeros(len(table))
    for fitted, scored in folds:
        model = cross.problem.fitted("logistic", TRIAL.parameters, fitted)
        unseen[scored] = raw_output(model, table.X[scored], 2)[:, 1]
    assert found == best_threshold(unseen, table.y == "yes")


def test_a_rare_event_is_answered_far_below_a_half():
    table = rare()
    half, best = (fit_chosen(table, halves(table), TRIAL, learn(kind), (0.9,), 7) for kind in ("half", "f1"))
    assert half.rule.threshold == 0.5
    assert 0.1 < best.rule.threshold < 0.45
    new = rare(3000, seed=9)
    answers = [model.predict(new) for model in (half, best)]
    np.testing.assert_array_equal(answers[0].probabilities, answers[1].probabilities)
    first, second = (f1_score(new.y == "yes", a.prediction == "yes") for a in answers)
    assert second > first + 0.05


def test_the_rule_is_followed_to_the_edge_and_survives_a_file():
    rule = rule_from(json.loads(json.dumps({**RULE.as_dict(), "threshold": 0.2})))
    assert rule.threshold == 0.2
    raw = np.array([[0.8, 0.2], [0.79, 0.21], [0.1, 0.9], [0.5, 0.5]])
    assert answer(raw, rule).prediction.tolist() == ["no", "yes", "yes", "yes"]
    assert answer(raw, RULE).prediction.tolist() == ["no", "no", "yes", "no"]


def test_a_file_from_before_thresholds_means_a_half():
    told = {name: value for name, value in RULE.as_dict().items() if name != "threshold"}
    assert rule_from(told) == RULE


def test_the_details_state_the_threshold():
    raw = np.array([[0.8, 0.2], [0.1, 0.9]])
    truth = np.array(["no", "yes"])
    pairs = pairs_of(truth, answer(raw, RULE), RULE.classes)
    best, half = (
        classification_details(pairs, np.arange(2), 0.95, *own)["threshold"] for own in ((0.187,), ())
    )
    assert "above 0.187, the threshold with" in best
    assert half == "yes is answered where its probability is above 0.5"
