"""Ways to search: what each tries on how many rows, what it gives up, and that chance has one seed."""

import io
import math
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_learn_models import class_table, folds_of, learn_config, number_table
from test_learn_tune import facts, ticking

from perennial.config import Learn
from perennial.config_search import HalvingSearch
from perennial.learn.candidates import is_whole
from perennial.learn.cross import CrossValidation
from perennial.learn.models import fit
from perennial.learn.search import runner
from perennial.learn.search.halving import rounds
from perennial.learn.search.runner import Standing
from perennial.learn.search.units import FEWEST_TREES, Unit, _thinned, places, score_unit
from perennial.learn.tune import _capped, search, summary
from perennial.table import Column, Contract, Table
from steps.progress import search_facts, search_progress

HALVING = {"kind": "halving", "factor": 3, "least_rows": 50}
OPTUNA = {"kind": "optuna", "at_once": 3}
LIGHT = {"name": "lightgbm", "parameters": {"n_estimators": 12}}
BOTH = pytest.mark.parametrize("how", [HALVING, OPTUNA], ids=lambda how: how["kind"])


def searched(how, *candidates, table=None, folds=3, seed=1, clock=None, **rest):
    table = table or class_table(900)
    learn = Learn.model_validate(learn_config(*candidates).model_dump() | {"search": how} | rest)
    task = "classification" if table.contract.target.kind == "category" else "regression"
    return search(table, folds_of(len(table), folds), learn, task, seed, clock or ticking())


@given(st.integers(1, 500), st.integers(60, 10**6), st.floats(2, 8), st.integers(50, 5000))
@settings(deadline=None)
def test_rounds_grow_in_rows_as_they_shrink_in_draws(draws, rows, factor, least_rows):
    rules = HalvingSearch(factor=factor, least_rows=least_rows)
    found = rounds(draws, rows, rules)
    for number, (share, kept) in enumerate(found):
        assert share == pytest.approx(factor ** (number - len(found))) and share * rows >= least_rows * 0.999
        assert 1 <= kept == math.floor(draws / factor ** (number + 1) + 1e-9)
    deeper = factor ** -(len(found) + 1)
    assert draws * deeper < 1 + 1e-6 or rows * deeper < least_rows * 1.001


def test_halving_gives_up_on_few_rows_what_it_does_not_finish_on_all():
    halved = searched(HALVING, {**LIGHT, "trials": 19})
    plain = searched({"kind": "random"}, {**LIGHT, "trials": 19})
    assert halved.kind == "halving" and not halved.budget_exhausted
    whole = {str(trial.parameters): trial.folds for trial in plain.trials}
    assert all(trial.folds == whole.pop(str(trial.parameters)) for trial in halved.trials)
    assert halved.trials[0] == plain.trials[0].model_copy(update={"seconds": halved.trials[0].seconds})
    assert len(halved.trials) == 1 + 2
    assert {str(trial.parameters) for trial in halved.early} == set(whole)
    for share, count in ((1 / 9, 13), (1 / 3, 4)):
        lost = [trial.score for trial in halved.early if trial.share == pytest.approx(share)]
        assert len(lost) == count and lost == sorted(lost)
    assert "gave up 17 early" in summary(halved)


def test_the_draws_that_go_on_are_the_best_of_their_round():
    halved = searched(HALVING, {**LIGHT, "trials": 8})
    table, folds = class_table(900), folds_of(900)
    problem = CrossValidation(table, folds, learn_config(LIGHT), "classification", 1).problem
    (_, *finished), lost = halved.trials, halved.early
    share = lost[0].share
    assert len(finished) == 2 and len(lost) == 6 and share == pytest.approx(1 / 3)
    for trial in finished:
        before = [score_unit(problem, Unit("lightgbm", trial.parameters, n, share)) for n in range(3)]
        assert np.mean(before) <= lost[0].score


def test_what_halving_scores_on_few_rows_is_a_fit_to_those_rows():
    table, folds = number_table(900), folds_of(900)
    learn = learn_config(LIGHT, target_scale="log")
    problem = CrossValidation(table, folds, learn, "regression", 4).problem
    place, (fitted, scored) = places(4, None, None, 900), folds[1]
    found = score_unit(problem, Unit("lightgbm", {"n_estimators": 12}, 1, 0.25))
    few, some = fitted[place[fitted] < 0.25], scored[place[scored] < 0.5]
    model = fit(table.rows(few), "lightgbm", {"n_estimators": FEWEST_TREES}, learn, 4)
    want = np.abs(model.raw(table.X[some]) - np.log(table.y[some])).mean()
    assert found == pytest.approx(want, rel=1e-12)


