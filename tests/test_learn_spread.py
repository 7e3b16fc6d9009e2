"""Gaps in training rows, and intervals that are as wide as rows alike need."""

import numpy as np
import pytest
from test_learn_models import folds_of, learn_config, number_table

from perennial.evidence import Trial
from perennial.learn import gaps
from perennial.learn.chosen import fit_chosen
from perennial.learn.gaps import gap_rows, with_gaps
from perennial.learn.intervals import conformal_interval
from perennial.learn.models import fit
from perennial.learn.spread import fit_spread
from perennial.live.answer import AnswerRule, Interval, Spread, answer
from perennial.table import Column

FEATURES = (
    Column("fine", "category", "fine", categories=tuple("abcdef")),
    Column("size", "number", "size"),
    Column("coarse", "category", "coarse", categories=tuple("xyz")),
    Column("flag", "boolean", "flag"),
)


def matrix(rows, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.integers(0, 6, rows), rng.normal(size=rows), rng.integers(0, 3, rows), rng.integers(0, 2, rows)]
    ).astype(float)


def test_copies_lose_one_feature_or_the_finest_categories_and_keep_the_rest():
    X = matrix(9000)
    rows, copies = gap_rows(X, FEATURES, 0.5, 3)
    assert len(rows) == 4500 and (np.diff(rows) > 0).all()
    missing = np.isnan(copies)
    np.testing.assert_array_equal(copies[~missing], X[rows][~missing])
    patterns, counts = np.unique(missing, axis=0, return_counts=True)
    found = {tuple(np.flatnonzero(p).tolist()): int(n) for p, n in zip(patterns, counts, strict=True)}
    assert set(found) == {(0,), (1,), (2,), (3,), (0, 2)}
    assert found[0, 2] == pytest.approx(1500, abs=150)
    assert found[1,] == pytest.approx(375, abs=80)
    assert not np.isnan(X).any()


def test_gaps_are_seeded_come_after_the_rows_and_are_never_too_few():
    X, y = matrix(2000), np.arange(2000.0)
    same_X, same_y = with_gaps(X, y, FEATURES, 0.0, 1)
    assert same_X is X and same_y is y
    wide, tall = with_gaps(X, y, FEATURES, 0.4, 1)
    np.testing.assert_array_equal(wide[:2000], X)
    assert len(wide) == len(tall) == 2800
    np.testing.assert_array_equal(tall[2000:], y[gap_rows(X, FEATURES, 0.4, 1)[0]])
    again, _ = with_gaps(X, y, FEATURES, 0.4, 1)
    other, _ = with_gaps(X, y, FEATURES, 0.4, 2)
    assert wide.tobytes() == again.tobytes() != other.tobytes()
    assert len(with_gaps(X, y, FEATURES, 0.01, 1)[0]) == 2000 + gaps.FEWEST
    assert len(with_gaps(X[:30], y[:30], FEATURES, 0.01, 1)[0]) == 60


def test_lightgbm_answers_a_missing_value_sensibly_only_if_it_learned_with_gaps():
    train, fresh = number_table(3000), number_table(500, seed=4)
    fresh.frame["age"] = np.nan
    error = {}
    for share in (0.0, 0.1):
        fitted = fit(train, "lightgbm", {}, learn_config(target_scale="log", gaps=share), seed=0)
        error[share] = np.abs(np.log(fitted.predict(fresh).prediction / fresh.y))
    assert np.median(error[0.0]) > 0.4  # a car of unknown age passes for a new one
    assert np.median(error[0.1]) < 0.3


def test_rows_that_are_alike_count_once():
    """Forty-eight rows that say the same teach no more than one; without `alike` noise would pass for hardness."""
    X, rng = matrix(300)[:, :1], np.random.default_rng(8)
    raw, residuals = np.zeros(300), rng.normal(size=300)
    once = fit_spread(X, raw, residuals, FEATURES[:1])
    copies = [np.repeat(values, 48, axis=0) for values in (X, raw, residuals)]
    again, trusting = (fit_spread(*copies, FEATURES[:1], alike=alike) for alike in (48, 1))
    for own, other in zip(once.values, again.values, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-12)
    assert np.abs(trusting.values[0]).max() > 1.05 * np.abs(once.values[0]).max()


