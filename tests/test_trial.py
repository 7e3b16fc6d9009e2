"""Trials: units stay in their arm, arms get their shares, and looking all the time makes no false winners."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from perennial.errors import InputError
from perennial.live.trial.assign import arm_of, place_of
from perennial.live.trial.sequence import (
    FEWEST,
    confidence_sequence,
    first_verdict,
    sample_ratio_p,
    tightest,
    verdict,
)

HALVES = {"champion": 0.5, "challenger": 0.5}


@given(st.text(), st.text(max_size=20))
def test_a_unit_stays_in_its_arm_and_a_growing_arm_keeps_its_units(unit, salt):
    small, large = ({"champion": 1 - share, "challenger": share} for share in (0.1, 0.4))
    assert arm_of(unit, salt, HALVES) == arm_of(unit, salt, HALVES)
    if arm_of(unit, salt, small) == "challenger":
        assert arm_of(unit, salt, large) == "challenger"
    assert 0.0 <= place_of(unit, salt) < 1.0


def test_places_are_even_and_another_salt_mixes_anew():
    one, other = (np.array([place_of(f"unit {i}", salt) for i in range(20_000)]) for salt in ("a", "b"))
    assert stats.kstest(one, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    arms = [arm_of(f"unit {i}", "a", {"x": 0.2, "y": 0.3, "z": 0.5}) for i in range(20_000)]
    counts = {arm: arms.count(arm) for arm in "xyz"}
    assert sample_ratio_p(counts, {"x": 0.2, "y": 0.3, "z": 0.5}) > 0.001


@pytest.mark.parametrize(
    "shares", [{}, {"a": 1.0}, {"a": 0.5, "b": 0.4}, {"a": 1.5, "b": -0.5}, {"a": 1.0, "b": 0.0}]
)
def test_shares_that_cannot_be_are_refused(shares):
    with pytest.raises(InputError, match="shares"):
        arm_of("u", "s", shares)


def test_the_sample_ratio_is_that_of_scipy():
    counts = {"champion": 5210, "challenger": 4790}
    expected = stats.chisquare([5210, 4790], [5000, 5000]).pvalue
    assert sample_ratio_p(counts, HALVES) == pytest.approx(expected)
    assert sample_ratio_p({}, HALVES) == 1.0
    assert sample_ratio_p({"champion": 10}, HALVES) == pytest.approx(stats.chisquare([10, 0], [5, 5]).pvalue)


def test_bounds_are_the_formula_recomputed_at_every_moment():
    values = np.random.default_rng(0).normal(1e6, 2.0, 300)
    found = confidence_sequence(values, 0.1, 200)
    r = tightest(200, 0.1)
    for t in (100, 173, 300):
        half = values[:t].std() * np.sqrt(2 * (t * r + 1) / (t**2 * r) * np.log(np.sqrt(t * r + 1) / 0.1))
        assert found.mean[t - 1] == pytest.approx(values[:t].mean(), rel=1e-12)
        assert found.high[t - 1] - found.mean[t - 1] == pytest.approx(half, rel=1e-6)
    assert np.isinf(found.low[: FEWEST - 1]).all()
    widths = [confidence_sequence(values, 0.1, planned).high[199] for planned in (20, 200, 2000)]
    assert widths[1] == min(widths)


DRAWS = {
    "normal": lambda rng, n: rng.normal(0, 1, n),
    "skewed": lambda rng, n: rng.exponential(1, n) - 1,
    "heavy": lambda rng, n: rng.standard_t(4, n),
    "mostly nothing": lambda rng, n: rng.choice([-1.0, 0.0, 1.0], n, p=[0.05, 0.9, 0.05]),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_looking_after_every_observation_makes_few_false_winners(kind):
    rng, trials = np.random.default_rng(7), 1000
    wrong = sum(
        first_verdict(confidence_sequence(DRAWS[kind](rng, 3000)))[1] in ("better", "worse")
        for _ in range(trials)
    )
    print(f"{kind}: {wrong / trials:.1%} false verdicts over {trials} trials of 3,000 looks")
    assert stats.binomtest(wrong, trials, 0.05, alternative="greater").pvalue > 0.01


def test_a_real_difference_is_found_with_its_sign():
    rng = np.random.default_rng(1)
    for shift, expected in ((-0.2, "better"), (0.2, "worse")):
        found = confidence_sequence(rng.normal(shift, 1.0, 3000))
        assert verdict(found) == expected
        assert first_verdict(found)[1] == expected and FEWEST <= first_verdict(found)[0] < 3000
    assert verdict(confidence_sequence(rng.normal(0.2, 1, FEWEST - 1))) == "not enough data"
    assert verdict(confidence_sequence(np.zeros(FEWEST))) == "inconclusive"


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(InputError, match="finite"):
        confidence_sequence(np.array([1.0, np.nan]))
    with pytest.raises(InputError, match="alpha"):
        confidence_sequence(np.zeros(3), alpha=0.0)
