"""Candidates, fitted models, baselines and prediction intervals."""

import json
from importlib.util import find_spec
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from series_rows import daily_table

from perennial.config import Learn
from perennial.errors import InputError, NotEnoughDataError, PerennialError, UnknownNameError
from perennial.learn.baselines import GROUP_ROWS, baselines_for, fit_baseline
from perennial.learn.candidate_checks import check_candidates
from perennial.learn.candidates import CANDIDATES, kind_of
from perennial.learn.intervals import conformal_interval
from perennial.learn.models import fit
from perennial.learn.spaces import draw
from perennial.learn.tasks import task_of
from perennial.live.answer import AnswerRule, answer
from perennial.table import Column, Contract, Table


def class_table(rows=400, classes=("no", "yes"), seed=0, holes=0.05):
    """Three numbers and a category that carry a class; some values are missing."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 3)), columns=["x0", "x1", "x2"])
    frame["colour"] = rng.choice(["blue", "green", "red"], size=rows)
    drive = 2 * frame["x0"] - frame["x1"] + (frame["colour"] == "red") + 0.5 * rng.normal(size=rows)
    ranks = drive.rank(pct=True, method="first").to_numpy()
    label = np.asarray(classes)[np.minimum((ranks * len(classes)).astype(int), len(classes) - 1)]
    frame = frame.mask(rng.random(frame.shape) < holes)
    frame["label"], frame["id"] = label, [f"r{i}" for i in range(rows)]
    columns = [Column(n, "number", n, unit="1", nullable=True) for n in ("x0", "x1", "x2")]
    columns += [
        Column("colour", "category", "colour", categories=("blue", "green", "red"), nullable=True),
        Column("label", "category", "class", role="target", categories=tuple(sorted(classes))),
        Column("id", "text", "row", role="id"),
    ]
    return Table(frame, Contract("toy", tuple(columns)))


def number_table(rows=600, seed=0, holes=0.0):
    """Prices that depend on make, model and age, with errors in proportion to the price."""
    rng = np.random.default_rng(seed)
    makes = rng.choice(["audi", "ford"], size=rows)
    models = np.array([f"{m}-{k}" for m, k in zip(makes, rng.integers(0, 4, rows), strict=True)])
    frame = pd.DataFrame({"make": makes, "model": models, "age": rng.uniform(0, 10, rows)})
    log_price = 9 + 0.5 * (makes == "audi") + 0.1 * np.array([int(m[-1]) for m in models])
    log_price = log_price - 0.1 * frame["age"] + 0.1 * rng.normal(size=rows)
    frame = frame.mask(rng.random(frame.shape) < holes)
    frame["price"], frame["id"] = np.exp(log_price), [f"r{i}" for i in range(rows)]
    contract = Contract(
        "cars",
        (
            Column("make", "category", "make", categories=("audi", "ford"), nullable=True),
            Column("model", "category", "model", categories=tuple(sorted(set(models))), nullable=True),
            Column("age", "number", "age", unit="years", nullable=True),
            Column("price", "number", "price", role="target", unit="GBP"),
            Column("id", "text", "row", role="id"),
        ),
    )
    return Table(frame, contract)


def learn_config(*candidates, **rest):
    """A learn section with the given candidates."""
    return Learn(candidates=candidates or ({"name": "random_forest"},), threads=2, **rest)


def folds_of(rows, folds=3, seed=0):
    """Positions of plain shuffled folds."""
    order = np.random.default_rng(seed).permutation(rows)
    parts = [np.sort(p) for p in np.array_split(order, folds)]
    return [(np.setdiff1d(np.arange(rows), p), p) for p in parts]


HAS_TORCH = find_spec("torch") is not None
ABLE = [
    pytest.param(
        *(name, task),
        marks=pytest.mark.skipif(
            name == "lstm" and not HAS_TORCH, reason="needs PyTorch, requirements/deep.in"
        ),
        id=f"{name}-{task}",
    )
    for name, kind in CANDIDATES.items()
    for task in kind.build
]
OF_SERIES = ("horizon_ridge", "auto_arima", "lstm")


def table_for(task, name, **options):
    """Rows that the candidate can be fitted to."""
    if name in OF_SERIES:
        return daily_table(**options, lags=10)
    return class_table(**options) if task == "classification" else number_table(**options)


def needed(name, task):
    """The parameters without which the candidate cannot be fitted."""
    first = "logistic" if task == "classification" else "ridge"
    members = [{"name": first}, {"name": "lightgbm", "parameters": {"n_estimators": 10}}]
    history = {"history": "index"}
    return {"blend": {"members": members}, "auto_arima": history, "lstm": history}.get(name, {})


@pytest.mark.parametrize(("name", "task"), ABLE)
def test_every_candidate_learns_and_answers_with_holes_and_unknown_categories(name, task):
    table = table_for(task, name, rows=300, holes=0.1)
    fitted = fit(table, name, needed(name, task), learn_config(), seed=1)
    strange = table_for(task, name, rows=50, seed=5, holes=0.3)
    category = "colour" if task == "classification" else "model"
    strange.frame.loc[::3, category] = "never seen"
    raw = fitted.raw(strange.X)
    assert raw.shape == ((50, 2) if task == "classification" else (50,))
    assert np.isfinite(raw).all()
    fresh = table_for(task, name, rows=300, seed=9)
    answers = fitted.predict(fresh)
    if task == "classification":
        np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1)
        assert (answers.prediction == fresh.y).mean() > 0.8
    else:
        error = np.abs(answers.prediction - fresh.y).mean()
        assert error < 0.6 * np.abs(np.median(table.y) - fresh.y).mean()


@pytest.mark.parametrize(("name", "task"), ABLE)
def test_batch_equals_one_row_at_a_time(name, task):
    table = table_for(task, name, rows=200, holes=0.1)
    fitted = fit(table, name, needed(name, task), learn_config(), seed=1)
    X = table.X[:20]
    one_by_one = np.concatenate([fitted.raw(X[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(fitted.raw(X), one_by_one, rtol=1e-12, atol=1e-15)
    assert fitted.raw(X[:0]).shape == one_by_one[:0].shape


@pytest.mark.parametrize(("name", "task"), ABLE)
def test_the_same_seed_gives_the_same_bits_on_two_threads(name, task, monkeypatch):
    monkeypatch.setattr("perennial.learn.models.SMALL_FIT", 0)
    table = table_for(task, name, rows=500 if name in (*OF_SERIES, "blend") else 4000)
    small = {
        **{tree: {"n_estimators": 8} for tree in ("random_forest", "lightgbm", "lightgbm_quantile")},
        "hist_gradient_boosting": {"max_iter": 20},
        "lstm": {"history": "index", "epochs": 5},
    }.get(name, needed(name, task))
    first, second = (fit(table, name, small, learn_config(), seed=3).raw(table.X) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(("name", "task"), ABLE)
def test_skops_keeps_every_candidate_to_the_bit(name, task):
    import skops.io

    table = table_for(task, name, rows=150, holes=0.1)
    fitted = fit(table, name, needed(name, task), learn_config(), seed=1)
    data = skops.io.dumps(fitted.estimator)
    loaded = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    predict = "predict_proba" if task == "classification" else "predict"
    assert (
        getattr(loaded, predict)(table.X).tobytes() == getattr(fitted.estimator, predict)(table.X).tobytes()
    )


@pytest.mark.parametrize(("name", "task"), ABLE)
def test_every_parameter_that_a_config_may_set_is_one_of_the_learner(name, task):
    kind = kind_of(name)
    assert set(kind.defaults) | set(kind.space) <= set(kind.parameters)
    features = table_for(task, name, rows=20).contract.features
    estimator = kind.build[task](features, {**kind.defaults, **needed(name, task)}, 0, 1)
    learner = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    own = {
        "lightgbm": {"categories"},
        "lightgbm_quantile": {"categories"},
        "auto_arima": {"history", "length"},
        "lstm": {"history", "length"},
        "blend": {"count"},
        "random_forest": {"class_weight"},
        "hist_gradient_boosting": {"class_weight"},
    }
    passed_on = set(kind.parameters) - own.get(name, set())
    if name.startswith("lightgbm"):
        from lightgbm.basic import _ConfigAliases

        every = _ConfigAliases.get(*_ConfigAliases._get_all_param_aliases()) | set(learner.get_params())
        assert passed_on <= every
    else:
        assert passed_on <= set(learner.get_params(deep=False))


@pytest.mark.parametrize(("name", "task"), ABLE)
def test_random_draws_are_plain_repeat_with_the_seed_and_can_be_fitted(name, task):
    space = CANDIDATES[name].space
    drawn = [draw(space, np.random.default_rng(s)) for s in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2] or not space
    assert json.loads(json.dumps(drawn)) == drawn
    fit(table_for(task, name, rows=120), name, needed(name, task) | drawn[2], learn_config(), seed=0)


def test_three_classes_keep_their_order_and_unseen_ones_get_probability_zero():
    table = class_table(300, classes=("c", "a", "b"))
    fitted = fit(table, "logistic", {}, learn_config(), seed=0)
    assert fitted.rule.classes == ("a", "b", "c")
    answers = fitted.predict(table)
    for i, name in enumerate(fitted.rule.classes):
        claimed = answers.probabilities[table.y == name, i].mean()
        assert claimed > answers.probabilities[table.y != name, i].mean() + 0.3
    from perennial.learn.models import raw_output

    assert raw_output(fitted.estimator, table.X[:5], 5)[:, 3:].tolist() == [[0.0, 0.0]] * 5


def test_the_log_scale_learns_the_logarithm_and_answers_in_the_targets_unit():
    table = number_table()
    fitted = fit(table, "ridge", {}, learn_config(target_scale="log"), seed=0)
    np.testing.assert_array_equal(fitted.predict(table).prediction, np.exp(fitted.raw(table.X)))
    assert fitted.rule.unit == "GBP" and fitted.rule.scale == "log"
    table.frame.loc[3, "price"] = 0.0
    with pytest.raises(InputError, match=r"expected every price to be positive.*found 1 of 600"):
        fit(table, "ridge", {}, learn_config(target_scale="log"), seed=0)


def test_fitting_changes_neither_the_table_nor_the_parameters():
    table, parameters = class_table(100), {"n_estimators": 5}
    before = table.frame.copy(deep=True)
    fit(table, "random_forest", parameters, learn_config(), seed=0)
    pd.testing.assert_frame_equal(table.frame, before)
    assert parameters == {"n_estimators": 5}


def test_lightgbm_splits_categories_by_name_and_not_by_the_order_of_their_codes():
    rng = np.random.default_rng(0)
    names = [f"c{i:02d}" for i in range(40)]
    frame = pd.DataFrame({"c": rng.choice(names, 2000), "id": np.arange(2000)})
    frame["y"] = np.array([crc32(v.encode()) % 2 for v in frame["c"]], dtype=float)
    contract = Contract(
        "t",
        (
            Column("c", "category", "c", categories=tuple(names)),
            Column("y", "number", "y", role="target"),
            Column("id", "integer", "id", role="id"),
        ),
    )
    table = Table(frame, contract)
    native = fit(table, "lightgbm", {"n_estimators": 3, "num_leaves": 3}, learn_config(), seed=0)
    codes = fit(
        table, "lightgbm", {"n_estimators": 3, "num_leaves": 3, "categories": "codes"}, learn_config(), seed=0
    )
    spread = [np.abs(m.predict(table).prediction - table.y).mean() for m in (native, codes)]
    assert spread[0] < spread[1]


def test_misspelt_candidates_and_parameters_are_all_told_with_the_nearest_name():
    learn = learn_config(
        {"name": "random_forrest"},
        {"name": "ridge"},
        {"name": "lightgbm", "parameters": {"num_leafs": 3, "learning_rat": 0.1}},
    )
    found = [str(v) for v in check_candidates(learn, "classification")]
    assert found == [
        "learn.candidates.0.name: expected a candidate for classification, found 'random_forrest'; "
        "did you mean 'random_forest'?",
        "learn.candidates.1.name: expected a candidate for classification, found 'ridge'; known are: "
        "blend, hist_gradient_boosting, lightgbm, logistic, random_forest",
        "learn.candidates.2.parameters.num_leafs: expected a parameter of lightgbm, found 'num_leafs'; "
        "did you mean 'num_leaves'?",
        "learn.candidates.2.parameters.learning_rat: expected a parameter of lightgbm, found 'learning_rat'; "
        "did you mean 'learning_rate'?",
    ]
    assert check_candidates(learn_config({"name": "ridge"}), "regression") == []


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("random_forest", {"max_depth": -3}), ("lightgbm", {"num_leaves": -1}), ("logistic", {"C": "much"})],
)
def test_a_refused_parameter_names_the_candidate(name, parameters):
    with pytest.raises(PerennialError, match=f"candidate {name} with .*mend its parameters"):
        fit(class_table(60), name, parameters, learn_config(), seed=0)


def test_one_class_alone_and_an_unknown_candidate_are_refused():
    table = class_table(60)
    table.frame["label"] = "yes"
    with pytest.raises(InputError, match="at least two classes in label, found only yes"):
        fit(table, "logistic", {}, learn_config(), seed=0)
    with pytest.raises(UnknownNameError, match="did you mean 'ridge'"):
        fit(number_table(50), "rigde", {}, learn_config(), seed=0)
    with pytest.raises(InputError, match="expected a candidate for regression, found 'logistic'"):
        fit(number_table(50), "logistic", {}, learn_config(), seed=0)


def test_class_baselines_are_the_shares_and_the_commonest_class():
    table = class_table(90, classes=("a", "b", "c"))
    table.frame.loc[:59, "label"] = "b"
    shares = pd.Series(table.y).value_counts(normalize=True).sort_index().to_numpy()
    prior = fit_baseline("prior", table).predict(table.rows(np.arange(4)))
    np.testing.assert_allclose(prior.probabilities, np.tile(shares, (4, 1)))
    majority = fit_baseline("majority", table).predict(table.rows(np.arange(4)))
    assert majority.prediction.tolist() == prior.prediction.tolist() == ["b"] * 4
    assert majority.probabilities.tolist() == [[0, 1, 0]] * 4
    assert baselines_for(table.contract) == ("prior", "majority")


def test_group_median_equals_a_pandas_group_by_with_its_fallbacks():
    train = number_table(300)
    rare = train.frame.index[train.frame["model"] == "audi-1"][GROUP_ROWS - 1 :]
    train = train.rows(np.setdiff1d(np.arange(300), rare))
    asked = number_table(40, seed=3)
    asked.frame.loc[0, ["make", "model"]] = ["never seen", "never seen"]
    asked.frame.loc[1, "model"] = None
    got = fit_baseline("group_median", train).predict(asked).prediction
    by_both = train.frame.groupby(["make", "model"])["price"].median()
    by_make = train.frame.groupby("make")["price"].median()
    want = []
    for make, model in zip(asked.frame["make"], asked.frame["model"], strict=True):
        if (make, model) in by_both.index and model != "audi-1":
            want.append(by_both[make, model])
        else:
            want.append(by_make[make] if make in by_make.index else train.frame["price"].median())
    np.testing.assert_allclose(got, want)
    assert (asked.frame["model"] == "audi-1").any()


def test_baselines_that_do_not_fit_a_table_are_left_out():
    table = number_table(50)
    plain = Contract("cars", tuple(c for c in table.contract.columns if c.kind != "category"))
    assert baselines_for(table.contract) == ("group_median", "median")
    assert baselines_for(plain) == ("median",)
    assert task_of(plain) == "regression"
    with pytest.raises(UnknownNameError, match="expected a known baseline, found 'prior'"):
        fit_baseline("prior", table)


def test_conformal_intervals_cover_as_promised_also_where_errors_grow():
    rng = np.random.default_rng(0)
    covered, wide, narrow = [], [], []
    for _ in range(60):
        raw = rng.uniform(0, 10, 1200)
        truth = raw + (0.1 + raw) * rng.normal(size=1200)
        interval = conformal_interval(raw[:1000], truth[:1000], (0.9,), bins=5)
        rule = AnswerRule("regression", "y", interval=interval)
        answers = answer(raw[1000:], rule)
        inside = (truth[1000:] >= answers.low) & (truth[1000:] <= answers.high)
        covered.append(inside.mean())
        wide.append(inside[raw[1000:] > 8].mean())
        narrow.append(inside[raw[1000:] < 2].mean())
    assert 0.89 < np.mean(covered) < 0.925
    assert np.mean(wide) > 0.86 and np.mean(narrow) > 0.86


def test_one_bin_is_the_textbook_conformal_quantile():
    residuals = np.random.default_rng(1).normal(size=199)
    interval = conformal_interval(np.zeros(199), residuals, (0.9,), bins=1)
    assert interval.high == (np.sort(residuals)[189],)  # ceil(200 * 0.95) = 190th smallest
    assert interval.low == (np.sort(residuals)[9],)  # 10th smallest
    just = conformal_interval(np.zeros(19), residuals[:19], (0.9,))
    assert (just.low[0], just.high[0]) == (residuals[:19].min(), residuals[:19].max())
    with pytest.raises(NotEnoughDataError, match="expected at least 19 rows, found 18"):
        conformal_interval(np.zeros(18), residuals[:18], (0.9,))


def test_rows_in_no_fold_and_repeated_outputs_do_not_disturb_intervals():
    rng = np.random.default_rng(2)
    raw = np.repeat([1.0, 2.0, 5.0], 300)
    truth = raw + rng.normal(size=900)
    with_holes = np.concatenate([raw, np.full(50, np.nan)])
    interval = conformal_interval(with_holes, np.concatenate([truth, np.full(50, 99.0)]), (0.8,), bins=10)
    assert interval == conformal_interval(raw, truth, (0.8,), bins=10)
    assert list(interval.edges) == sorted(set(interval.edges))
    assert len(interval.low) == len(interval.high) == len(interval.edges) + 1