@given(st.integers(0, 20), st.floats(0.02, 0.98))
@settings(max_examples=20, deadline=None)
def test_few_rows_are_a_like_share_of_every_class_and_part_of_more(seed, share):
    classes = np.random.default_rng(seed).choice(3, 400, p=[0.7, 0.25, 0.05])
    place = places(seed, classes, None, 400)
    assert ((place > 0) & (place < 1)).all() and len(set(places(seed, None, None, 400))) == 400
    for name in (0, 1, 2):
        own = place[classes == name]
        assert abs((own < share).sum() - share * len(own)) <= 1


@given(st.integers(0, 20), st.floats(0.1, 0.9))
@settings(max_examples=20, deadline=None)
def test_rows_of_one_origin_are_drawn_together(seed, share):
    origin = np.random.default_rng(seed).integers(0, 50, 600).astype(float)
    place = places(seed, None, np.column_stack([origin, origin + 1.0]), 600)
    drawn = place < share
    for one in np.unique(origin):
        assert len(set(drawn[origin == one])) == 1
    assert drawn.mean() == pytest.approx(share, abs=0.04)


def test_what_learns_from_the_order_of_rows_is_fitted_to_all_of_them():
    assert is_whole("auto_arima", {}) and not is_whole("lightgbm", {})
    for name, whole in (("lstm", True), ("ridge", False)):
        members = [{"name": "ridge"}, {"name": name}]
        assert is_whole("blend", {"members": members}) == whole


def test_a_cap_on_the_rows_of_a_series_keeps_origins_whole():
    origin = np.repeat(np.arange(40), 5)
    frame = pd.DataFrame(
        {
            "known_at": pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(origin, unit="D"),
            "x": np.random.default_rng(0).normal(size=200),
        }
    )
    frame["time"] = frame["known_at"] + pd.to_timedelta(np.tile(np.arange(1, 6), 40), unit="h")
    frame["y"] = frame["x"] * 2
    roles = (("known_at", "time", "known_at"), ("time", "time", "time"), ("x", "number", "feature"))
    columns = [
        Column(name, kind, name, role=role) for name, kind, role in (*roles, ("y", "number", "target"))
    ]
    capped = _capped(Table(frame, Contract("toy", tuple(columns))), folds_of(200), 100, 3)
    kept = np.concatenate([scored for _, scored in capped])
    assert len(kept) == 100 and len(np.unique(kept)) == 100
    assert (np.bincount(origin[kept], minlength=40)[np.unique(origin[kept])] == 5).all()


def test_few_rows_get_few_trees():
    forest, boosting = {"n_estimators": 90, "max_depth": 3}, {"max_iter": 200}
    assert _thinned(Unit("random_forest", forest, 0, 1 / 9)) == {"n_estimators": 30, "max_depth": 3}
    assert _thinned(Unit("random_forest", {}, 0, 1e-6)) == {"n_estimators": FEWEST_TREES}
    assert _thinned(Unit("random_forest", {"n_estimators": 4}, 0, 0.5)) == {"n_estimators": 4}
    assert _thinned(Unit("random_forest", forest, 0)) == forest
    assert _thinned(Unit("hist_gradient_boosting", boosting, 0, 1 / 16)) == {"max_iter": 50}
    assert _thinned(Unit("ridge", {"alpha": 2.0}, 0, 1 / 16)) == {"alpha": 2.0}


@BOTH
def test_one_seed_is_one_search_however_many_fits_run_at_once(how):
    runs = [
        searched(how, {**LIGHT, "trials": 7}, {"name": "logistic", "trials": 3}, threads=threads, seed=seed)
        for threads, seed in ((1, 5), (4, 5), (2, 5), (2, 6))
    ]
    same = [(facts(run), [(t.parameters, t.folds, t.share) for t in run.early]) for run in runs]
    assert same[0] == same[1] == same[2] != same[3]


@BOTH
def test_the_default_is_finished_first_and_stays_unless_another_is_clearly_ahead(how):
    worse = {"name": "lightgbm", "parameters": {"n_estimators": 1}, "trials": 6}
    kept = searched(how, worse, LIGHT, default_margin=1e9)
    assert kept.best == kept.trials[0] and kept.best.parameters["n_estimators"] == 1
    assert len(kept.trials[0].folds) == 3 and kept.trials[0].share == 1.0
    assert searched(how, worse, LIGHT, default_margin=1.0).best.parameters["n_estimators"] == 12


