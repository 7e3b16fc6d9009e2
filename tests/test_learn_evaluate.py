"""Evaluations: honest rows, fair baselines, and details that add up."""

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from sklearn.inspection import permutation_importance as by_scikit_learn
from test_learn_models import class_table, folds_of, learn_config, number_table

from perennial.config import Evaluate
from perennial.errors import NotEnoughDataError
from perennial.evidence import Trial
from perennial.learn.chosen import fit_chosen
from perennial.learn.details import SEGMENT_ROWS, calibration, classification_report
from perennial.learn.evaluate import evaluate
from perennial.learn.importance import permutation_importance
from perennial.learn.learning_curve import learning_curve
from perennial.learn.models import fit
from perennial.learn.pairs import pairs_of
from perennial.learn.tasks import RULES
from perennial.live.answer import Answers

RULES_OF_TEST = Evaluate(resamples=200)


def halves(table):
    middle = len(table) * 3 // 4
    return table.rows(np.arange(middle)), table.rows(np.arange(middle, len(table)))


@pytest.fixture(scope="module")
def classes():
    train, holdout = halves(class_table(800))
    fitted = fit(train, "logistic", {}, learn_config(), seed=0)
    return fitted, train, holdout, evaluate("toy", fitted, train, holdout, RULES_OF_TEST, ("colour", "x0"), 1)


@pytest.fixture(scope="module")
def numbers():
    learn = learn_config(target_scale="log")
    train, holdout = halves(number_table(1600, holes=0.02))
    trial = Trial(candidate="ridge", parameters={}, metric="m_error", score=0, folds=(0.0,), seconds=0)
    fitted = fit_chosen(train, folds_of(len(train)), trial, learn, (0.9,), 0)
    return fitted, train, holdout, evaluate("cars", fitted, train, holdout, RULES_OF_TEST, ("make", "age"), 1)


def test_a_model_and_its_baselines_are_measured_on_the_same_holdout_rows(classes, numbers):
    for fitted, _, holdout, evaluation in (classes, numbers):
        task = RULES[evaluation.task]
        assert evaluation.rows == len(holdout) and evaluation.candidate == fitted.candidate
        assert [m.name for m in evaluation.metrics] == list(task.metrics)
        assert set(evaluation.baselines) == set(task.baselines)
        assert {c.b for c in evaluation.against_baselines} == set(task.baselines)
        for comparison in evaluation.against_baselines:
            assert comparison.verdict == "better" and comparison.rows == len(holdout)
            assert comparison.a == fitted.candidate and comparison.loss == task.loss


def test_the_difference_to_a_baseline_is_the_difference_of_its_metrics(classes, numbers):
    for (_, _, _, evaluation), name in ((classes, "log_loss_error"), (numbers, "mean_absolute_error")):
        own = evaluation.metric(name)
        for comparison in evaluation.against_baselines:
            naive = next(m for m in evaluation.baselines[comparison.b] if m.name == name)
            assert comparison.difference == pytest.approx(own.value - naive.value, rel=1e-9)
            assert comparison.unit == own.unit
            assert comparison.loss_b == pytest.approx(naive.value)


def test_baselines_know_nothing_of_the_holdout(numbers):
    fitted, train, holdout, _ = numbers
    moved = holdout.rows(np.arange(len(holdout)))
    moved.frame["price"] *= 3
    other = evaluate("cars", fitted, train, moved, RULES_OF_TEST, (), 1)
    error = {m.name: m.value for m in other.baselines["median"]}["mean_absolute_error"]
    assert error == pytest.approx(np.abs(moved.y - np.median(train.y)).mean())


def test_the_same_seed_gives_the_same_evaluation_to_the_last_digit(classes):
    fitted, train, holdout, evaluation = classes
    again = evaluate("toy", fitted, train, holdout, RULES_OF_TEST, ("colour", "x0"), 1)
    assert again.model_dump_json() == evaluation.model_dump_json()


def test_details_are_plain_json_without_nan(classes, numbers):
    for *_, evaluation in (classes, numbers):
        text = json.dumps(evaluation.details, allow_nan=False)
        assert json.loads(text) == evaluation.details


