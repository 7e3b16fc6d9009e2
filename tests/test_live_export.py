"""Exports answer as the fitted models do, and the gate notices where they do not."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import sklearn
from lightgbm import LGBMClassifier, LGBMRegressor
from live_fixtures import MODELS, parts
from onnx import numpy_helper
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from perennial.errors import BundleError
from perennial.live.answer import AnswerRule
from perennial.live.export.convert import to_onnx, to_skops
from perennial.live.export.parity import Parity, missing_rows, parity, threshold_rows
from perennial.live.models import FittedModel, OnnxModel, SkopsModel, load_skops
from perennial.live.pack import Parts

WHOLE = np.array([True, True, True, False, False, True])


def gate(built: Parts, exported: Any) -> Parity:
    fitted = FittedModel(built.estimator, len(built.rule.classes))
    return parity(fitted, exported, built.holdout.X, WHOLE, built.rule, 1)


@pytest.mark.parametrize("kind", MODELS)
def test_the_export_answers_like_the_fitted_model(kind: str, tmp_path: Path) -> None:
    built, path = parts(kind), tmp_path / "model.onnx"
    assert to_onnx(built.estimator, 6, path) == ""
    found = gate(built, OnnxModel(path))
    assert found.passed
    assert max(found.largest, found.largest_near, found.largest_missing) < 1e-12
    assert found.rows_near > 100
    assert found.labels_equal == 1.0


@pytest.mark.parametrize("kind", MODELS)
def test_skops_gives_the_same_model_back(kind: str, tmp_path: Path) -> None:
    built, path = parts(kind), tmp_path / "model.skops"
    to_skops(built.estimator, path)
    n_classes = len(built.rule.classes)
    restored = SkopsModel(path.read_bytes(), n_classes)
    expected = FittedModel(built.estimator, n_classes).raw(built.holdout.X)
    np.testing.assert_array_equal(restored.raw(built.holdout.X), expected)


def _onehot_numbers(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(size=(500, 4)) * [1, 100, 1e5, 1]
    X[:, 3] = rng.integers(0, 6, 500)
    X[rng.random(X.shape) < 0.05] = np.nan
    return X, np.nan_to_num(X[:, 0] * 3 + X[:, 1] / 10 + X[:, 3])


ODD = {
    "forest_classes": make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0)),
    "forest_numbers": RandomForestRegressor(10, random_state=0),
    "boosted_classes": LGBMClassifier(n_estimators=10, n_jobs=1, verbose=-1),
    "boosted_forest": LGBMRegressor(
        n_estimators=10, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5, n_jobs=1, verbose=-1
    ),
    "boosted_counts": LGBMRegressor(objective="poisson", n_estimators=10, n_jobs=1, verbose=-1),
    "histogram_classes": HistGradientBoostingClassifier(max_iter=5, random_state=0),
    "histogram_categories": HistGradientBoostingRegressor(
        max_iter=10, categorical_features=[3], random_state=0
    ),
    "indicator": make_pipeline(SimpleImputer(add_indicator=True), Ridge()),
    "one_hot_missing": make_pipeline(
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=60, drop="first"), Ridge()
    ),
    "voting": VotingClassifier(
        [
            ("a", make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())),
            ("b", RandomForestClassifier(5, random_state=0)),
        ],
        voting="soft",
        weights=[2, 1],
    ),
}


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("gaps", [True, False])
def test_unusual_models_are_exact_too(name: str, gaps: bool, tmp_path: Path) -> None:
    """Trained with and without gaps, asked with gaps, with unseen and with impossible categories."""
    model = ODD[name]
    X, y = _onehot_numbers(np.random.default_rng(0))
    X = X if gaps else np.nan_to_num(X)
    if name == "one_hot_missing":
        X = X[:, 3:]
    classes = hasattr(model, "predict_proba")
    model.fit(X, np.digitize(y, [-3, 3]) if classes else np.abs(y))
    asked = X.copy()
    asked[:50, -1], asked[50:60, -1], asked[60:70, -1], asked[70:80] = np.nan, 7, -1, np.nan
    assert to_onnx(model, X.shape[1], tmp_path / "m.onnx") == ""
    fitted = FittedModel(model, 3 if classes else 0)
    np.testing.assert_allclose(
        OnnxModel(tmp_path / "m.onnx").raw(asked), fitted.raw(asked), rtol=1e-12, atol=1e-13
    )


def test_other_models_go_through_skl2onnx(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6))
    model = make_pipeline(
        SimpleImputer(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=2000, random_state=0)
    ).fit(X, X[:, 0])
    assert to_onnx(model, 6, tmp_path / "m.onnx") == ""
    np.testing.assert_allclose(OnnxModel(tmp_path / "m.onnx").raw(X), model.predict(X), atol=1e-5)


class Unknown(RegressorMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Unknown:
        self.coef_ = np.zeros(X.shape[1])
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


def test_a_model_without_an_onnx_form_gives_a_reason(tmp_path: Path) -> None:
    reason = to_onnx(Unknown().fit(np.ones((3, 2)), np.ones(3)), 2, tmp_path / "m.onnx")
    assert "Unknown" in reason
    assert list(tmp_path.iterdir()) == []


def tampered(path: Path, change: Any) -> bytes:
    """The ONNX file with `change` applied to the tensor attributes of its tree node."""
    model = onnx.load(path)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                values = change(attribute.name, numpy_helper.to_array(attribute.t).copy())
                attribute.t.CopyFrom(numpy_helper.from_array(values))
            elif attribute.name == "nodes_missing_value_tracks_true":
                values = change(attribute.name, np.array(attribute.ints))
                attribute.ints[:] = values.tolist()
    return bytes(model.SerializeToString())


def _leaves(name: str, values: np.ndarray) -> np.ndarray:
    return values * 1.01 if name == "leaf_weights" else values


def _thresholds(name: str, values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).astype(np.float64) if name == "nodes_splits" else values


def _missing(name: str, values: np.ndarray) -> np.ndarray:
    return 1 - values if name == "nodes_missing_value_tracks_true" else values


@pytest.mark.parametrize(
    ("change", "noticed"),
    [(_leaves, "largest"), (_thresholds, "largest_near"), (_missing, "largest_missing")],
)
def test_the_gate_notices_a_tampered_graph(change: Any, noticed: str, tmp_path: Path) -> None:
    """Leaves show on any row; float32 thresholds on rows beside them alone; missing values on gaps alone."""
    built, path = parts("histogram"), tmp_path / "model.onnx"
    to_onnx(built.estimator, 6, path)
    assert gate(built, OnnxModel(path)).passed
    found = gate(built, OnnxModel(tampered(path, change)))
    assert not found.passed
    assert getattr(found, noticed) > found.allowed_largest


def test_float32_thresholds_pass_unnoticed_on_real_rows(tmp_path: Path) -> None:
    """Which is why the gate makes rows of its own."""
    built, path = parts("histogram"), tmp_path / "model.onnx"
    to_onnx(built.estimator, 6, path)
    found = gate(built, OnnxModel(tampered(path, _thresholds)))
    assert found.largest < 1e-9 < found.largest_near


def test_threshold_rows_straddle_the_thresholds_of_a_tree_behind_a_scaler() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 3)) * [1, 1000, 5]
    model = make_pipeline(
        StandardScaler(), RandomForestRegressor(1, max_depth=3, bootstrap=False, random_state=0)
    )
    model.fit(X, X[:, 1] + X[:, 0])
    rows = threshold_rows(FittedModel(model, 0), X, np.zeros(3, dtype=bool), rng, pairs=60)
    scaler, tree = model[0], model[1].estimators_[0].tree_
    inner = tree.feature >= 0
    thresholds = (
        tree.threshold[inner] * scaler.scale_[tree.feature[inner]] + scaler.mean_[tree.feature[inner]]
    )
    pairs = len(rows) // 4
    distance = np.abs(rows[:pairs, :, None] - thresholds).min(axis=(1, 2))
    assert pairs >= 20
    assert np.quantile(distance, 0.95) < 1e-3


def test_threshold_rows_hold_whole_numbers_where_features_do() -> None:
    built = parts("lightgbm")
    rows = threshold_rows(FittedModel(built.estimator, 0), built.holdout.X, WHOLE, np.random.default_rng(0))
    whole = rows[:, WHOLE]
    np.testing.assert_array_equal(whole, np.floor(whole))


def test_missing_rows_have_gaps_and_one_has_nothing_else() -> None:
    rows = missing_rows(np.ones((50, 4)), np.random.default_rng(0))
    assert np.isnan(rows).any(axis=1).all()
    assert np.isnan(rows[0]).all()


def test_relative_differences_are_taken_on_the_natural_scale() -> None:
    class Shifted:
        def __init__(self, by: float) -> None:
            self.by = by

        def raw(self, matrix: np.ndarray) -> np.ndarray:
            return matrix[:, 0] + self.by

    matrix = np.random.default_rng(0).normal(10, 1, (200, 2))
    rule = AnswerRule("regression", "y", scale="log")
    found = parity(Shifted(0.0), Shifted(1e-4), matrix, np.zeros(2, dtype=bool), rule, 0)
    assert found.largest == pytest.approx(np.expm1(1e-4), rel=1e-6)
    assert found.passed is False  # rows without a value give no number, and that never counts as equal
    assert found.largest_missing == np.inf
    assert found.as_dict()["largest_missing"] is None


def test_a_type_outside_the_list_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    to_skops(make_pipeline(StandardScaler(), Unknown()), path)
    with pytest.raises(BundleError, match=r"expected types of our list, found .*\.Unknown"):
        SkopsModel(path, 0)


def test_a_file_of_another_scikit_learn_is_refused(tmp_path: Path) -> None:
    built, path = parts("ridge"), tmp_path / "model.skops"
    to_skops(built.estimator, path)
    target = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as packed:
        for name in source.namelist():
            content = source.read(name)
            packed.writestr(name, content.replace(sklearn.__version__.encode(), b"0.99.0"))
    with pytest.raises(BundleError, match=r"expected scikit-learn 0\.99\.0"):
        SkopsModel(target.getvalue(), 0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"x" * 100])
def test_damaged_model_files_are_refused(content: bytes) -> None:
    with pytest.raises(BundleError):
        SkopsModel(content, 0)
    with pytest.raises(BundleError):
        OnnxModel(content)


def test_loading_from_skops_sets_one_thread(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), RandomForestRegressor(3, n_jobs=2)).fit(
        np.ones((9, 2)), np.arange(9)
    )
    to_skops(model, tmp_path / "m.skops")
    assert SkopsModel(tmp_path / "m.skops", 0).estimator[-1].n_jobs == 1


SAME_BYTES = """
import hashlib, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from live_fixtures import parts
from perennial.live.export.convert import to_onnx, to_skops
for kind in ("forest", "lightgbm", "voting"):
    for write in (to_skops, lambda e, p: to_onnx(e, 6, p)):
        write(parts(kind).estimator, Path({out!r}))
        print(hashlib.sha256(Path({out!r}).read_bytes()).hexdigest())
