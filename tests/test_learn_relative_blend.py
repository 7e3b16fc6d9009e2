"""Learning relative to a feature, and blends: what they answer, weigh, refuse and ship."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_fixtures import cars
from scipy.optimize import minimize
from series_rows import daily_table
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

from perennial.config import Learn
from perennial.errors import PerennialError, UnknownNameError
from perennial.learn.blending import best_members, inner_folds
from perennial.learn.candidate_checks import check_candidates
from perennial.learn.fitting import unfitted
from perennial.learn.models import FittedModel, fit
from perennial.learn.rows import Rows, moments_of
from perennial.learn.tasks import task_of
from perennial.learn.tune import search
from perennial.live import models
from perennial.live.estimators.blend import Blend, convex_weights
from perennial.live.estimators.relative import Relative
from perennial.live.export.convert import to_onnx, to_skops
from perennial.live.export.parity import parity
from perennial.table import Table

RIDGE, BOOSTED = {"name": "ridge"}, {"name": "lightgbm", "parameters": {"n_estimators": 20}}
MEMBERS = {"members": [RIDGE, BOOSTED]}
CLASS_MEMBERS = {"members": [{"name": "logistic"}, BOOSTED]}


def rules(*candidates: Any, **rest: Any) -> Learn:
    return Learn(candidates=candidates or (RIDGE,), threads=2, **rest)


def served(fitted: FittedModel, table: Table, folder: Path) -> float:
    """The largest difference between the fitted model and its export, in the gate's own rows and measure."""
    assert to_onnx(fitted.estimator, table.X.shape[1], folder / "m.onnx") == ""
    found = parity(
        models.FittedModel(fitted.estimator, len(fitted.rule.classes)),
        models.OnnxModel(folder / "m.onnx"),
        table.X,
        np.array([c.kind != "number" for c in table.contract.features]),
        fitted.rule,
        1,
    )
    assert found.passed and found.rows_missing > 100
    return max(found.largest, found.largest_near, found.largest_missing)


def assert_round_trip(fitted: FittedModel, again: FittedModel, table: Table, folder: Path) -> None:
    """skops gives the same bits back, a second fit the same bytes, and the restored model can be cloned."""
    to_skops(fitted.estimator, folder / "first.skops")
    to_skops(again.estimator, folder / "second.skops")
    assert (folder / "first.skops").read_bytes() == (folder / "second.skops").read_bytes()
    n_classes = len(fitted.rule.classes)
    restored = models.SkopsModel(folder / "first.skops", n_classes)
    expected = models.FittedModel(fitted.estimator, n_classes).raw(table.X)
    np.testing.assert_array_equal(restored.raw(table.X), expected)
    assert clone(restored.estimator).get_params().keys() == fitted.estimator.get_params().keys()


@pytest.mark.parametrize("scale", ["identity", "log"])
def test_relative_learns_the_target_less_the_feature_and_adds_it_again(scale: str) -> None:
    table = daily_table(200)
    fitted = fit(table, "ridge", {}, rules(target_scale=scale, relative_to="index"), seed=0)
    place = [c.name for c in table.contract.features].index("index")
    told = np.log if scale == "log" else np.asarray
    learner = clone(fitted.estimator.estimator).fit(table.X, told(table.y) - told(table.X[:, place]))
    np.testing.assert_allclose(
        fitted.raw(table.X), learner.predict(table.X) + told(table.X[:, place]), rtol=1e-12
    )


def test_relative_follows_a_level_that_training_never_saw() -> None:
    table, far = daily_table(300), daily_table(100, seed=1)
    numbers = [c.name for c in table.contract.features if c.unit == "points"]
    far.frame[[*numbers, "index_next"]] += 500.0
    errors = [
        np.abs(fit(table, "lightgbm", {}, rules(relative_to=name), seed=0).predict(far).prediction - far.y)
        for name in ("index", None)
    ]
    assert errors[0].mean() < 20.0 < 400.0 < errors[1].mean()


def test_a_missing_reference_counts_as_the_median_of_training_and_so_does_a_negative_one_of_logs() -> None:
    X = np.array([[1.0], [2.0], [30.0], [np.nan], [-5.0]])
    plain = Relative(LinearRegression(), 0).fit(X[[0, 1, 2]], np.array([1.0, 2.0, 30.0]))
    assert plain.median_ == 2.0
    logs = Relative(Constant(), 0, log=True).fit(X, np.zeros(5))
    np.testing.assert_allclose(logs.predict(X), np.log([1.0, 2.0, 30.0, 2.0, 2.0]))
    with pytest.raises(ValueError, match="no row with a positive number in the reference, column 0"):
        Relative(Constant(), 0, log=True).fit(-np.abs(X), np.zeros(5))


