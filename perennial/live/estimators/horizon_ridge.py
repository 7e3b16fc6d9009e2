"""One small ridge regression per horizon, which learn from their neighbours' rows too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from perennial.live.export.graph import Graph

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]

FARTHEST = 8.0
"""Standard deviations at which a number is cut, so that one that hardly ever differs, such as the degrees above
23 in a mild country, cannot throw a forecast off on the day when it does."""

SMALLEST_SPREAD = 1e-9
"""Standard deviation, as a share of a column's size, below which a column counts as constant and is left out."""


class HorizonRidge(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression (Hoerl and Kennard 1970) with weights and an intercept of their own per horizon.

    Numbers are centred per horizon and scaled by their standard deviation within horizons; a missing one counts as
    the mean of its horizon. The weights of a horizon are fitted to the rows of the horizons within `reach` of it
    too, each centred on its own means and with a weight that falls linearly with the distance: neighbouring hours
    behave alike, and a short history has few rows of each. A row whose horizon was not trained on is answered by the
    nearest that was, one without a horizon by the middle one.

    Args:
        horizon: the matrix column that says how far ahead a row looks.
        categories: pairs of a column of category codes and how many categories there are; each category becomes
            a column of zeros and ones, none of them one where the category is missing or unknown.
        crossed: columns of numbers of which each is also multiplied with each of those zeros and ones.
        left_out: columns that are not used.
        alpha: penalty of the squared weights of standardised columns, as in scikit-learn's Ridge; above 0.
        reach: how many horizons on each side are learnt from.
    """

    def __init__(
        self,
        horizon: int = 0,
        categories: Sequence[tuple[int, int]] = (),
        crossed: Sequence[int] = (),
        left_out: Sequence[int] = (),
        alpha: float = 10.0,
        reach: int = 0,
    ) -> None:
        self.horizon = horizon
        self.categories = categories
        self.crossed = crossed
        self.left_out = left_out
        self.alpha = alpha
        self.reach = reach

    def fit(self, X: Floats, y: Floats) -> HorizonRidge:
        """Fit to rows (n_rows, n_features) and numbers (n_rows,); rows without a horizon are left out.

        Raises:
            ValueError: where alpha is not above 0, reach is below 0, or no row has a horizon.
        """
        if self.alpha <= 0 or self.reach < 0:
            raise ValueError(
                f"expected alpha above 0 and reach of at least 0, found {self.alpha} and {self.reach}"
            )
        usable = np.isfinite(X[:, self.horizon])
        if not usable.any():
            raise ValueError(f"expected rows with a horizon in column {self.horizon}, found none")
        X, y = X[usable], y[usable]
        with threadpool_limits(limits=1):  # sums of several threads differ in their last digit
            self._fit(X, y)
        return self

    def _fit(self, X: Floats, y: Floats) -> None:
        self.n_features_in_ = X.shape[1]
        self.steps_, place = np.unique(X[:, self.horizon], return_inverse=True)
        order = np.argsort(place, kind="stable")
        bounds = np.searchsorted(place[order], np.arange(len(self.steps_) + 1))
        design, y = self._design(X)[order], y[order]
        groups = [slice(start, stop) for start, stop in pairwise(bounds)]
        self.means_, self.scales_ = _standard(design, groups)
        grams, moments, middles, levels = [], [], [], []
        for number, group in enumerate(groups):
            z = _standardised(design[group], self.means_[number], self.scales_)
            middle, level = z.mean(axis=0), y[group].mean()
            z -= middle
            grams.append(z.T @ z)
            moments.append(z.T @ (y[group] - level))
            middles.append(middle)
            levels.append(level)
        gram, moment = self._with_neighbours(np.stack(grams)), self._with_neighbours(np.stack(moments))
        gram += self.alpha * np.eye(gram.shape[1])
        self.weights_ = np.linalg.solve(gram, moment[..., None])[..., 0]
        self.intercepts_ = np.array(levels) - np.einsum("hf,hf->h", np.stack(middles), self.weights_)

    def predict(self, X: Floats) -> Floats:
        """The numbers for rows of shape (n_rows, n_features), shape (n_rows,)."""
        place = self._place(X[:, self.horizon])
        z = _standardised(self._design(X), self.means_[place], self.scales_)
        found: Floats = np.einsum("nf,nf->n", z, self.weights_[place]) + self.intercepts_[place]
        return found

    def _place(self, horizons: Floats) -> Positions:
        """The position of the nearest trained horizon, shape (n_rows,)."""
        known = np.where(np.isnan(horizons), self.steps_[len(self.steps_) // 2], horizons)
        right = np.clip(np.searchsorted(self.steps_, known), 1, max(len(self.steps_) - 1, 1))
        left = right - 1
        if len(self.steps_) == 1:
            return left
        return np.where(known - self.steps_[left] <= self.steps_[right] - known, left, right)

    def _numbers(self) -> list[int]:
        apart = {self.horizon, *self.left_out, *(column for column, _ in self.categories)}
        return [i for i in range(self.n_features_in_) if i not in apart]

    def _design(self, X: Floats) -> Floats:
        """The columns that are weighted, shape (n_rows, n_weights); NaN where a number is missing."""
        parts = [X[:, self._numbers()]]
        for column, levels in self.categories:
            shown = (X[:, [column]] == np.arange(levels)).astype(np.float64)
            parts += [shown, *(shown * X[:, [number]] for number in self.crossed)]
        return np.concatenate(parts, axis=1)

    def _with_neighbours(self, sums: Floats) -> Floats:
        """Sums per horizon (n_horizons, ...), each with those of its neighbours, weighted by nearness."""
        total = sums.copy()
        for distance in range(1, min(self.reach, len(sums) - 1) + 1):
            weight = 1 - distance / (self.reach + 1)
            total[distance:] += weight * sums[:-distance]
            total[:-distance] += weight * sums[distance:]
        return total

    def emit(self, graph: Graph, x: str) -> str:
        """Add these regressions to an ONNX graph; returns the output's name, shape (n_rows, 1)."""
        place = self._emit_place(graph, x)
        design = graph.op("Concat", *self._emit_design(graph, x), axis=1)
        means, weights, intercepts = (
            graph.op("Gather", graph.constant(values), place, axis=0)
            for values in (self.means_, self.weights_, self.intercepts_[:, None])
        )
        filled = graph.op("Where", graph.op("IsNaN", design), means, design)
        z = graph.op("Div", graph.op("Sub", filled, means), graph.constant(self.scales_))
        cut = graph.op("Clip", z, graph.constant(np.float64(-FARTHEST)), graph.constant(np.float64(FARTHEST)))
        terms = graph.op("Mul", cut, weights)
        total = graph.op("ReduceSum", terms, graph.constant(np.array([1])), keepdims=1)
        return graph.op("Add", total, intercepts)

    def _emit_place(self, graph: Graph, x: str) -> str:
        horizon = graph.op("Gather", x, graph.constant(np.array([self.horizon])), axis=1)
        middle = graph.constant(self.steps_[len(self.steps_) // 2])
        known = graph.op("Where", graph.op("IsNaN", horizon), middle, horizon)
        distance = graph.op("Abs", graph.op("Sub", known, graph.constant(self.steps_[None])))
        return graph.op("ArgMin", distance, axis=1, keepdims=0)

    def _emit_design(self, graph: Graph, x: str) -> Iterator[str]:
        yield graph.op("Gather", x, graph.constant(np.array(self._numbers(), dtype=np.int64)), axis=1)
        for column, levels in self.categories:
            codes = graph.op("Gather", x, graph.constant(np.array([column])), axis=1)
            known = graph.constant(np.arange(levels, dtype=np.float64)[None])
            shown = graph.cast(graph.op("Equal", codes, known), "DOUBLE")
            yield shown
            for number in self.crossed:
                yield graph.op(
                    "Mul", shown, graph.op("Gather", x, graph.constant(np.array([number])), axis=1)
                )


def _standard(design: Floats, groups: Sequence[slice]) -> tuple[Floats, Floats]:
    """Means per group (n_groups, n_columns), and standard deviations within groups (n_columns,).

    A column without spread gets an infinite one: it has no say.
    """
    present = np.isfinite(design)
    size = np.abs(np.where(present, design, 0.0)).max(axis=0)
    overall = np.where(present, design, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    means = np.empty((len(groups), design.shape[1]))
    squares = np.zeros(design.shape[1])
    for number, group in enumerate(groups):
        known, rows = present[group], np.where(present[group], design[group], 0.0)
        count = known.sum(axis=0)
        means[number] = np.where(count > 0, rows.sum(axis=0) / np.maximum(count, 1), overall)
        squares += (np.where(known, design[group] - means[number], 0.0) ** 2).sum(axis=0)
    scales = np.sqrt(squares / np.maximum(present.sum(axis=0), 1))
    return means, np.where(scales > SMALLEST_SPREAD * size, scales, np.inf)


def _standardised(design: Floats, means: Floats, scales: Floats) -> Floats:
    z = (np.where(np.isnan(design), means, design) - means) / scales
    return np.clip(z, -FARTHEST, FARTHEST)
