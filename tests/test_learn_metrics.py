"""Every metric recomputed another way, and intervals that cover what they claim to cover."""

from unittest.mock import patch

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.errors import PerennialError, UnknownNameError
from perennial.learn.metrics import METRICS, measure, metric_value
from perennial.learn.pairs import Pairs, pairs_of
from perennial.learn.resampling import Draws, bootstrap_weights, flipped_means, mean_intervals
from perennial.learn.tasks import RULES
from perennial.live.answer import Answers


def class_answers(rows, classes, seed, digits=1):
    """Truths and made-up answers with many tied probabilities."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes, rows)
    raw = rng.random((rows, len(classes))) + (truth[:, None] == np.asarray(classes)) * 0.4
    raw = np.round(raw, digits) + 1e-3
    raw /= raw.sum(axis=1, keepdims=True)
    return truth, Answers(np.asarray(classes)[raw.argmax(axis=1)], probabilities=raw)


def number_answers(rows, seed, positive=True):
    rng = np.random.default_rng(seed)
    truth = np.exp(rng.normal(size=rows)) if positive else rng.normal(size=rows)
    return truth, Answers(np.round(truth + 0.3 * rng.normal(size=rows), 1))


def by_scikit_learn(truth, answers, classes):
    """All classification metrics as scikit-learn computes them."""
    two = len(classes) == 2
    mean = {"average": "binary", "pos_label": classes[1]} if two else {"average": "macro"}
    scores = answers.probabilities[:, 1] if two else answers.probabilities
    area = {} if two else {"multi_class": "ovr", "labels": classes}
    return {
        "accuracy_score": sk.accuracy_score(truth, answers.prediction),
        "precision_score": sk.precision_score(truth, answers.prediction, zero_division=0, **mean),
        "recall_score": sk.recall_score(truth, answers.prediction, zero_division=0, **mean),
        "f1_score": sk.f1_score(truth, answers.prediction, zero_division=0, **mean),
        "roc_auc_score": sk.roc_auc_score(truth, scores, **area),
        "log_loss_error": sk.log_loss(truth, answers.probabilities, labels=classes),
        **by_hand(truth, answers, classes),
    }


def shares_of(classes):
    return [1 / len(classes) for _ in classes]


def by_hand(truth, answers, classes):
    """Brier score, its skill over equal shares, and the calibration error, row by row."""
    two, shares = len(classes) == 2, answers.probabilities
    happened = np.array([[t == c for c in classes] for t in truth], dtype=float)
    half = 2 if two else 1
    brier, constant = (((p - happened) ** 2).sum() / len(truth) / half for p in (shares, 1 / len(classes)))
    bins: dict[int, list[float]] = {}
    for row, own in zip(shares, happened, strict=True):
        place = 1 if two else int(row.argmax())
        bins.setdefault(min(int(row[place] * 10), 9), []).append(row[place] - own[place])
    gap = sum(abs(sum(gaps)) for gaps in bins.values()) / len(truth)
    return {
        "brier_error": brier,
        "brier_skill_score": 1 - brier / constant,
        "expected_calibration_error": gap,
    }


def values_of(measured):
    return {m.name: m.value for m in measured}


@pytest.mark.parametrize("classes", [("a", "b"), ("x", "y", "z"), ("p", "q", "r", "s")])
@pytest.mark.parametrize("seed", [0, 1])
def test_class_metrics_equal_those_of_scikit_learn(classes, seed):
    truth, answers = class_answers(150, classes, seed)
    got = measure(
        truth,
        answers,
        RULES["classification"].metrics,
        resamples=100,
        level=0.9,
        seed=0,
        classes=classes,
        base=shares_of(classes),
    )
    want = by_scikit_learn(truth, answers, list(classes))
    assert values_of(got) == pytest.approx(want, rel=1e-12)
    assert set(want) == {n for n, rule in METRICS.items() if rule.task == "classification"}


@pytest.mark.parametrize("rows", [1, 2, 7, 100])
def test_number_metrics_equal_those_of_scikit_learn_and_numpy(rows):
    truth, answers = number_answers(rows, seed=rows)
    got = measure(truth, answers, RULES["regression"].metrics, resamples=100, level=0.9, seed=0, unit="GBP")
    want = {
        "mean_absolute_error": sk.mean_absolute_error(truth, answers.prediction),
        "root_mean_squared_error": sk.root_mean_squared_error(truth, answers.prediction),
        "mean_absolute_percentage_error": 100 * sk.mean_absolute_percentage_error(truth, answers.prediction),
        "median_absolute_percentage_error": np.median(100 * np.abs(answers.prediction / truth - 1)),
    }
    if rows > 2:
        want["r2_score"] = sk.r2_score(truth, answers.prediction)
    values = {name: value for name, value in values_of(got).items() if rows > 2 or name != "r2_score"}
    assert values == pytest.approx(want, rel=1e-9)
    units = {m.name: m.unit for m in got}
    assert units["mean_absolute_error"] == units["root_mean_squared_error"] == "GBP"
    assert units["median_absolute_percentage_error"] == "%"


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(sorted(METRICS)),
    three=st.booleans(),
    units=st.sampled_from(["rows", "origins", "many origins"]),
)
def test_a_metric_of_draws_is_the_metric_of_the_rows_drawn(seed, name, three, units):
    """Counts stand for repetition: the law on which every interval rests."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(5, 60))
    if METRICS[name].task == "classification":
        classes = ("a", "b", "c") if three else ("a", "b")
        truth, answers = class_answers(rows, classes, seed)
    else:
        classes, (truth, answers) = (), number_answers(rows, seed)
    unit = None if units == "rows" else np.sort(np.arange(rows) % int(rng.integers(2, 7)))
    counts = next(iter(bootstrap_weights(rows if unit is None else unit.max() + 1, 3, seed)))
    with patch("perennial.learn.metrics.MOST_UNITS", 1 if units == "many origins" else 1000):
        got = METRICS[name].compute(
            pairs_of(truth, answers, classes, shares_of(classes)), Draws(counts, unit)
        )
    for r in range(3):
        times = counts[r] if unit is None else counts[r][unit]
        drawn = np.repeat(np.arange(rows), times.astype(int))
        shares = None if answers.probabilities is None else answers.probabilities[drawn]
        own = Answers(answers.prediction[drawn], probabilities=shares)
        repeated = pairs_of(truth[drawn], own, classes, shares_of(classes))
        want = METRICS[name].compute(repeated, Draws(np.ones((1, len(drawn)))))
        np.testing.assert_allclose(got[r], want[0], rtol=1e-9, atol=1e-9)


