"""How each learner is put together: an unfitted scikit-learn estimator over the float matrix of a table.

In the matrix a category is its code, and NaN stands for missing and for unknown. A recipe gets the contract's
feature columns, its own and the user's parameters together, a seed and a number of threads. Everything that a
recipe uses can be written by skops; all but histogram gradient boosting can be converted to ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from perennial.errors import MissingLayerError, UnknownNameError
from perennial.learn.rows import Rows
from perennial.live.answer import Task
from perennial.table import Column

Features = Sequence[Column]
Parameters = Mapping[str, Any]

HIST_CATEGORIES = 255
"""Most categories that histogram gradient boosting takes; features with more are split as ordered codes."""

GROUP_COLUMNS = 2
"""How many categories make up a group of rows that are alike."""


def category_positions(features: Features) -> list[int]:
    """The matrix columns that hold category codes."""
    return [i for i, column in enumerate(features) if column.kind == "category"]


def group_positions(features: Features) -> list[int]:
    """The matrix columns of the `GROUP_COLUMNS` categories with most levels, such as model and make."""
    levels = {i: len(features[i].categories) for i in category_positions(features)}
    return sorted(levels, key=lambda i: (-levels[i], i))[:GROUP_COLUMNS]


def ridge(features: Features, parameters: Parameters, seed: int, threads: int) -> Any:
    """Ridge regression on standardised numbers and one-hot categories."""
    from sklearn.linear_model import Ridge

    return _pipeline(_one_hot(features), Ridge(random_state=seed, **parameters))


def logistic(features: Features, parameters: Parameters, seed: int, threads: int) -> Any:
    """Logistic regression on standardised numbers and one-hot categories."""
    from sklearn.linear_model import LogisticRegression

    return _pipeline(_one_hot(features), LogisticRegression(random_state=seed, **parameters))


def random_forest_classifier(features: Features, parameters: Parameters, seed: int, threads: int) -> Any:
    """A forest of classification trees on standardised features."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(random_state=seed, n_jobs=threads, **parameters)
    return _pipeline(_ordinal(features), _scaler(), forest)


def random_forest_regressor(features: Features, parameters: Parameters, seed: int, threads: int) -> Any:
    """A forest of regression trees on standardised features."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(random_state=seed, n_jobs=threads, **parameters)
    return _pipeline(_ordinal(features), _scaler(), forest)


def hist_gradient_boosting_classifier(
    features: Features, parameters: Parameters, seed: int, threads: int
) -> Any:
    """Histogram gradient boosting for classes; missing values and categories are split natively."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        random_state=seed, categorical_features=_hist_categories(features), **parameters
    )


def hist_gradient_boosting_regressor(
    features: Features, parameters: Parameters, seed: int, threads: int
) -> Any:
    """Histogram gradient boosting for a number; missing values and categories are split natively."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        random_state=seed, categorical_features=_hist_categories(features), **parameters
    )


def lightgbm_classifier(features: Features, parameters: Parameters, seed: int, threads: int) -> Any:
    """LightGBM for classes."""
    return _lightgbm("classification", parameters, seed, threads)


def lightgbm_regressor(features: Features, parameters: Parameters, seed: int, threads: int) -> Any:
    """LightGBM for a number."""
    return _lightgbm("regression", parameters, seed, threads)


def lightgbm_quantile(features: Features, parameters: Parameters, seed: int, threads: int) -> Any:
    """LightGBM for the quantile `alpha` of a number; 0.5 is its median."""
    return _lightgbm("regression", {**parameters, "objective": "quantile"}, seed, threads)


def lightgbm_fit_arguments(features: Features, parameters: Parameters, rows: Rows) -> dict[str, Any]:
    """What LightGBM's `fit` takes beside X and y: the columns to split as sets of categories.

    `categories` is our own parameter: `native` (all category columns), `codes` (none: their codes are numbers),
    or the names of the columns, which pays where one column has many categories and the others few.

    Raises:
        UnknownNameError: if a name is no category column's.
    """
    chosen = parameters.get("categories", "native")
    names = [features[i].name for i in category_positions(features)]
    native = names if chosen == "native" else [] if chosen == "codes" else list(chosen)
    for name in native:
        if name not in names:
            raise UnknownNameError("category column in categories", name, names)
    positions = [i for i in category_positions(features) if features[i].name in native]
    return {"categorical_feature": positions or "auto"}


def lightgbm_refusals() -> tuple[type[Exception], ...]:
    """The errors by which LightGBM refuses parameters or rows."""
    try:
        from lightgbm.basic import LightGBMError
    except ImportError:
        return (ValueError, TypeError)
    return (ValueError, TypeError, LightGBMError)


def _lightgbm(task: Task, parameters: Parameters, seed: int, threads: int) -> Any:
    try:
        from lightgbm import LGBMClassifier, LGBMRegressor
    except ImportError as error:
        raise MissingLayerError("lightgbm", "base", "for the candidate lightgbm") from error
    own = {name: value for name, value in parameters.items() if name != "categories"}
    estimator = LGBMClassifier if task == "classification" else LGBMRegressor
    # `deterministic` holds only with the histogram layout fixed, as LightGBM else picks it by a timing.
    return estimator(
        random_state=seed, n_jobs=threads, deterministic=True, force_row_wise=True, verbose=-1, **own
    )


def _pipeline(*steps: Any) -> Any:
    from sklearn.pipeline import Pipeline

    return Pipeline(
        [*((f"prepare{i}" if i else "prepare", s) for i, s in enumerate(steps[:-1])), ("learn", steps[-1])]
    )


def _scaler() -> Any:
    from sklearn.preprocessing import StandardScaler

    return StandardScaler()


def _fill_numbers() -> Any:
    from sklearn.impute import SimpleImputer

    return SimpleImputer(strategy="median", keep_empty_features=True)


def _fill_codes() -> Any:
    """Missing and unknown categories become the code -1, which no category has."""
    from sklearn.impute import SimpleImputer

    return SimpleImputer(strategy="constant", fill_value=-1.0, keep_empty_features=True)


def _split(features: Features, numbers: Any, codes: Any) -> Any:
    """Numbers and category codes prepared each in its own way; without categories, the numbers' way alone."""
    from sklearn.compose import ColumnTransformer

    chosen = category_positions(features)
    if not chosen:
        return numbers
    others = [i for i in range(len(features)) if i not in chosen]
    parts = [("numbers", numbers, others)] if others else []
    return ColumnTransformer([*parts, ("categories", codes, chosen)])


def _ordinal(features: Features) -> Any:
    return _split(features, _fill_numbers(), _fill_codes())


def _one_hot(features: Features) -> Any:
    """Standardised numbers, and a 0/1 column per category; all of them 0 for a missing or unknown one."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    known = [np.arange(len(features[i].categories), dtype=np.float64) for i in category_positions(features)]
    encoder = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False)
    return _split(features, make_pipeline(_fill_numbers(), _scaler()), make_pipeline(_fill_codes(), encoder))


def _hist_categories(features: Features) -> list[int] | None:
    narrow = [i for i in category_positions(features) if len(features[i].categories) <= HIST_CATEGORIES]
    return narrow or None