def test_class_details_equal_those_of_scikit_learn(classes):
    fitted, _, holdout, evaluation = classes
    answers, details = fitted.predict(holdout), evaluation.details
    assert details["confusion"]["labels"] == ["no", "yes"]
    np.testing.assert_array_equal(
        details["confusion"]["counts"], sk.confusion_matrix(holdout.y, answers.prediction)
    )
    want = sk.classification_report(holdout.y, answers.prediction, output_dict=True)
    got = details["classification_report"]
    for ours, theirs in (("no", "no"), ("yes", "yes"), ("macro", "macro avg"), ("weighted", "weighted avg")):
        assert [got[ours][k] for k in ("precision", "recall", "f1", "support")] == pytest.approx(
            [want[theirs][k] for k in ("precision", "recall", "f1-score", "support")]
        )
    assert details["threshold"] == "yes is answered where its probability is above 0.5"


def test_a_class_that_is_never_predicted_has_no_precision_and_breaks_nothing():
    shares = np.tile([0.8, 0.2, 0.0], (6, 1))
    pairs = pairs_of(
        np.array(list("aabbcc")), Answers(np.full(6, "a"), probabilities=shares), ("a", "b", "c")
    )
    report = classification_report(pairs)
    assert report["b"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2}
    assert report["macro"]["recall"] == pytest.approx(1 / 3)


def test_calibration_counts_every_row_once_and_sees_an_overconfident_model():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    truth = np.where(rng.random(20_000) < p, "b", "a")

    def gap(claimed):
        shares = np.column_stack([1 - claimed, claimed])
        answers = Answers(np.where(claimed > 0.5, "b", "a"), probabilities=shares)
        bins = calibration(pairs_of(truth, answers, ("a", "b")), np.arange(len(truth)), 0.95)
        assert sum(b["rows"] for b in bins) == 20_000 and len(bins) <= 10
        return sum(b["rows"] * abs(b["predicted"] - b["observed"]) for b in bins) / 20_000

    assert gap(p) < 0.015
    assert gap(np.clip(2 * p - 0.5, 0, 1)) > 0.1


def test_number_details_add_up(numbers):
    fitted, _, holdout, evaluation = numbers
    answers, details = fitted.predict(holdout), evaluation.details
    deciles = details["error_by_decile"]
    rows = np.array([d["rows"] for d in deciles])
    assert len(deciles) == 10 and rows.sum() == len(holdout)
    assert all(a["high"] <= b["low"] for a, b in pairwise(deciles))
    percent = np.array([d["mean_absolute_percentage_error"] for d in deciles])
    overall = evaluation.metric("mean_absolute_percentage_error").value
    assert percent @ rows / rows.sum() == pytest.approx(overall)
    bias = np.array([d["bias"] for d in deciles])
    assert bias @ rows / rows.sum() == pytest.approx((answers.prediction - holdout.y).mean())
    assert sorted(details["residuals"]["truth"]) == pytest.approx(sorted(holdout.y))
    interval = details["intervals"][0]
    inside = (answers.low <= holdout.y) & (holdout.y <= answers.high)
    assert interval["coverage"] == inside.mean() and interval["level"] == 0.9
    assert 0.85 < interval["coverage"] < 0.95
    assert interval["median_width"] == np.median(answers.high - answers.low)
    assert interval["low"] < interval["coverage"] < interval["high"]
    groups = pd.Series(inside).groupby(holdout.frame["make"].fillna("missing").to_numpy()).mean()
    lines = details["coverage_by_segment"]
    for column in ("make", "age"):
        own = [line for line in lines if line["column"] == column]
        assert sum(line["rows"] * line["coverage"] for line in own) == pytest.approx(inside.sum())
        for line in own:
            assert line["low"] <= line["coverage"] <= line["high"] and line["level"] == 0.9
            if column == "make" and line["value"] != "other":
                assert line["coverage"] == pytest.approx(groups[line["value"]])
                of = (holdout.frame["make"].fillna("missing") == line["value"]).to_numpy()
                assert line["median_width"] == np.median((answers.high - answers.low)[of])


def test_residuals_are_a_sample_of_pairs_and_a_model_without_intervals_has_none():
    train, holdout = halves(number_table(6000))
    fitted = fit(train, "ridge", {}, learn_config(), seed=0)
    details = evaluate("cars", fitted, train, holdout, Evaluate(resamples=100), (), 0).details
    shown = set(zip(details["residuals"]["predicted"], details["residuals"]["truth"], strict=True))
    assert len(shown) == 1000
    assert shown <= set(zip(fitted.predict(holdout).prediction.tolist(), holdout.y.tolist(), strict=True))
    assert details["intervals"] == []


