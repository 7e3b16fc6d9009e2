"""The search: what it tries, what it sees, when it stops and what it chooses."""

import itertools
import sys

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from test_learn_models import class_table, folds_of, learn_config, number_table

from perennial.errors import MissingLayerError, NotEnoughDataError, PerennialError, ViolationsError
from perennial.evidence import Trial
from perennial.learn.cross import CrossValidation
from perennial.learn.models import fit, raw_output
from perennial.learn.tune import choose, search

SMALL = {"name": "random_forest", "parameters": {"n_estimators": 5, "max_depth": 7}}


def ticking(step=1.0):
    """A clock that moves `step` seconds whenever somebody looks."""
    count = itertools.count()
    return lambda: step * next(count)


def trial(*folds, candidate="x"):
    return Trial(
        candidate=candidate,
        parameters={},
        metric="m_error",
        score=float(np.mean(folds)),
        folds=folds,
        seconds=0,
    )


def facts(result):
    """All of a search result but its times."""
    return [(t.candidate, t.parameters, t.folds) for t in result.trials], result.best.parameters


def test_fixed_parameters_come_first_then_draws_in_turns():
    learn = learn_config({**SMALL, "trials": 2}, {"name": "logistic", "trials": 1})
    told = []
    result = search(class_table(120), folds_of(120), learn, "classification", 1, ticking(), told.append)
    assert [t.candidate for t in result.trials] == [
        "random_forest",
        "logistic",
        "random_forest",
        "logistic",
        "random_forest",
    ]
    assert told[-1].best.score == min(t.score for t in result.trials) and not result.budget_exhausted
    assert told[-1].done == told[-1].planned == 15 and not told[-1].running
    forests = [t.parameters for t in result.trials if t.candidate == "random_forest"]
    assert all((p["n_estimators"], p["max_depth"]) == (5, 7) for p in forests)
    assert len({str(t.parameters) for t in result.trials}) == 5
    assert all(t.metric == "log_loss_error" and len(t.folds) == 3 for t in result.trials)
    assert all(t.score == pytest.approx(np.mean(t.folds)) and t.seconds > 0 for t in result.trials)


def test_the_same_seed_gives_the_same_search_and_another_seed_another():
    learn = learn_config({**SMALL, "trials": 2}, {"name": "lightgbm", "trials": 1})
    table, folds = class_table(150), folds_of(150)
    first, second, other = (
        search(table, folds, learn, "classification", seed, ticking()) for seed in (4, 4, 5)
    )
    assert facts(first) == facts(second)
    assert facts(first) != facts(other)


def test_the_budget_stops_new_trials_says_so_and_changes_none_that_ran():
    many = learn_config({**SMALL, "trials": 6}, {"name": "logistic", "trials": 6}, budget_s=20)
    table, folds = class_table(120), folds_of(120)
    cut = search(table, folds, many, "classification", 2, ticking(2.0))
    assert cut.budget_exhausted and 1 < len(cut.trials) < 10
    whole = search(table, folds, many, "classification", 2, ticking(0.0))
    assert not whole.budget_exhausted and len(whole.trials) == 14
    assert facts(whole)[0][: len(cut.trials)] == facts(cut)[0]
    late = learn_config({**SMALL, "trials": 6}, budget_s=1e-9)
    assert len(search(table, folds, late, "classification", 2, ticking()).trials) == 1


def test_fold_scores_equal_a_plain_cross_validation():
    table, folds = number_table(200), folds_of(200)
    learn = learn_config({"name": "ridge"}, target_scale="log")
    (only,) = search(table, folds, learn, "regression", 0, ticking()).trials
    X, y = table.X, np.log(table.y)
    age = (X[:, [2]] - 5) / 3
    codes = np.column_stack([X[:, [0]] == np.arange(2), X[:, [1]] == np.arange(8)])
    want = []
    for fitted, scored in folds:
        centre, spread = age[fitted].mean(), age[fitted].std()
        design = np.column_stack([(age - centre) / spread, codes])
        model = Ridge(alpha=1.0).fit(design[fitted], y[fitted])
        want.append(np.abs(model.predict(design[scored]) - y[scored]).mean())
    assert only.folds == pytest.approx(want, rel=1e-6)
    assert only.metric == "mean_absolute_error"


def test_rows_outside_the_folds_change_nothing():
    table = class_table(200)
    folds = folds_of(120)
    other = class_table(200)
    other.frame.loc[120:, ["x0", "x1", "x2"]] = 1e6
    learn = learn_config(SMALL)
    first, second = (search(t, folds, learn, "classification", 1, ticking()) for t in (table, other))
    assert facts(first) == facts(second)