class Constant(LinearRegression):  # type: ignore[misc]
    def fit(self, X: Any, y: Any) -> Constant:
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


@pytest.mark.parametrize("scale", ["identity", "log"])
@pytest.mark.parametrize("name", ["lightgbm", "ridge", "blend"])
def test_a_relative_model_is_served_as_fitted(name: str, scale: str, tmp_path: Path) -> None:
    table = daily_table(300, holes=0.05)
    table.frame.loc[::10, "index"] = np.nan
    parameters = MEMBERS if name == "blend" else {}
    learn = rules(target_scale=scale, relative_to="index")
    fitted, again = (fit(table, name, parameters, learn, seed=0) for _ in range(2))
    assert served(fitted, table, tmp_path) < 1e-12
    assert_round_trip(fitted, again, table, tmp_path)


def test_a_wrong_reference_is_told_with_the_nearest_name() -> None:
    table = daily_table(50)
    learn = rules(relative_to="indx")
    found = [str(v) for v in check_candidates(learn, "regression", lambda: table.contract.features)]
    assert found[0].startswith(
        "learn.relative_to: expected a number among the features, found 'indx'; did you mean"
    )
    assert check_candidates(rules(relative_to="index"), "regression", lambda: table.contract.features) == []
    assert "relative_to: expected none" in str(
        check_candidates(rules({"name": "logistic"}, relative_to="a"), "classification")[0]
    )
    with pytest.raises(UnknownNameError, match=r"feature in learn.relative_to, found 'model'"):
        fit(table, "ridge", {}, rules(relative_to="model"), seed=0)


def test_weights_are_the_best_of_all_that_are_positive_and_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        errors = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3)) + rng.normal(size=3)
        found = convex_weights(errors)
        best = minimize(
            lambda w, e=errors: float(np.sum((e @ w) ** 2)),
            np.full(3, 1 / 3),
            bounds=[(0, 1)] * 3,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-14},
        )
        np.testing.assert_allclose(found, best.x, atol=1e-5)
    np.testing.assert_allclose(convex_weights(np.zeros((10, 4))), 0.25)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_blend_is_the_weighted_mean_of_its_members(task: str) -> None:
    table = cars(400, 0, classes=task == "classification")
    members = CLASS_MEMBERS if task == "classification" else MEMBERS
    fitted = fit(table, "blend", members, rules(), seed=3)
    blend = fitted.estimator
    assert np.isclose(blend.shares_.sum(), 1.0)
    assert len(blend.members_) == (blend.shares_ > 0).sum()
    alone = [fit(table, m["name"], m.get("parameters", {}), rules(), seed=3) for m in members["members"]]
    expected = sum(share * one.raw(table.X) for share, one in zip(blend.shares_, alone, strict=True))
    np.testing.assert_allclose(fitted.raw(table.X), expected, rtol=1e-10)
    equal = fit(table, "blend", {**members, "weights": "equal"}, rules(), seed=3)
    np.testing.assert_allclose(equal.estimator.weights_, [0.5, 0.5])