def test_segments_partition_the_rows_and_equal_a_group_by(classes, numbers):
    for (fitted, _, holdout, evaluation), category, number in (
        (classes, "colour", "x0"),
        (numbers, "make", "age"),
    ):
        prediction = fitted.predict(holdout).prediction
        right = (
            (prediction == holdout.y).astype(float)
            if evaluation.task == "classification"
            else 100 * np.abs(prediction / holdout.y - 1)
        )
        lines = evaluation.details["segments"]
        for column in (category, number):
            own = [line for line in lines if line["column"] == column]
            assert sum(line["rows"] for line in own) == len(holdout)
            total = sum(line["rows"] * line["value_metric"] for line in own) / len(holdout)
            assert total == pytest.approx(right.mean())
            assert all(line["low"] <= line["value_metric"] <= line["high"] for line in own)
        groups = pd.Series(right).groupby(holdout.frame[category].fillna("missing")).mean()
        for line in lines:
            if line["column"] == category and line["value"] != "other":
                assert line["value_metric"] == pytest.approx(groups[line["value"]])
                assert line["rows"] >= SEGMENT_ROWS


def test_a_learning_curve_falls_and_ends_at_the_model_itself(numbers):
    fitted, train, holdout, evaluation = numbers
    how = {"resamples": 100, "level": 0.95, "unit": "GBP", "origins": None}
    curve = learning_curve(fitted, train, holdout, learn_config(target_scale="log"), 5, **how)
    assert [line["rows"] for line in curve] == [150, 300, 600, 1200]
    assert curve[-1]["value"] == evaluation.metric("mean_absolute_error").value
    assert curve[0]["value"] > 1.005 * curve[-1]["value"]
    assert all(line["low"] < line["value"] < line["high"] and not line["left_out"] for line in curve)
    assert curve == learning_curve(fitted, train, holdout, learn_config(target_scale="log"), 5, **how)


def test_a_part_without_one_of_the_classes_is_left_out_with_a_sentence():
    table = class_table(800)
    table.frame.loc[2:, "label"] = "no"
    table.frame.loc[:1, "label"] = "yes"
    fitted = fit(table, "logistic", {}, learn_config(), seed=0)
    curve = learning_curve(fitted, table, table, learn_config(), 0, resamples=100, level=0.95)
    assert curve[0]["left_out"] == "no row is yes" and curve[0]["value"] is None
    assert curve[-1]["value"] > 0


def test_importance_finds_what_matters_and_agrees_with_scikit_learn():
    table = class_table(900, holes=0.0)
    train, holdout = halves(table)
    fitted = fit(train, "logistic", {}, learn_config(), seed=0)
    lines = permutation_importance(
        fitted, holdout.X, holdout.y, loss="log_loss", level=0.95, resamples=300, seed=2
    )
    got = {line["feature"]: line for line in lines}
    assert [line["drop"] for line in lines] == sorted((line["drop"] for line in lines), reverse=True)
    assert lines[0]["feature"] == "x0" and lines[-1]["feature"] == "x2"
    assert got["x2"]["low"] < 0.01 < got["x0"]["low"]
    want = by_scikit_learn(
        fitted.estimator,
        holdout.X,
        (holdout.y == "yes").astype(int),
        scoring="neg_log_loss",
        n_repeats=40,
        random_state=0,
    ).importances_mean
    for i, name in enumerate(("x0", "x1", "x2", "colour")):
        assert got[name]["drop"] == pytest.approx(want[i], abs=0.02 + 0.15 * want[i])
        assert got[name]["low"] <= got[name]["drop"] <= got[name]["high"]


def test_importance_in_batches_equals_one_feature_at_a_time(monkeypatch):
    table = number_table(300)
    fitted = fit(table, "random_forest", {"n_estimators": 10}, learn_config(), seed=0)
    how = {"loss": "absolute_error", "level": 0.9, "resamples": 100, "seed": 3}
    whole = permutation_importance(fitted, table.X, table.y, **how)
    monkeypatch.setattr("perennial.learn.importance.BATCH_CELLS", 1)
    assert permutation_importance(fitted, table.X, table.y, **how) == whole


def test_no_rows_are_no_evidence(classes):
    fitted, train, holdout, _ = classes
    with pytest.raises(NotEnoughDataError, match="evaluation of toy"):
        evaluate("toy", fitted, train, holdout.rows(np.arange(0)), RULES_OF_TEST, (), 0)
