"""Fitted scikit-learn and LightGBM models as an ONNX graph in float64, operator by operator."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.live.export.graph import Graph, UnsupportedError
from perennial.live.export.trees import ensemble, forest_trees, histogram_trees, lightgbm_trees


def emit(graph: Graph, estimator: Any, x: str) -> str:
    """Add `estimator` to the graph; returns the output's name, shape (n_rows, n_outputs).

    `x` is a float64 value of shape (n_rows, n_features). Raises UnsupportedError with the reason.
    """
    if hasattr(estimator, "emit"):
        own: str = estimator.emit(graph, x)
        return own
    kind = type(estimator)
    convert = CONVERTERS.get(f"{kind.__module__.split('.')[0]}.{kind.__name__}")
    if convert is None:
        raise UnsupportedError(f"{kind.__module__}.{kind.__name__}")
    return convert(graph, estimator, x)


def _pipeline(graph: Graph, pipeline: Any, x: str) -> str:
    for _, step in pipeline.steps:
        if step is not None and step != "passthrough":
            x = emit(graph, step, x)
    return x


def _columns(graph: Graph, transformer: Any, x: str) -> str:
    if transformer.transformer_weights is not None:
        raise UnsupportedError("weights of a ColumnTransformer")
    outputs = []
    for _, step, chosen in transformer.transformers_:
        where = np.arange(transformer.n_features_in_)[chosen].reshape(-1)
        if not len(where) or (isinstance(step, str) and step == "drop"):
            continue
        part = graph.op("Gather", x, graph.constant(where.astype(np.int64)), axis=1)
        outputs.append(part if isinstance(step, str) else emit(graph, step, part))
    return graph.op("Concat", *outputs, axis=1)


def _same(graph: Graph, transformer: Any, x: str) -> str:
    inner = getattr(transformer.func, "func", transformer.func)
    if (
        inner is not None and inner.__name__ != "check_array"
    ):  # which HistGradientBoosting uses, and changes nothing
        raise UnsupportedError("a FunctionTransformer with a function of its own")
    return x


def _scaler(graph: Graph, scaler: Any, x: str) -> str:
    if scaler.mean_ is not None and scaler.with_mean:
        x = graph.op("Sub", x, graph.constant(scaler.mean_))
    return x if scaler.scale_ is None else graph.op("Div", x, graph.constant(scaler.scale_))


def _imputer(graph: Graph, imputer: Any, x: str) -> str:
    if not np.isnan(imputer.missing_values):
        raise UnsupportedError("a SimpleImputer for another value than NaN")
    fill = imputer.statistics_.astype(np.float64)
    kept = np.flatnonzero(~np.isnan(fill)).astype(np.int64)
    part = x if len(kept) == len(fill) else graph.op("Gather", x, graph.constant(kept), axis=1)
    filled = graph.op("Where", graph.op("IsNaN", part), graph.constant(fill[kept]), part)
    if not imputer.add_indicator:
        return filled
    shown = graph.constant(imputer.indicator_.features_.astype(np.int64))
    missing = graph.cast(graph.op("IsNaN", graph.op("Gather", x, shown, axis=1)), "DOUBLE")
    return graph.op("Concat", filled, missing, axis=1)


def _one_hot(graph: Graph, encoder: Any, x: str) -> str:
    """Compare with the categories, then look up what the encoder itself answers to each of them."""
    categories = [np.asarray(c, dtype=np.float64) for c in encoder.categories_]
    widths = [int(w) for w in encoder._n_features_outs]
    stops = np.cumsum(widths)
    first = np.array([c[0] for c in categories])

    def answers(column: int, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        rows = np.tile(first, (len(values), 1))
        rows[:, column] = values
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # unknown categories: asked for on purpose
            out = encoder.transform(rows)
        dense = np.asarray(out.toarray() if hasattr(out, "toarray") else out, dtype=np.float64)
        return dense[:, stops[column] - widths[column] : stops[column]]

    outputs = []
    for column, known in enumerate(categories):
        part = graph.op("Gather", x, graph.constant(np.array([column])), axis=1)
        present = known[~np.isnan(known)]
        same = graph.cast(graph.op("Equal", part, graph.constant(present)), "DOUBLE")
        if len(present) < len(known):
            same = graph.op("Concat", same, graph.cast(graph.op("IsNaN", part), "DOUBLE"), axis=1)
        ordered = np.concatenate([present, known[np.isnan(known)]])
        encoded = graph.op("MatMul", same, graph.constant(answers(column, ordered)))
        if encoder.handle_unknown != "error":
            unknown = answers(column, np.array([np.max(present, initial=0.0) + 1.0]))
            total = graph.op("ReduceSum", same, graph.constant(np.array([1])), keepdims=1)
            absent = graph.op("Sub", graph.constant(1.0), total)
            encoded = graph.op("Add", encoded, graph.op("Mul", absent, graph.constant(unknown)))
        outputs.append(encoded)
    return graph.op("Concat", *outputs, axis=1)


def _ordinal(graph: Graph, encoder: Any, x: str) -> str:
    if encoder.handle_unknown != "use_encoded_value" or not np.isnan(encoder.unknown_value):
        raise UnsupportedError("an OrdinalEncoder that does not encode unknown values as NaN")
    if not np.isnan(encoder.encoded_missing_value):
        raise UnsupportedError("an OrdinalEncoder that does not encode missing values as NaN")
    outputs = []
    for column, categories in enumerate(encoder.categories_):
        known = np.asarray(categories, dtype=np.float64)
        known = known[~np.isnan(known)]
        part = graph.op("Gather", x, graph.constant(np.array([column])), axis=1)
        same = graph.op("Equal", part, graph.constant(known))
        codes = graph.constant(np.arange(len(known), dtype=np.float64)[:, None])
        code = graph.op("MatMul", graph.cast(same, "DOUBLE"), codes)
        found = graph.op("ReduceMax", graph.cast(same, "DOUBLE"), graph.constant(np.array([1])), keepdims=1)
        outputs.append(graph.op("Where", graph.cast(found, "BOOL"), code, graph.constant(np.nan)))
    return graph.op("Concat", *outputs, axis=1)


def _affine(graph: Graph, model: Any, x: str) -> str:
    weights = np.atleast_2d(model.coef_).T.astype(np.float64)
    bias = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64).reshape(-1), weights.shape[1:])
    return graph.op("Add", graph.op("MatMul", x, graph.constant(weights)), graph.constant(bias))


def _probabilities(graph: Graph, raw: str, columns: int) -> str:
    """Class probabilities from log-odds: one column (the second class) or one per class."""
    return _complement(graph, graph.op("Sigmoid", raw)) if columns == 1 else graph.op("Softmax", raw, axis=1)


def _complement(graph: Graph, second: str) -> str:
    return graph.op("Concat", graph.op("Sub", graph.constant(1.0), second), second, axis=1)


def _logistic(graph: Graph, model: Any, x: str) -> str:
    if len(model.classes_) > 2 and model.solver == "liblinear":
        raise UnsupportedError("one-versus-rest logistic regression")
    return _probabilities(graph, _affine(graph, model, x), len(model.coef_))


def _forest(graph: Graph, model: Any, x: str) -> str:
    """scikit-learn's trees see their input rounded to float32, and compare it with float64 thresholds."""
    members = getattr(model, "estimators_", [model])
    classifier = hasattr(model, "classes_")
    trees = forest_trees(members, classifier)
    rounded = graph.cast(graph.cast(x, "FLOAT"), "DOUBLE")
    columns = trees[0].value.shape[1]
    total = ensemble(graph, rounded, trees, [0] * len(trees), columns)
    return graph.op("Div", total, graph.constant(float(len(trees))))