def test_the_spread_finds_what_makes_rows_hard():
    X, rng = matrix(20_000), np.random.default_rng(5)
    raw = rng.normal(size=len(X))
    sizes = np.exp(0.5 * (X[:, 0] == 2) + 0.8 * (X[:, 1] > 2.2) - 0.4 * X[:, 3])
    spread = fit_spread(X, raw, sizes * rng.normal(size=len(X)), FEATURES)
    asked = matrix(4000, seed=9)
    wanted = 0.5 * (asked[:, 0] == 2) + 0.8 * (asked[:, 1] > 2.3) - 0.4 * asked[:, 3]
    found = spread.of(asked, np.zeros(len(asked)))
    away = np.abs(asked[:, 1] - 2.2) > 0.15
    assert np.corrcoef(found[away], wanted[away])[0, 1] > 0.97
    assert [len(t) for t in spread.values] == [len(e) + 2 for e in spread.edges]
    assert spread.edges[0] == (0.5, 1.5, 2.5, 3.5, 4.5) and spread.edges[3] == (0.5,)


def test_a_spread_is_the_sum_of_its_tables_row_by_row():
    spread = Spread(1.0, ((0.5,), (), (2.0, 3.0)), ((10.0, 20.0, 30.0), (0.0, -5.0), (1.0, 2.0, 3.0, 4.0)))
    X = np.array([[0.0, 7.0], [1.0, np.nan], [np.nan, 1.0], [0.5, 1.0]])
    assert spread.of(X, np.array([1.0, 2.0, 3.5, 9.9])).tolist() == [12.0, 18.0, 34.0, 24.0]
    assert spread.of(X[:0], np.empty(0)).shape == (0,)


def test_an_interval_with_a_spread_scales_its_offsets_and_needs_the_features():
    spread = Spread(0.0, ((), ()), ((0.0, np.log(3.0)), (0.0, 0.0)))
    rule = AnswerRule("regression", "y", interval=Interval(0.9, (0.5,), (-1.0, -2.0), (1.0, 4.0), spread))
    X, raw = np.array([[5.0], [np.nan]]), np.array([10.0, 10.0])
    answers = answer(raw, rule, X)
    np.testing.assert_allclose(answers.low, [9.0, 10.0 - 6.0])
    np.testing.assert_allclose(answers.high, [11.0, 10.0 + 12.0])
    assert answer(raw, rule).low is None
    assert answer(raw, rule).prediction.tolist() == answers.prediction.tolist()


def test_residuals_are_scaled_by_their_hardness_and_binned_by_it():
    rng = np.random.default_rng(3)
    hardness = rng.normal(size=4000)
    raw = rng.normal(size=4000)
    truth = raw + np.exp(hardness) * rng.normal(size=4000)
    spread = Spread(0.0, ((), ()), ((0.0, 0.0), (0.0, 0.0)))
    interval = conformal_interval(raw, truth, (0.9,), bins=4, spread=spread, hardness=hardness)
    assert interval.spread is spread
    np.testing.assert_allclose(interval.high, 1.645, atol=0.3)
    np.testing.assert_allclose(interval.low, -1.645, atol=0.3)
    np.testing.assert_allclose(interval.edges, np.quantile(hardness, [0.25, 0.5, 0.75]))


@pytest.mark.parametrize("rows", [120, 400, 3000])
def test_intervals_of_a_chosen_model_cover_overall_and_where_rows_are_hard(rows):
    """The age of a car decides how far its price strays; the predicted price does not tell."""
    inside, hard = [], []
    for seed in range(8 if rows < 1000 else 2):
        table = number_table(rows + 2000, seed=seed)
        rng = np.random.default_rng(seed + 100)
        age = table.frame["age"].to_numpy()
        noise = np.where(age > 8, 0.4, 0.05) * rng.normal(size=len(age))
        price = np.exp(9 + 0.3 * (table.frame["make"] == "audi") + noise)
        table = table.rows(np.arange(len(table)))
        table.frame["price"] = price
        train, fresh = table.rows(np.arange(rows)), table.rows(np.arange(rows, len(table)))
        trial = Trial(candidate="ridge", parameters={}, metric="m_error", score=0, folds=(0.0,), seconds=0)
        fitted = fit_chosen(train, folds_of(rows), trial, learn_config(target_scale="log"), (0.9,), seed)
        answers = fitted.predict(fresh)
        covered = (fresh.y >= answers.low) & (fresh.y <= answers.high)
        inside.append(covered.mean())
        hard.append(covered[fresh.frame["age"].to_numpy() > 8].mean())
    assert 0.87 < np.mean(inside) < 0.95
    assert np.mean(hard) > (0.6 if rows < 400 else 0.8 if rows < 1000 else 0.86)


def test_fits_of_one_model_give_the_same_interval_to_the_last_digit():
    train = number_table(700, holes=0.05)
    trial = Trial(
        candidate="random_forest",
        parameters={"n_estimators": 10},
        metric="m",
        score=0,
        folds=(0.0,),
        seconds=0,
    )
    first, second = (
        fit_chosen(train, folds_of(700), trial, learn_config(gaps=0.1), (0.9,), 3).rule for _ in range(2)
    )
    assert first == second
