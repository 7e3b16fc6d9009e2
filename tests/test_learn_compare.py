"""Paired comparisons: honest under the null, strong on a real difference, fair to both sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from perennial.errors import NotEnoughDataError, PerennialError, UnknownNameError
from perennial.learn.compare import LOSSES, Contender, compare, compare_answers, holm, mcnemar_p, row_losses
from perennial.live.answer import Answers


def rate_of(verdicts, draw_losses, repeats=400, rows=120, loss="absolute_error"):
    """How often a comparison of two drawn loss vectors ends in one of `verdicts`."""
    rng = np.random.default_rng(11)
    hits = 0
    for seed in range(repeats):
        a, b = draw_losses(rng, rows)
        comparison = compare("a", "b", a, b, loss=loss, seed=seed, resamples=400)
        hits += comparison.verdict in verdicts
    return hits / repeats


def test_the_false_positive_rate_is_near_alpha():
    def alike(rng, rows):
        shared = rng.gamma(2, 1, rows)
        return shared * rng.uniform(0.5, 1.5, rows), shared * rng.uniform(0.5, 1.5, rows)

    assert 0.02 <= rate_of({"better", "worse"}, alike) <= 0.08


def test_the_exact_test_of_right_and_wrong_never_exceeds_alpha_by_much():
    def alike(rng, rows):
        return (rng.random(rows) < 0.3).astype(float), (rng.random(rows) < 0.3).astype(float)

    assert rate_of({"better", "worse"}, alike, loss="zero_one") <= 0.06


def test_a_real_difference_is_found_and_has_the_right_sign():
    def differ(rng, rows):
        shared = rng.gamma(2, 1, rows)
        return shared + 0.3 * rng.normal(size=rows), shared + 0.15 + 0.3 * rng.normal(size=rows)

    assert rate_of({"better"}, differ, repeats=100) > 0.9
    assert rate_of({"worse"}, differ, repeats=100) == 0


@pytest.mark.parametrize("loss", ["absolute_error", "zero_one"])
def test_a_against_b_mirrors_b_against_a(loss):
    rng = np.random.default_rng(0)
    a, b = (rng.random((2, 90)) < [[0.2], [0.4]]).astype(float)
    if loss == "absolute_error":
        a, b = a + rng.random(90), b + rng.random(90)
    ab = compare("a", "b", a, b, loss=loss, seed=3)
    ba = compare("b", "a", b, a, loss=loss, seed=3)
    assert (ba.difference, ba.low, ba.high) == pytest.approx((-ab.difference, -ab.high, -ab.low), abs=1e-12)
    assert ba.p_value == ab.p_value
    assert {ab.verdict, ba.verdict} in ({"better", "worse"}, {"inconclusive"})
    assert (ab.loss_b, ba.loss_b) == pytest.approx((b.mean(), a.mean()))


def test_identical_predictions_are_inconclusive_with_no_difference():
    losses = np.random.default_rng(0).random(500)
    same = compare("a", "b", losses, losses, loss="log_loss", seed=0)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    assert same.verdict == "inconclusive"


def test_few_rows_are_not_enough_data_however_clear_they_look():
    few = compare("a", "b", np.zeros(29), np.ones(29), loss="absolute_error", seed=0)
    assert few.verdict == "not enough data" and few.difference == -1
    assert compare("a", "b", np.zeros(30), np.ones(30), loss="absolute_error", seed=0).verdict == "better"
    with pytest.raises(
        NotEnoughDataError, match="comparison of a with b: expected at least 30 rows, found 0"
    ):
        compare("a", "b", np.zeros(0), np.zeros(0), loss="absolute_error", seed=0)


def test_other_rows_and_numbers_that_are_none_are_refused():
    with pytest.raises(PerennialError, match="on the same rows, found 40 and 41"):
        compare("a", "b", np.zeros(40), np.zeros(41), loss="absolute_error", seed=0)
    with pytest.raises(PerennialError, match="finite losses"):
        compare("a", "b", np.full(40, np.nan), np.zeros(40), loss="absolute_error", seed=0)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_equals_the_binomial_test_of_scipy(only_a, only_b):
    n = only_a + only_b
    want = binomtest(only_a, n, 0.5).pvalue if n else 1.0
    assert mcnemar_p(only_a, only_b) == pytest.approx(want, rel=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_equals_its_definition_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    for i, own in enumerate(p_values):
        order = sorted(range(len(p_values)), key=p_values.__getitem__)
        upto = order[: order.index(i) + 1]
        want = max(min(1.0, (len(p_values) - rank) * p_values[j]) for rank, j in enumerate(upto))
        assert adjusted[i] == pytest.approx(want)
        assert own <= adjusted[i] <= min(1.0, len(p_values) * own) + 1e-15
    assert [a for _, a in sorted(zip(p_values, adjusted, strict=True))] == sorted(adjusted)


def test_losses_per_row_equal_their_definitions():
    truth = np.array(["a", "b", "b"])
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.0, 1.0]])
    answers = Answers(np.array(["a", "a", "b"]), probabilities=shares)
    log_loss = row_losses("log_loss", truth, answers, ("a", "b"))
    assert log_loss[:2] == pytest.approx([-np.log(0.9), -np.log(0.4)]) and 0 <= log_loss[2] < 1e-12
    assert row_losses("zero_one", truth, answers, ("a", "b")).tolist() == [0, 1, 0]
    numbers, guessed = np.array([10.0, -4.0]), Answers(np.array([12.0, -5.0]))
    assert row_losses("absolute_error", numbers, guessed).tolist() == [2, 1]
    assert row_losses("absolute_percentage_error", numbers, guessed).tolist() == [20, 25]
    with pytest.raises(PerennialError, match="found 1 whose truth is 0; use absolute_error"):
        row_losses("absolute_percentage_error", np.array([0.0, 1.0]), guessed)
    with pytest.raises(UnknownNameError, match="did you mean 'log_loss'"):
        row_losses("logloss", truth, answers, ("a", "b"))
    assert {unit for _, unit in LOSSES.values()} == {"1", "%", "target"}


def test_contenders_may_order_their_classes_differently():
    rng = np.random.default_rng(4)
    truth = rng.choice(["a", "b"], 60)
    p = np.where(truth == "b", 0.8, 0.3) + 0.1 * rng.random(60)
    shares = np.column_stack([1 - p, p])
    names = np.array(["a", "b"])[shares.argmax(axis=1)]
    one = Contender("one", Answers(names, probabilities=shares), ("a", "b"))
    two = Contender("two", Answers(names, probabilities=shares[:, ::-1]), ("b", "a"))
    same = compare_answers(one, two, truth, loss="log_loss", seed=0, unit="ignored")
    assert same.difference == pytest.approx(0, abs=1e-15) and same.verdict == "inconclusive"
    assert same.unit == "1" and (same.a, same.b) == ("one", "two")