def test_bootstrap_weights_draw_rows_as_often_as_they_should():
    weights = np.concatenate(list(bootstrap_weights(700, 2000, seed=1)))
    assert weights.shape == (2000, 700)
    assert (weights.sum(axis=1) == 700).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(700), abs=0.13)
    assert weights.var() == pytest.approx(1 - 1 / 700, rel=0.02)
    again = np.concatenate(list(bootstrap_weights(700, 2000, seed=1)))
    assert (weights == again).all()


def test_random_signs_give_the_mean_and_spread_of_a_fair_coin():
    differences = np.random.default_rng(0).normal(2, 3, 300)
    means = flipped_means(differences, 20_000, seed=3)
    spread = np.sqrt((differences**2).sum()) / 300
    assert abs(means.mean()) < 4 * spread / np.sqrt(20_000)
    assert means.std() == pytest.approx(spread, rel=0.03)


@pytest.mark.parametrize(
    ("name", "target"), [("mean_absolute_error", np.sqrt(2 / np.pi)), ("accuracy_score", 0.7)]
)
def test_intervals_of_means_cover_the_true_value_about_as_often_as_they_claim(name, target):
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(400):
        if name == "accuracy_score":
            truth = np.where(rng.random(120) < 0.7, "a", "b")
            answers = Answers(np.full(120, "a"), probabilities=np.tile([1.0, 0.0], (120, 1)))
        else:
            truth, answers = np.zeros(120), Answers(rng.normal(size=120))
        (metric,) = measure(
            truth,
            answers,
            (name,),
            resamples=400,
            level=0.95,
            seed=seed,
            classes=("a", "b")[: 2 * (name[0] == "a")],
        )
        covered += metric.low <= target <= metric.high
    assert 0.915 <= covered / 400 <= 0.98


