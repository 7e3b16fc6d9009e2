"""Running a model: ONNX Runtime where the export passed the gate, scikit-learn through skops elsewhere."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from perennial.errors import BundleError, MissingLayerError
from perennial.live.skops_io import skops_io
from perennial.table import Matrix

Raw = npt.NDArray[np.float64]

# What a skops file may hold besides numpy and the scikit-learn types that skops trusts by itself. None of
# them runs code from the file: trees are arrays, and LightGBM's booster is its own text format.
ALLOWED_TYPES = frozenset(
    {
        "collections.OrderedDict",
        "functools.partial",  # of a function that must be trusted too; HistGradientBoosting holds check_array
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
        "numpy.dtype",
        "perennial.live.estimators.arima.AutoArima",
        "perennial.live.estimators.blend.Blend",
        "perennial.live.estimators.blend.BlendOfClasses",
        "perennial.live.estimators.horizon_ridge.HorizonRidge",
        "perennial.live.estimators.lstm.Lstm",
        "perennial.live.estimators.relative.Relative",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
    }
)


class Model(Protocol):
    """Anything with raw outputs: probabilities (n_rows, n_classes), or numbers (n_rows,)."""

    def raw(self, matrix: Matrix) -> Raw:
        """The raw outputs for rows of shape (n_rows, n_features)."""
        ...


class FittedModel:
    """A fitted scikit-learn or LightGBM estimator in memory.

    A classifier (`n_classes` above 0) was fitted on the classes' positions 0 to n_classes - 1, or on all of
    their names; a class that it never saw gets the probability 0.
    """

    def __init__(self, estimator: Any, n_classes: int) -> None:
        self.estimator = estimator
        self.n_classes = n_classes

    def raw(self, matrix: Matrix) -> Raw:
        """The raw outputs for rows of shape (n_rows, n_features)."""
        with warnings.catch_warnings():
            # LightGBM names the columns of an array, and scikit-learn then misses those names
            warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
            if not self.n_classes:
                return np.asarray(self.estimator.predict(matrix), dtype=np.float64).reshape(-1)
            shares = np.asarray(self.estimator.predict_proba(matrix), dtype=np.float64)
        if shares.shape[1] == self.n_classes:
            return shares
        raw = np.zeros((len(shares), self.n_classes))
        raw[:, np.asarray(self.estimator.classes_, dtype=np.int64)] = shares
        return raw


class OnnxModel:
    """An ONNX file, run by ONNX Runtime with one thread; may be shared between threads."""

    def __init__(self, source: Path | bytes) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it reports to its makers from its import on
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                source if isinstance(source, bytes) else str(source),
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # ONNX Runtime's own errors share no public base class
            raise BundleError(
                source if isinstance(source, Path) else "model.onnx",
                f"ONNX Runtime {onnxruntime.__version__} cannot load it ({_first_line(error)})",
                "build it again, or install the ONNX Runtime that its manifest names",
            ) from error
        entry = self._session.get_inputs()[0]
        self._input = entry.name
        self._output = self._session.get_outputs()[-1].name
        self._type = np.float64 if entry.type == "tensor(double)" else np.float32

    def raw(self, matrix: Matrix) -> Raw:
        """The raw outputs for rows of shape (n_rows, n_features)."""
        (output,) = self._session.run([self._output], {self._input: matrix.astype(self._type, copy=False)})
        result: Raw = np.asarray(output, dtype=np.float64)
        return result.reshape(-1) if result.ndim == 1 or result.shape[1] == 1 else result


class SkopsModel(FittedModel):
    """A skops file whose types are all on our list, run by scikit-learn with one thread.

    Raises BundleError naming a type that is not on the list, or a scikit-learn of another version; raises
    MissingLayerError where scikit-learn and skops are not installed.
    """

    def __init__(self, source: Path | bytes, n_classes: int) -> None:
        super().__init__(load_skops(source), n_classes)
        single_threaded(self.estimator)


def load_skops(source: Path | bytes) -> Any:
    """The estimator in a skops file; see SkopsModel for what is refused."""
    try:
        io = skops_io()
        from sklearn.exceptions import InconsistentVersionWarning
    except ImportError as error:
        raise MissingLayerError("skops", "base", "to run a model that has no ONNX form") from error
    name = source if isinstance(source, Path) else "model.skops"
    content = source.read_bytes() if isinstance(source, Path) else source
    try:
        unknown = set(io.get_untrusted_types(data=content))
    except Exception as error:  # damage can surface as any error of zipfile, json or skops
        raise BundleError(name, f"no readable skops file ({_first_line(error)})", "build it again") from error
    if refused := sorted(unknown - ALLOWED_TYPES):
        raise BundleError(
            name,
            f"expected types of our list, found {', '.join(refused)}",
            "do not load it; if you trust the type, add it to ALLOWED_TYPES in perennial/live/models.py",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", InconsistentVersionWarning)
            return io.loads(content, trusted=sorted(unknown))
    except InconsistentVersionWarning as error:
        raise BundleError(
            name,
            f"expected scikit-learn {error.original_sklearn_version}, found {error.current_sklearn_version}",
            "install the version of its manifest, or train again",
        ) from error
    except ImportError as error:
        raise MissingLayerError(str(error.name), "base", "to run a model that has no ONNX form") from error


def single_threaded(estimator: Any) -> None:
    """Set every `n_jobs` inside an estimator to 1: starting threads costs more than one row does."""
    if hasattr(estimator, "n_jobs"):
        estimator.n_jobs = 1
    for attribute in ("steps", "transformers_", "estimators_", "calibrated_classifiers_", "members_"):
        for part in getattr(estimator, attribute, ()):
            single_threaded(part[1] if isinstance(part, tuple) else part)
    for attribute in ("estimator", "estimator_"):
        if hasattr(estimator, attribute):
            single_threaded(getattr(estimator, attribute))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
