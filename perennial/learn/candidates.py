"""The candidates by name: how each is built, its defaults, and what a search may vary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perennial.errors import UnknownNameError
from perennial.learn import blending, histories, recipes
from perennial.learn.horizon import horizon_ridge
from perennial.learn.kinds import Kind
from perennial.learn.spaces import Choice, Distribution, Integers, LogUniform

LIGHTGBM_DEFAULTS = {"n_estimators": 200, "learning_rate": 0.05, "subsample_freq": 1}
LIGHTGBM_SPACE: dict[str, Distribution] = {
    "n_estimators": Choice((100, 200, 300)),
    "learning_rate": LogUniform(0.02, 0.2),
    "num_leaves": Integers(15, 127),
    "min_child_samples": Integers(5, 60),
    "subsample": Choice((0.6, 0.8, 1.0)),
    "colsample_bytree": Choice((0.6, 0.8, 1.0)),
    "reg_lambda": LogUniform(1e-3, 10.0),
}
LIGHTGBM_PARAMETERS = (
    *("n_estimators", "learning_rate", "num_leaves", "max_depth", "min_child_samples", "min_child_weight"),
    *("min_split_gain", "subsample", "subsample_freq", "colsample_bytree", "reg_alpha", "reg_lambda"),
    *("boosting_type", "max_bin", "feature_fraction_bynode", "extra_trees", "path_smooth"),
    *("categories", "cat_smooth", "cat_l2", "max_cat_threshold", "max_cat_to_onehot", "min_data_per_group"),
)

CANDIDATES: dict[str, Kind] = {
    "ridge": Kind(
        build={"regression": recipes.ridge},
        defaults={"alpha": 1.0},
        space={"alpha": LogUniform(1e-3, 1e3)},
        parameters=("alpha", "fit_intercept", "solver", "tol", "max_iter"),
    ),
    "horizon_ridge": Kind(
        build={"regression": horizon_ridge},
        defaults={"alpha": 10.0, "reach": 0},
        space={"alpha": LogUniform(1.0, 1e3), "reach": Integers(0, 3)},
        parameters=("alpha", "reach", "horizon", "crossed", "left_out"),
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
        trees="n_estimators",
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
        trees="max_iter",
        parameters=(
            *("max_iter", "learning_rate", "max_leaf_nodes", "max_depth", "min_samples_leaf", "max_features"),
            *("l2_regularization", "max_bins", "loss", "class_weight", "early_stopping", "n_iter_no_change"),
        ),
    ),
    "lightgbm": Kind(
        build={"classification": recipes.lightgbm_classifier, "regression": recipes.lightgbm_regressor},
        defaults=LIGHTGBM_DEFAULTS,
        space=LIGHTGBM_SPACE,
        trees="n_estimators",
        parameters=(*LIGHTGBM_PARAMETERS, "objective", "alpha", "class_weight"),
        fit_arguments=recipes.lightgbm_fit_arguments,
        refusals=recipes.lightgbm_refusals,
    ),
    "lightgbm_quantile": Kind(
        build={"regression": recipes.lightgbm_quantile},
        defaults={**LIGHTGBM_DEFAULTS, "alpha": 0.5},
        space=LIGHTGBM_SPACE,
        trees="n_estimators",
        parameters=(*LIGHTGBM_PARAMETERS, "alpha"),
        fit_arguments=recipes.lightgbm_fit_arguments,
        refusals=recipes.lightgbm_refusals,
    ),
    "auto_arima": Kind(
        build={"regression": histories.auto_arima},
        defaults={"horizon": 1, "season_length": 1},
        space={},
        parameters=("history", "length", "horizon", "season_length"),
        fit_arguments=histories.moments_argument,
        whole=True,
        relative=False,
    ),
    "lstm": Kind(
        build={"regression": histories.lstm},
        defaults={"others": "all", "hidden": 16, "epochs": 100, "patience": 10, "learning_rate": 0.005},
        space={
            "hidden": Choice((8, 16, 32)),
            "learning_rate": LogUniform(0.002, 0.03),
            "batch_size": Choice((32, 64, 128)),
        },
        parameters=(
            *("history", "length", "others"),
            *("hidden", "epochs", "patience", "learning_rate", "batch_size"),
        ),
        fit_arguments=histories.moments_argument,
        whole=True,
    ),
    "blend": Kind(
        build={"classification": blending.blend_of_classes, "regression": blending.blend},
        defaults={"weights": "learned"},
        space={},
        parameters=("members", "weights", "count"),
        fit_arguments=blending.blend_fit_arguments,
        refusals=recipes.lightgbm_refusals,
        relative=False,
        of_members=True,
    ),
}
"""Candidates by the name that configs use."""


def kind_of(name: str) -> Kind:
    """The candidate called `name`; raises UnknownNameError with the nearest known name."""
    if name not in CANDIDATES:
        raise UnknownNameError("candidate", name, CANDIDATES)
    return CANDIDATES[name]


def is_whole(name: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a candidate, or a member of it, learns from the order of the rows, so that none may be left out."""
    kind = kind_of(name)
    members = {**kind.defaults, **parameters}.get("members", ()) if kind.of_members else ()
    return kind.whole or any(kind_of(member["name"]).whole for member in members)
