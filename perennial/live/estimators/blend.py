"""A blend of several models: a weighted mean, whose weights come from rows that the members did not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone

from perennial.live.export.graph import Graph
from perennial.live.export.operators import emit
from perennial.live.models import single_threaded

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
Folds = Sequence[tuple[Positions, Positions]]

FEWEST_ROWS = 50
"""Rows outside of the inner folds' fits below which weights are not worth learning: members then count alike."""


class _Blend(BaseEstimator):  # type: ignore[misc]
    """What both kinds of blend share.

    Weights are at least 0, sum to 1 and minimise the squared error of the blend on rows of inner folds that its
    members were not fitted to (Breiman 1996, Stacked regressions); members that get none are left out of the
    model.

    Args:
        members: pairs of a name and an unfitted estimator.
        weights: `learned`, or `equal` for the plain mean.
    """

    def __init__(
        self,
        members: Sequence[tuple[str, Any]] = (),
        weights: Literal["learned", "equal"] = "learned",
    ) -> None:
        self.members = members
        self.weights = weights

    def _fit(
        self, X: Floats, y: npt.NDArray[Any], folds: Folds, arguments: Sequence[Mapping[str, Any]]
    ) -> None:
        if self.weights not in ("learned", "equal"):
            raise ValueError(f"expected weights to be learned or equal, found {self.weights!r}")
        told = arguments or [{} for _ in self.members]
        self.n_features_in_ = X.shape[1]
        shares = np.full(len(self.members), 1 / len(self.members))
        if self.weights == "learned" and sum(len(unseen) for _, unseen in folds) >= FEWEST_ROWS:
            shares = convex_weights(self._errors(X, y, folds, told))
        self.shares_ = shares
        self.members_ = [
            (name, clone(member).fit(X, y, **own))
            for (name, member), own, share in zip(self.members, told, shares, strict=True)
            if share > 0
        ]
        self.weights_ = shares[shares > 0]

    def _errors(
        self, X: Floats, y: npt.NDArray[Any], folds: Folds, arguments: Sequence[Mapping[str, Any]]
    ) -> Floats:
        """The errors of every member on the rows that it did not see, shape (n_errors, n_members)."""
        columns = []
        for (_, member), own in zip(self.members, arguments, strict=True):
            errors = []
            for seen, unseen in folds:
                fitted = clone(member).fit(X[seen], y[seen], **_at(own, seen, len(X)))
                single_threaded(fitted)  # a forest's sum depends on which thread is done first
                errors.append(self._error(fitted, X[unseen], y[unseen]).reshape(-1))
            columns.append(np.concatenate(errors))
        return np.column_stack(columns)

    def _error(self, fitted: Any, X: Floats, y: npt.NDArray[Any]) -> Floats:
        raise NotImplementedError

    def emit(self, graph: Graph, x: str) -> str:
        """Add this blend to an ONNX graph; returns the output's name, shape (n_rows, n_outputs)."""
        parts = [
            graph.op("Mul", self._emitted(graph, member, x), graph.constant(np.float64(weight)))
            for (_, member), weight in zip(self.members_, self.weights_, strict=True)
        ]
        return graph.op("Sum", *parts)

    def _emitted(self, graph: Graph, member: Any, x: str) -> str:
        return emit(graph, member, x)


class Blend(RegressorMixin, _Blend):  # type: ignore[misc]
    """A blend of regressions (see `_Blend`)."""

    def fit(
        self,
        X: Floats,
        y: Floats,
        folds: Folds = (),
        arguments: Sequence[Mapping[str, Any]] = (),
    ) -> Blend:
        """Fit members and weights.

        Args:
            X: rows, shape (n_rows, n_features).
            y: numbers, shape (n_rows,).
            folds: positions of rows to fit and of rows to weigh; too few of these, and members count alike.
            arguments: what each member's `fit` takes besides; arrays of n_rows values are told by row.
        """
        self._fit(X, y, folds, arguments)
        return self

    def predict(self, X: Floats) -> Floats:
        """The numbers for rows of shape (n_rows, n_features), shape (n_rows,)."""
        total = np.zeros(len(X))
        for (_, member), weight in zip(self.members_, self.weights_, strict=True):
            total += weight * np.asarray(member.predict(X), dtype=np.float64).reshape(-1)
        return total

    def _error(self, fitted: Any, X: Floats, y: Floats) -> Floats:
        found: Floats = np.asarray(fitted.predict(X), dtype=np.float64).reshape(-1) - y
        return found


class BlendOfClasses(ClassifierMixin, _Blend):  # type: ignore[misc]
    """A blend of probabilities (see `_Blend`); classes are whole numbers from 0."""

    def fit(
        self,
        X: Floats,
        y: npt.NDArray[np.int64],
        folds: Folds = (),
        arguments: Sequence[Mapping[str, Any]] = (),
    ) -> BlendOfClasses:
        """Fit members and weights; as `Blend.fit`, with classes of shape (n_rows,)."""
        self.classes_ = np.unique(y)
        self._fit(X, y, folds, arguments)
        return self

    def predict_proba(self, X: Floats) -> Floats:
        """The probabilities for rows (n_rows, n_features), shape (n_rows, n_classes)."""
        total = np.zeros((len(X), len(self.classes_)))
        for (_, member), weight in zip(self.members_, self.weights_, strict=True):
            total += weight * self._probabilities(member, X)
        return total

    def predict(self, X: Floats) -> npt.NDArray[np.int64]:
        """The most probable classes, shape (n_rows,)."""
        found: npt.NDArray[np.int64] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return found

    def _probabilities(self, member: Any, X: Floats) -> Floats:
        """A member's probabilities, 0 for classes that its fold had none of."""
        found = np.zeros((len(X), len(self.classes_)))
        found[:, np.searchsorted(self.classes_, member.classes_)] = member.predict_proba(X)
        return found

    def _error(self, fitted: Any, X: Floats, y: npt.NDArray[np.int64]) -> Floats:
        found: Floats = self._probabilities(fitted, X) - (y[:, None] == self.classes_)
        return found


def convex_weights(errors: Floats) -> Floats:
    """The weights that are at least 0, sum to 1 and minimise |errors @ weights|, shape (n_members,).

    A row of ones with the answer 1 is put below the errors, whose answer is 0, and the least squares of weights
    of at least 0 are solved (Lawson and Hanson 1974): whatever that row counts, the best weights are in the same
    proportion, and are then divided by their sum.
    """
    from scipy.optimize import nnls

    size = float(np.sqrt(np.mean(errors**2)))
    if not np.isfinite(size) or size == 0.0:
        return np.full(errors.shape[1], 1 / errors.shape[1])
    triangle = np.linalg.qr(errors / (size * np.sqrt(len(errors))), mode="r")
    system = np.vstack([triangle, np.ones(errors.shape[1])])
    weights, _ = nnls(system, np.append(np.zeros(len(triangle)), 1.0))
    shares: Floats = np.where(weights > 1e-9 * weights.max(), weights, 0.0)
    shares /= shares.sum()
    return shares


def _at(arguments: Mapping[str, Any], rows: Positions, count: int) -> dict[str, Any]:
    """The arguments of a fit to some of `count` rows."""
    return {
        name: value[rows] if isinstance(value, np.ndarray) and len(value) == count else value
        for name, value in arguments.items()
    }