"""


def test_the_same_model_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    tests = Path(__file__).parent
    code = SAME_BYTES.format(root=str(tests.parent), tests=str(tests), out=str(tmp_path / "out"))
    outputs = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(set(outputs[0].split())) == 6


def test_uninitialised_padding_in_tree_nodes_does_not_reach_the_file(tmp_path: Path) -> None:
    model = parts("forest").estimator
    to_skops(model, tmp_path / "first.skops")
    dirty = io.BytesIO()
    with zipfile.ZipFile(tmp_path / "first.skops") as source, zipfile.ZipFile(dirty, "w") as target:
        smudged = 0
        for name in source.namelist():
            data = source.read(name)
            if b"'descr': [" in data[:64]:
                nodes = np.load(io.BytesIO(data), allow_pickle=False)
                start = len(data) - nodes.nbytes
                last = max(offset + kind.itemsize for kind, offset, *_ in nodes.dtype.fields.values())
                spoiled = bytearray(data)
                spoiled[start + last : start + nodes.dtype.itemsize] = b"\xff" * (nodes.dtype.itemsize - last)
                smudged += spoiled != data
                data = bytes(spoiled)
            target.writestr(name, data)
    assert smudged > 0
    (tmp_path / "dirty.skops").write_bytes(dirty.getvalue())
    to_skops(load_skops(tmp_path / "dirty.skops"), tmp_path / "again.skops")
    assert (tmp_path / "again.skops").read_bytes() == (tmp_path / "first.skops").read_bytes()