def _histogram(graph: Graph, model: Any, x: str) -> str:
    if model._preprocessor is not None:
        x = emit(graph, model._preprocessor, x)
    trees, columns = histogram_trees(model), model.n_trees_per_iteration_
    total = ensemble(graph, x, trees, [i % columns for i in range(len(trees))], columns)
    raw = graph.op("Add", total, graph.constant(np.asarray(model._baseline_prediction, dtype=np.float64)))
    if hasattr(model, "classes_"):
        return _probabilities(graph, raw, columns)
    return graph.op("Exp", raw) if model.loss in ("poisson", "gamma") else raw


def _lightgbm(graph: Graph, model: Any, x: str) -> str:
    dump = model.booster_.dump_model()
    columns = dump["num_tree_per_iteration"]
    objective, *settings = dump.get("objective", "").split()
    trees = lightgbm_trees(dump)
    raw = ensemble(graph, x, trees, [i % columns for i in range(len(trees))], columns)
    if dump["average_output"]:
        raw = graph.op("Div", raw, graph.constant(float(len(trees) // columns)))
    if objective == "binary" and settings == ["sigmoid:1"]:
        return _complement(graph, graph.op("Sigmoid", raw))
    if objective == "multiclass":
        return graph.op("Softmax", raw, axis=1)
    plain = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
    if objective in plain and "sqrt" not in settings:
        return raw
    if objective in ("poisson", "gamma", "tweedie"):
        return graph.op("Exp", raw)
    raise UnsupportedError(f"LightGBM's objective {dump.get('objective')!r}")


def _voting(graph: Graph, model: Any, x: str) -> str:
    if getattr(model, "voting", "soft") != "soft":
        raise UnsupportedError("hard voting")
    weights = model._weights_not_none
    shares = np.ones(len(model.estimators_)) if weights is None else np.asarray(weights, dtype=np.float64)
    shares = shares / shares.sum()
    parts = [
        graph.op("Mul", emit(graph, member, x), graph.constant(float(share)))
        for member, share in zip(model.estimators_, shares, strict=True)
    ]
    return graph.op("Sum", *parts)


CONVERTERS: dict[str, Callable[[Graph, Any, str], str]] = {
    "sklearn.Pipeline": _pipeline,
    "sklearn.ColumnTransformer": _columns,
    "sklearn.FunctionTransformer": _same,
    "sklearn.StandardScaler": _scaler,
    "sklearn.SimpleImputer": _imputer,
    "sklearn.OneHotEncoder": _one_hot,
    "sklearn.OrdinalEncoder": _ordinal,
    **{
        f"sklearn.{name}": _affine for name in ("Ridge", "RidgeCV", "LinearRegression", "Lasso", "ElasticNet")
    },
    "sklearn.LogisticRegression": _logistic,
    **{
        f"sklearn.{name}{task}": _forest
        for name in ("RandomForest", "ExtraTrees", "DecisionTree")
        for task in ("Classifier", "Regressor")
    },
    **{f"sklearn.HistGradientBoosting{task}": _histogram for task in ("Classifier", "Regressor")},
    **{f"lightgbm.LGBM{task}": _lightgbm for task in ("Classifier", "Regressor")},
    **{f"sklearn.Voting{task}": _voting for task in ("Classifier", "Regressor")},
}