def test_all_metrics_share_their_resamples_and_repeat_with_the_seed():
    truth, answers = number_answers(80, 3)
    how = {"resamples": 300, "level": 0.9}
    everything = measure(truth, answers, RULES["regression"].metrics, seed=4, **how)
    alone = measure(truth, answers, ("r2_score",), seed=4, **how)
    assert alone[0] == next(m for m in everything if m.name == "r2_score")
    assert measure(truth, answers, ("r2_score",), seed=5, **how)[0].low != alone[0].low


def test_mean_intervals_equal_the_metric_interval_of_the_same_seed():
    truth, answers = number_answers(90, 8)
    (metric,) = measure(truth, answers, ("mean_absolute_error",), resamples=250, level=0.8, seed=2)
    errors = np.abs(truth - answers.prediction)
    low, high = mean_intervals(errors[:, None], 250, 0.8, 2)
    assert (low[0], high[0]) == pytest.approx((metric.low, metric.high), rel=1e-12)


def test_what_rows_do_not_define_is_absent_and_never_nan():
    truth, answers = number_answers(50, 1)
    truth[0] = 0.0
    how = {"resamples": 200, "level": 0.95, "seed": 0}
    names = {m.name for m in measure(truth, answers, RULES["regression"].metrics, **how)}
    assert names == {"mean_absolute_error", "root_mean_squared_error", "r2_score"}
    constant = measure(np.full(50, 3.3), answers, RULES["regression"].metrics, **how)
    assert "r2_score" not in {m.name for m in constant}
    _, shares = class_answers(50, ("a", "b"), 1)
    one = measure(np.full(50, "a"), shares, RULES["classification"].metrics, classes=("a", "b"), **how)
    assert {m.name for m in one} == set(RULES["classification"].metrics) - {
        "roc_auc_score",
        "brier_skill_score",
    }
    assert all(np.isfinite([m.value, m.low, m.high]).all() for m in (*constant, *one))
    with pytest.raises(PerennialError, match="expected rows that define roc_auc_score"):
        metric_value("roc_auc_score", pairs_of(np.full(50, "a"), shares, ("a", "b")))


def test_a_truth_that_the_model_does_not_know_costs_the_most_and_counts_as_wrong():
    truth, answers = class_answers(60, ("a", "b"), 2)
    truth = np.where(np.arange(60) < 6, "new", truth)
    pairs = pairs_of(truth, answers, ("a", "b"))
    assert pairs.labels == ("a", "b", "new")
    right = (truth == answers.prediction).mean()
    assert metric_value("accuracy_score", pairs) == pytest.approx(right)
    known = metric_value(
        "log_loss_error",
        pairs_of(
            truth[6:], Answers(answers.prediction[6:], probabilities=answers.probabilities[6:]), ("a", "b")
        ),
    )
    cost = -np.log(np.finfo(float).eps)
    assert metric_value("log_loss_error", pairs) == pytest.approx((54 * known + 6 * cost) / 60)


def test_broken_answers_and_unknown_names_get_a_sentence():
    truth, answers = number_answers(20, 0)
    how = {"resamples": 100, "level": 0.9, "seed": 0}
    with pytest.raises(
        PerennialError, match="expected every prediction to be a finite number, found 1 of 20"
    ):
        measure(truth, Answers(np.r_[np.nan, answers.prediction[1:]]), ("r2_score",), **how)
    with pytest.raises(PerennialError, match="expected an answer for each of 19"):
        measure(truth[1:], answers, ("r2_score",), **how)
    with pytest.raises(UnknownNameError, match="did you mean 'r2_score'"):
        measure(truth, answers, ("r2_scor",), **how)
    with pytest.raises(PerennialError, match="expected class probabilities, found numbers"):
        measure(truth, answers, ("roc_auc_score",), **how)
    _, shares = class_answers(20, ("a", "b"), 0)
    with pytest.raises(PerennialError, match="expected a probability for each of the 3 classes, found 2"):
        pairs_of(np.full(20, "a"), shares, ("a", "b", "c"))


def test_names_end_in_score_or_error_and_higher_scores_are_better():
    perfect = Pairs(np.array([1.0, 2, 4]), np.array([1.0, 2, 4]))
    poor = Pairs(np.array([1.0, 2, 4]), np.array([3.0, 9, 1]))
    for name, rule in METRICS.items():
        assert name.endswith(("_score", "_error"))
        if rule.task == "regression":
            better, worse = metric_value(name, perfect), metric_value(name, poor)
            assert better > worse if name.endswith("_score") else better < worse
