"""A learner of what a number differs by from one of the features."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin, clone

from perennial.live.export.graph import Graph
from perennial.live.export.operators import emit

Floats = npt.NDArray[np.float64]


class Relative(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regression whose target is told relative to a feature: the difference, or on the log scale the ratio.

    What moves slowly, such as the level of a series, is then taken from the row and need not be learned: trees
    answer levels that they never saw. A missing reference, and on the log scale one that is not positive, counts
    as the median of those in training.

    Args:
        estimator: what learns the difference; it sees all features.
        column: the matrix column of the reference.
        log: whether the target is a logarithm, so that the logarithm of the reference is taken.
    """

    def __init__(self, estimator: Any = None, column: int = 0, log: bool = False) -> None:
        self.estimator = estimator
        self.column = column
        self.log = log

    def fit(self, X: Floats, y: Floats, **arguments: Any) -> Relative:
        """Fit to rows (n_rows, n_features) and numbers (n_rows,); `arguments` are for the inner estimator.

        Raises:
            ValueError: where no row has a usable reference.
        """
        reference = X[:, self.column]
        usable = reference[self._is_usable(reference)]
        if not len(usable):
            wanted = "a positive number" if self.log else "a number"
            raise ValueError(f"no row with {wanted} in the reference, column {self.column}")
        self.n_features_in_ = X.shape[1]
        self.median_ = float(np.median(usable))
        self.estimator_ = clone(self.estimator).fit(X, y - self._reference(X), **arguments)
        return self

    def predict(self, X: Floats) -> Floats:
        """The numbers for rows of shape (n_rows, n_features), shape (n_rows,)."""
        inner: Floats = np.asarray(self.estimator_.predict(X), dtype=np.float64).reshape(-1)
        return inner + self._reference(X)

    def _is_usable(self, reference: Floats) -> npt.NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            return reference > 0 if self.log else ~np.isnan(reference)

    def _reference(self, X: Floats) -> Floats:
        """The reference on the learned scale, shape (n_rows,)."""
        reference = X[:, self.column]
        filled = np.where(self._is_usable(reference), reference, self.median_)
        return np.log(filled) if self.log else filled

    def emit(self, graph: Graph, x: str) -> str:
        """Add this model to an ONNX graph; returns the output's name, shape (n_rows, 1)."""
        reference = graph.op("Gather", x, graph.constant(np.array([self.column])), axis=1)
        median = graph.constant(np.float64(self.median_))
        if self.log:
            is_usable = graph.op("Greater", reference, graph.constant(np.float64(0.0)))
            filled = graph.op("Log", graph.op("Where", is_usable, reference, median))
        else:
            filled = graph.op("Where", graph.op("IsNaN", reference), median, reference)
        return graph.op("Add", emit(graph, self.estimator_, x), filled)