def test_weights_come_from_rows_that_members_did_not_see() -> None:
    """A nearest neighbour knows its own rows by heart, so that weights from seen rows would trust it alone."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = X[:, 0] + rng.normal(size=300)
    from sklearn.neighbors import KNeighborsRegressor

    members = [("heart", KNeighborsRegressor(1)), ("line", LinearRegression())]
    rows = Rows(X, y, None, np.arange(300), 0)
    blend = Blend(members).fit(X, y, folds=inner_folds(rows))
    assert blend.shares_[1] > 0.8
    assert Blend(members).fit(X, y, folds=[(np.arange(300), np.arange(300))]).shares_[0] > 0.9


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_blend_is_served_as_fitted_and_the_same_bits_come_out_again(task: str, tmp_path: Path) -> None:
    table = cars(400, 0, classes=task == "classification")
    members = CLASS_MEMBERS if task == "classification" else MEMBERS
    fitted, again = (fit(table, "blend", members, rules(gaps=0.2), seed=3) for _ in range(2))
    assert fitted.raw(table.X).tobytes() == again.raw(table.X).tobytes()
    assert served(fitted, table, tmp_path) < 1e-12
    assert_round_trip(fitted, again, table, tmp_path)


def test_few_rows_count_members_alike() -> None:
    assert fit(daily_table(30), "blend", MEMBERS, rules(), seed=0).estimator.shares_.tolist() == [0.5, 0.5]


def test_inner_folds_of_a_series_walk_forward_and_use_no_truth_of_later() -> None:
    table = daily_table(90, ahead=7)
    moments = moments_of(table)
    assert moments is not None
    order = np.random.default_rng(0).permutation(len(table))
    folds = inner_folds(Rows(table.X[order], table.y[order], moments[order], np.arange(90), 0))
    assert len(folds) == 3
    for seen, unseen in folds:
        assert moments[order][seen, 1].max() <= moments[order][unseen, 0].min()
    assert sum(len(unseen) for _, unseen in folds) == 45


def test_inner_folds_of_other_rows_keep_what_is_alike_together() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    X[0, 0] = np.nan
    X = np.concatenate([X, X[:20], X[:10]])  # twenty twins, then ten copies with other values
    X[80:] = np.nan
    source = np.append(np.arange(80), np.arange(10))
    y = np.arange(90.0) % 60
    y[80:] = y[:10]
    folds = inner_folds(Rows(X, y, None, source, 1))
    weighed = np.concatenate([unseen for _, unseen in folds])
    assert sorted(weighed) == list(range(80))
    for seen, unseen in folds:
        alike = {row % 60 if row < 80 else row - 80 for row in unseen}
        assert not alike & {row % 60 if row < 80 else row - 80 for row in seen}


def test_members_are_checked_like_candidates() -> None:
    def told(parameters: dict[str, Any]) -> list[str]:
        learn = rules(RIDGE, {"name": "blend", "parameters": parameters})
        return [str(v) for v in check_candidates(learn, "regression")]

    assert told(MEMBERS) == told({"members": "best", "count": 2}) == []
    where = "learn.candidates.1.parameters.members"
    assert told({}) == [f"{where}: expected 2 or more candidates, each with a name, or best, found None"]
    assert told({"members": [RIDGE, {"name": "rigde"}]})[0].startswith(
        f"{where}.1.name: expected a candidate for regression, found 'rigde'; did you mean 'ridge'?"
    )
    nested = {"name": "blend", "parameters": MEMBERS}
    assert "no blend itself" in told({"members": [RIDGE, nested]})[0]
    assert "parameters.alfa" in told({"members": [RIDGE, {"name": "ridge", "parameters": {"alfa": 1}}]})[0]
    first = rules({"name": "blend", "parameters": {"members": "best"}}, RIDGE)
    assert "expected a default that is known before the search" in str(
        check_candidates(first, "regression")[0]
    )
    with pytest.raises(PerennialError, match="members 'best' that are no list of 2 or more candidates"):
        fit(daily_table(60), "blend", {"members": "best"}, rules(), seed=0)


def test_a_search_ends_with_a_blend_of_its_best_trials() -> None:
    table = daily_table(200)
    learn = rules(
        {"name": "ridge", "trials": 2},
        {"name": "blend", "parameters": {"members": "best", "count": 3}},
        BOOSTED,
        folds=2,
    )
    folds = [(np.arange(100), np.arange(100, 150)), (np.arange(150), np.arange(150, 200))]
    found = search(table, folds, learn, task_of(table.contract), 0, time.monotonic)
    *others, last = found.trials
    assert last.candidate == "blend" and "blend" not in {t.candidate for t in others}
    members = [(m["name"], m["parameters"]) for m in last.parameters["members"]]
    ranked = sorted(others, key=lambda trial: trial.score)
    assert members[0] == (ranked[0].candidate, ranked[0].parameters)
    assert {name for name, _ in members[:2]} == {"ridge", "lightgbm"} and len(members) == 3
    assert best_members(others, 2) == last.parameters["members"][:2]
    fit(table, last.candidate, last.parameters, learn, seed=0)


def test_members_of_a_blend_learn_relative_and_the_blend_adds_nothing() -> None:
    features = daily_table(50).contract.features
    blend = unfitted("blend", "regression", features, MEMBERS, 0, 1, rules(relative_to="index"))
    assert type(blend) is Blend and all(type(member) is Relative for _, member in blend.members)