@BOTH
def test_a_budget_that_runs_out_leaves_finished_trials_and_says_so(how):
    cut = searched(how, {**LIGHT, "trials": 30}, budget_s=60, clock=ticking(1.0))
    assert cut.budget_exhausted and "learn.budget_s" in summary(cut)
    assert cut.trials and all(len(t.folds) == 3 and t.share == 1.0 for t in cut.trials)
    assert 1 < len(cut.trials) + len(cut.early) < 31
    assert len(searched(how, {**LIGHT, "trials": 30}, budget_s=1e-9).trials) == 1


@BOTH
def test_a_missing_package_skips_its_candidate_even_where_it_is_the_default(how, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    found = searched(how, {**LIGHT, "trials": 4}, {"name": "logistic", "trials": 4})
    assert {trial.candidate for trial in (*found.trials, *found.early)} == {"logistic"}
    assert found.skipped[0].startswith("lightgbm was skipped") and len(found.skipped) == 1


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_optuna_drops_trials_after_a_fold_and_finishes_the_others(pruner):
    found = searched(OPTUNA | {"pruner": pruner}, {**LIGHT, "trials": 21}, folds=4)
    assert found.early and all(1 <= len(trial.folds) < 4 for trial in found.early)
    assert all(len(trial.folds) == 4 for trial in found.trials)
    assert len(found.trials) + len(found.early) == 22
    table, folds = class_table(900), folds_of(900, 4)
    problem = CrossValidation(table, folds, learn_config(LIGHT), "classification", 1).problem
    for trial in (found.trials[-1], found.early[0]):
        again = [score_unit(problem, Unit("lightgbm", trial.parameters, n)) for n in range(len(trial.folds))]
        assert tuple(again) == trial.folds


def test_the_median_rule_drops_a_trial_that_is_behind_the_median_so_far():
    found = searched(OPTUNA | {"at_once": 1}, {**LIGHT, "trials": 25}, folds=3)
    finished, after_one = found.trials[1:], [trial for trial in found.early if len(trial.folds) == 1]
    assert after_one
    assert min(t.folds[0] for t in after_one) > min(t.folds[0] for t in finished)
    assert np.median([t.folds[0] for t in after_one]) > np.median([t.folds[0] for t in finished])


def test_optuna_fixes_what_the_config_fixes_and_draws_inside_the_space():
    fixed = {"name": "lightgbm", "parameters": {"n_estimators": 9, "num_leaves": 7}, "trials": 8}
    for trial in searched(OPTUNA, fixed).trials[1:]:
        given = trial.parameters
        assert (given["n_estimators"], given["num_leaves"]) == (9, 7)
        assert 0.02 <= given["learning_rate"] <= 0.2 and given["subsample"] in (0.6, 0.8, 1.0)
        assert isinstance(given["min_child_samples"], int) and 5 <= given["min_child_samples"] <= 60
        assert given["learning_rate"] == float(f"{given['learning_rate']:.4g}")


def test_optuna_draws_near_what_did_well(monkeypatch):
    def off(problem, unit):
        return abs(np.log(unit.parameters["learning_rate"] / 0.05)) + 0.001 * unit.fold

    monkeypatch.setattr(runner, "score_unit", off)
    seen = {}
    for how in (OPTUNA | {"at_once": 1}, {"kind": "random"}):
        found = searched(how, {**LIGHT, "trials": 40})
        seen[how["kind"]] = np.mean(sorted(t.score for t in (*found.trials, *found.early))[:25])
    assert seen["optuna"] < 0.6 * seen["random"]


def standing(**changes):
    return Standing(**{"done": 3, "planned": 9, "best": None, "running": ()} | changes)


def test_progress_names_the_best_so_far_and_what_runs_now():
    best = searched({"kind": "random"}, {"name": "logistic"}).best
    running = (Unit("lightgbm", {}, 0, 0.25), Unit("lightgbm", {}, 1, 0.25), Unit("ridge", {}, 0))
    told = search_facts(standing(best=best, running=running))
    assert told == f"best logistic: log_loss_error {best.score:.4g}; now 2 x lightgbm on 25%, ridge"
    assert search_facts(standing()) == ""
    part = best.model_copy(update={"share": 0.0625})
    assert search_facts(standing(best=part)).endswith(" on 6% of the rows")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "shown"), [(io.StringIO, False), (Terminal, True)])
def test_progress_is_silent_without_a_terminal(stream, shown, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    errors = stream()
    monkeypatch.setattr(sys, "stderr", errors)
    with search_progress() as tell:
        tell(standing(running=(Unit("ridge", {}, 0),)))
        time.sleep(0.25)
    assert ("ridge" in errors.getvalue()) == shown
    assert shown or errors.getvalue() == ""
