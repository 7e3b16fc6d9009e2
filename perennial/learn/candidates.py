"""The candidates by name: how each is built, its defaults, and what a search may vary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.errors import UnknownNameError, Violation, suggestion
from perennial.learn import recipes
from perennial.learn.spaces import Choice, Distribution, Integers, LogUniform
from perennial.live.answer import Task
from perennial.table import Column

if TYPE_CHECKING:
    from perennial.config import Learn

Build = Callable[[Sequence[Column], Mapping[str, Any], int, int], Any]


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    Attributes:
        build: makes the unfitted estimator, per task that it can do.
        defaults: parameters where the config gives none.
        space: what random draws vary.
        parameters: every name that the config may set.
        fit_arguments: what `fit` takes besides X and y.
        refusals: the errors by which the learner refuses parameters or rows.
    """

    build: Mapping[Task, Build]
    defaults: Mapping[str, Any]
    space: Mapping[str, Distribution]
    parameters: tuple[str, ...]
    fit_arguments: Callable[[Sequence[Column], Mapping[str, Any]], dict[str, Any]] = lambda columns, given: {}
    refusals: Callable[[], tuple[type[Exception], ...]] = lambda: (ValueError, TypeError)


CANDIDATES: dict[str, Kind] = {
    "ridge": Kind(
        build={"regression": recipes.ridge},
        defaults={"alpha": 1.0},
        space={"alpha": LogUniform(1e-3, 1e3)},
        parameters=("alpha", "fit_intercept", "solver", "tol", "max_iter"),
    ),
    "logistic": Kind(
        build={"classification": recipes.logistic},
        defaults={"C": 1.0, "max_iter": 1000},
        space={"C": LogUniform(1e-3, 1e2)},
        parameters=("C", "fit_intercept", "class_weight", "solver", "tol", "max_iter"),
    ),
    "random_forest": Kind(
        build={
            "classification": recipes.random_forest_classifier,
            "regression": recipes.random_forest_regressor,
        },
        defaults={"n_estimators": 100, "max_depth": 16},
        space={
            "max_depth": Choice((6, 8, 12, 16, 20)),
            "min_samples_leaf": Integers(1, 8),
            "max_features": Choice(("sqrt", 0.3, 0.5)),
        },
        parameters=(
            *(
                "n_estimators",
                "max_depth",
                "min_samples_leaf",
                "min_samples_split",
                "max_features",
                "criterion",
            ),
            *(
                "max_leaf_nodes",
                "max_samples",
                "bootstrap",
                "class_weight",
                "ccp_alpha",
                "min_impurity_decrease",
            ),
        ),
    ),
    "hist_gradient_boosting": Kind(
        build={
            "classification": recipes.hist_gradient_boosting_classifier,
            "regression": recipes.hist_gradient_boosting_regressor,
        },
        defaults={"max_iter": 200},
        space={
            "learning_rate": LogUniform(0.02, 0.2),
            "max_leaf_nodes": Integers(15, 127),
            "min_samples_leaf": Integers(5, 50),
            "l2_regularization": LogUniform(1e-3, 10.0),
        },
        parameters=(
            *("max_iter", "learning_rate", "max_leaf_nodes", "max_depth", "min_samples_leaf", "max_features"),
            *("l2_regularization", "max_bins", "loss", "class_weight", "early_stopping", "n_iter_no_change"),
        ),
    ),
    "lightgbm": Kind(
        build={"classification": recipes.lightgbm_classifier, "regression": recipes.lightgbm_regressor},
        defaults={"n_estimators": 200, "learning_rate": 0.05, "subsample_freq": 1},
        space={
            "n_estimators": Choice((100, 200, 300)),
            "learning_rate": LogUniform(0.02, 0.2),
            "num_leaves": Integers(15, 127),
            "min_child_samples": Integers(5, 60),
            "subsample": Choice((0.6, 0.8, 1.0)),
            "colsample_bytree": Choice((0.6, 0.8, 1.0)),
            "reg_lambda": LogUniform(1e-3, 10.0),
        },
        parameters=(
            *("n_estimators", "learning_rate", "num_leaves", "max_depth", "min_child_samples", "objective"),
            *(
                "min_child_weight",
                "min_split_gain",
                "subsample",
                "subsample_freq",
                "colsample_bytree",
                "reg_alpha",
            ),
            *(
                "reg_lambda",
                "boosting_type",
                "class_weight",
                "max_bin",
                "feature_fraction_bynode",
                "extra_trees",
            ),
            *("path_smooth", "cat_smooth", "cat_l2", "max_cat_threshold", "max_cat_to_onehot", "categories"),
            *("min_data_per_group", "alpha"),
        ),
        fit_arguments=recipes.lightgbm_fit_arguments,
        refusals=recipes.lightgbm_refusals,
    ),
}
"""Candidates by the name that configs use."""


def kind_of(name: str) -> Kind:
    """The candidate called `name`; raises UnknownNameError with the nearest known name."""
    if name not in CANDIDATES:
        raise UnknownNameError("candidate", name, CANDIDATES)
    return CANDIDATES[name]


def check_candidates(learn: Learn, task: Task) -> list[Violation]:
    """Everything that is wrong with the candidates of a config for this task; empty if nothing is."""
    found = []
    if task == "classification" and learn.target_scale != "identity":
        problem = f"expected identity for {task}, found {learn.target_scale!r}"
        found.append(Violation("learn.target_scale", problem))
    able = [name for name, kind in CANDIDATES.items() if task in kind.build]
    for i, candidate in enumerate(learn.candidates):
        where = f"learn.candidates.{i}"
        if candidate.name not in able:
            hint = suggestion(candidate.name, able)
            problem = f"expected a candidate for {task}, found {candidate.name!r}{hint}"
            found.append(Violation(f"{where}.name", problem))
            continue
        known = CANDIDATES[candidate.name].parameters
        found += [
            Violation(
                f"{where}.parameters.{name}",
                f"expected a parameter of {candidate.name}, found {name!r}{suggestion(name, known)}",
            )
            for name in candidate.parameters
            if name not in known
        ]
    return found