def test_search_rows_caps_what_the_search_sees_by_a_seeded_sample():
    table, folds = class_table(300), folds_of(300)
    capped = learn_config(SMALL, search_rows=90)
    first = search(table, folds, capped, "classification", 1, ticking())
    again = search(table, folds, capped, "classification", 1, ticking())
    whole = search(table, folds, learn_config(SMALL), "classification", 1, ticking())
    assert facts(first) == facts(again) != facts(whole)
    enough = search(table, folds, learn_config(SMALL, search_rows=300), "classification", 1, ticking())
    assert facts(enough) == facts(whole)
    with pytest.raises(NotEnoughDataError, match=r"learn\.search_rows"):
        search(table, folds, learn_config(SMALL, search_rows=1), "classification", 1, ticking())


@pytest.mark.parametrize(
    ("default", "other", "margin", "chosen"),
    [
        ((1.0, 1.2, 1.1), (0.9, 1.1, 1.0), 1.0, "other"),  # ahead by the same in every fold
        ((1.0, 1.2, 1.1), (0.7, 1.3, 1.2), 1.0, "default"),  # ahead on average, within one standard error
        ((1.0, 1.2, 1.1), (0.7, 1.3, 1.2), 0.0, "other"),
        ((1.0, 1.2, 1.1), (1.0, 1.2, 1.1), 0.0, "default"),
        ((1.0, 1.2, 1.1), (1.1, 1.3, 1.2), 0.0, "default"),
    ],
)
def test_the_default_stays_unless_another_is_clearly_ahead(default, other, margin, chosen):
    trials = [trial(*default, candidate="default"), trial(*other, candidate="other")]
    assert choose(trials, margin).candidate == chosen


def test_of_all_that_are_clearly_ahead_the_best_is_chosen():
    trials = [trial(2, 2), trial(1.5, 1.5, candidate="good"), trial(1, 1, candidate="best"), trial(0, 1.9)]
    assert choose(trials, 1.2).candidate == "best"


def test_a_missing_package_skips_its_candidate_with_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    table, folds = class_table(100), folds_of(100)
    learn = learn_config({"name": "lightgbm", "trials": 2}, SMALL)
    result = search(table, folds, learn, "classification", 0, ticking())
    assert [t.candidate for t in result.trials] == [result.best.candidate] == ["random_forest"]
    assert len(result.skipped) == 1
    assert result.skipped[0].startswith("lightgbm was skipped: expected the package lightgbm")
    with pytest.raises(MissingLayerError, match=r"install requirements/base\.in"):
        search(table, folds, learn_config({"name": "lightgbm"}), "classification", 0, ticking())


def test_a_trial_that_fails_is_an_error_and_no_score():
    learn = learn_config(SMALL, {"name": "logistic", "parameters": {"C": -1.0}})
    with pytest.raises(PerennialError, match=r"candidate logistic with .*'C': -1\.0"):
        search(class_table(90), folds_of(90), learn, "classification", 0, ticking())
    with pytest.raises(ViolationsError, match="did you mean 'logistic'"):
        search(
            class_table(90), folds_of(90), learn_config({"name": "logistik"}), "classification", 0, ticking()
        )


@pytest.mark.parametrize("name", ["ridge", "random_forest", "hist_gradient_boosting", "lightgbm"])
def test_folds_fitted_at_once_give_the_same_bits_as_folds_in_turn(name):
    table, folds = number_table(3000), folds_of(3000, folds=4)
    at_once, in_turn = (
        learn_config({"name": name, "trials": 1}, target_scale="log", gaps=0.1).model_copy(
            update={"threads": threads}
        )
        for threads in (4, 1)
    )
    first, second = (search(table, folds, how, "regression", 1, ticking()) for how in (at_once, in_turn))
    assert facts(first) == facts(second)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_what_a_fold_scores_comes_from_a_model_that_did_not_see_it(task):
    table = class_table(150) if task == "classification" else number_table(150)
    folds = folds_of(150)
    learn = learn_config(SMALL)
    (best,) = search(table, folds, learn, task, 3, ticking()).trials
    cross = CrossValidation(table, folds, learn, task, 3)
    raw = cross.each(
        best.candidate,
        best.parameters,
        lambda estimator, scored: raw_output(estimator, table.X[scored], len(cross.classes)),
    )
    for (fitted_rows, scored), found in zip(folds, raw, strict=True):
        model = fit(table.rows(fitted_rows), best.candidate, best.parameters, learn, 3)
        np.testing.assert_array_equal(found, model.raw(table.X[scored]))
