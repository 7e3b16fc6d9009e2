"""The candidate `horizon_ridge`: what it computes, what it does with gaps, and that it ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from perennial.errors import UnknownNameError
from perennial.learn.horizon import horizon_ridge
from perennial.live.estimators.horizon_ridge import FARTHEST, HorizonRidge
from perennial.live.export.convert import to_onnx, to_skops
from perennial.live.models import OnnxModel, SkopsModel
from perennial.table import Column

STEPS = np.array([0.0, 0.25, 0.5, 1.5])
CATEGORIES = 3


def rows(n: int = 400, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A horizon, three numbers and a category; the numbers' effects differ by horizon."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, len(STEPS), n)
    numbers = rng.normal(0, [1.0, 5.0, 0.1], (n, 3))
    kind = rng.integers(0, CATEGORIES, n).astype(float)
    y = 7 + place * numbers[:, 0] - numbers[:, 1] * kind + rng.normal(0, 0.1, n)
    return np.column_stack([STEPS[place], numbers, kind]), y


def design(X: np.ndarray) -> np.ndarray:
    """The weighted columns: numbers, the category as zeros and ones, and those times column 1."""
    shown = np.eye(CATEGORIES)[X[:, 4].astype(int)]
    return np.column_stack([X[:, 1:4], shown, shown * X[:, [1]]])


def test_it_is_a_ridge_regression_of_standardised_columns_per_horizon():
    X, y = rows()
    model = HorizonRidge(categories=[(4, CATEGORIES)], crossed=[1], alpha=3.0).fit(X, y)
    D = design(X)
    within = np.concatenate([D[X[:, 0] == s] - D[X[:, 0] == s].mean(axis=0) for s in STEPS])
    scale = np.sqrt((within**2).mean(axis=0))
    for step in STEPS:
        own = X[:, 0] == step
        z = np.clip((D[own] - D[own].mean(axis=0)) / scale, -FARTHEST, FARTHEST)
        expected = Ridge(alpha=3.0).fit(z, y[own]).predict(z)
        np.testing.assert_allclose(model.predict(X[own]), expected, rtol=1e-9)


def test_neighbours_are_learnt_from_by_their_nearness():
    X, y = rows(120)
    D = X[:, 1:4]
    model = HorizonRidge(left_out=[4], alpha=2.0, reach=2).fit(X, y)
    place = np.searchsorted(STEPS, X[:, 0])
    centred = np.stack([D[place == p].mean(axis=0) for p in range(4)])
    z = (D - centred[place]) / np.sqrt(((D - centred[place]) ** 2).mean(axis=0))
    level = np.array([y[place == p].mean() for p in range(4)])
    nearness = np.clip(1 - np.abs(place - 1) / 3, 0, None)
    expected = Ridge(alpha=2.0, fit_intercept=False).fit(z, y - level[place], sample_weight=nearness)
    np.testing.assert_allclose(
        model.predict(X[place == 1]), expected.predict(z[place == 1]) + level[1], rtol=1e-9
    )


def test_a_missing_number_counts_as_the_mean_of_its_horizon():
    X, y = rows()
    model = HorizonRidge(categories=[(4, CATEGORIES)], alpha=1.0).fit(X, y)
    own = X[X[:, 0] == 0.5]
    gap, filled = own[:1].copy(), own[:1].copy()
    gap[0, 2], filled[0, 2] = np.nan, own[:, 2].mean()
    np.testing.assert_allclose(model.predict(gap), model.predict(filled), rtol=1e-12)


def test_gaps_in_training_and_empty_or_constant_columns_are_no_trouble():
    X, y = rows()
    X[::7, 1] = np.nan
    X[::11, 0] = np.nan
    X[:, 3] = np.nan
    X = np.column_stack([X, np.full(len(X), 4.2)])
    model = HorizonRidge(categories=[(4, CATEGORIES)], alpha=1.0).fit(X, y)
    far = X.copy()
    far[:, 3], far[:, 5] = 1e6, -1e6
    np.testing.assert_array_equal(model.predict(far), model.predict(X))
    assert np.isfinite(model.predict(X)).all()


def test_an_unknown_horizon_is_answered_by_the_nearest():
    X, y = rows()
    model = HorizonRidge(categories=[(4, CATEGORIES)]).fit(X, y)
    for asked, nearest in ((-3, 0), (0.1, 0), (0.3, 0.25), (1.1, 1.5), (99, 1.5), (np.nan, 0.5)):
        row, known = X[:1].copy(), X[:1].copy()
        row[0, 0], known[0, 0] = asked, nearest
        assert model.predict(row) == model.predict(known)


def test_a_value_never_seen_cannot_throw_it_off():
    X, y = rows()
    X[:, 3] = 0.0
    X[:3, 3] = 1e-3
    model = HorizonRidge(left_out=[4], alpha=0.01).fit(X, y)
    row = X[5:6].copy()
    row[0, 3] = 50.0
    moved = abs(model.predict(row) - model.predict(X[5:6]))[0]
    assert moved <= FARTHEST * 2 * np.abs(model.weights_).max()


def test_the_number_of_threads_changes_nothing():
    X, y = rows(3000)
    X = np.column_stack([X, np.random.default_rng(0).normal(size=(len(X), 60))])
    found = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            found.append(HorizonRidge(alpha=1.0).fit(X, y).predict(X))
    np.testing.assert_array_equal(*found)


def test_its_files_answer_as_it_does(tmp_path: Path):
    X, y = rows()
    model = HorizonRidge(categories=[(4, CATEGORIES)], crossed=[1], left_out=[2], reach=1).fit(X, y)
    asked = X.copy()
    asked[::5, 1], asked[::6, 0], asked[::7, 4], asked[::8, 0] = np.nan, np.nan, np.nan, 9.0
    assert to_onnx(model, X.shape[1], tmp_path / "model.onnx") == ""
    to_skops(model, tmp_path / "model.skops")
    np.testing.assert_allclose(
        OnnxModel(tmp_path / "model.onnx").raw(asked), model.predict(asked), rtol=1e-12
    )
    np.testing.assert_array_equal(SkopsModel(tmp_path / "model.skops", 0).raw(asked), model.predict(asked))


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"reach": -1}])
def test_what_cannot_be_fitted_is_refused(wrong):
    with pytest.raises(ValueError, match="expected alpha above 0 and reach of at least 0"):
        HorizonRidge(**wrong).fit(*rows())


def test_rows_without_any_horizon_are_refused():
    X, y = rows()
    X[:, 0] = np.nan
    with pytest.raises(ValueError, match="expected rows with a horizon"):
        HorizonRidge().fit(X, y)


def test_the_recipe_takes_columns_by_name():
    features = (
        Column("level", "number", "level", unit="MW"),
        Column("horizon_hours", "number", "horizon", unit="h"),
        Column("kind", "category", "kind", categories=("a", "b")),
    )
    found = horizon_ridge(features, {"crossed": ["level"], "left_out": [], "alpha": 4.0}, 7, 1)
    assert (found.horizon, found.categories, found.crossed, found.alpha) == (1, [(2, 2)], [0], 4.0)
    with pytest.raises(UnknownNameError, match=r"feature in left_out of horizon_ridge.*did you mean 'level'"):
        horizon_ridge(features, {"left_out": ["levle"]}, 7, 1)
