"""An ARIMA model as weights on the newest values of its series.

The forecast of a fitted ARIMA model is linear in the past. What serves is therefore no state space, but one weight
per history column and a constant: the best linear forecast that the model allows from just these values.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin

from perennial.live.estimators.history import emit_history, history
from perennial.live.export.graph import Graph

Floats = npt.NDArray[np.float64]

FEWEST_VALUES = 30
MOST_MISSING = 0.1
"""Largest share of a series that may be missing; gaps are bridged by straight lines."""
ALIKE = 0.9
"""Share of rows in which columns and target must be what the series says, for all but revised values to be."""


class AutoArima(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """AutoARIMA (Hyndman and Khandakar 2008) of the series whose newest values stand in each row.

    Args:
        columns: matrix columns of the history, newest first, one step apart.
        horizon: how many steps after the newest value the target lies.
        season_length: steps in a season; 1 for none.
    """

    def __init__(self, columns: Sequence[int] = (0,), horizon: int = 1, season_length: int = 1) -> None:
        self.columns = columns
        self.horizon = horizon
        self.season_length = season_length

    def fit(self, X: Floats, y: Floats, moments: Floats | None = None) -> AutoArima:
        """Select and fit the model to the series that the rows tell in the order of their moments.

        Args:
            X: rows, shape (n_rows, n_features).
            y: the values `horizon` steps later, or their logarithms, shape (n_rows,).
            moments: when each row was predicted and when its truth came about, in hours, shape (n_rows, 2).

        Raises:
            ValueError: where the rows are no series with regular steps, the columns are not its history or the
                target not its future, or where there are too few values or columns.
        """
        from statsforecast.models import AutoARIMA

        if moments is None:
            raise ValueError("rows that are no series (no later moment that they tell about)")
        told, truth = _in_steps(X[:, list(self.columns)], y, moments)
        self.log_ = _is_log(told[:, 0], truth, self.horizon)
        if self.log_:
            told = np.log(np.where(told > 0, told, np.nan))
        _check_lags(told)
        series = _without_gaps(told[:, 0])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "possible convergence problem", UserWarning)
            seasonal = self.season_length > 1
            model = AutoARIMA(season_length=self.season_length, approximation=seasonal).fit(series).model_
        self.n_features_in_ = X.shape[1]
        p, q, P, Q, season, d, D = (int(n) for n in model["arma"])
        self.order_ = np.array([p, d, q, P, D, Q, season])
        self.fallback_ = float(np.median(series))
        self.coef_, self.intercept_ = forecast_weights(
            self.order_, model["coef"], len(self.columns), self.horizon
        )
        return self

    def predict(self, X: Floats) -> Floats:
        """The forecasts for rows of shape (n_rows, n_features), shape (n_rows,)."""
        values = history(X, self.columns, self.log_, self.fallback_)
        found: Floats = np.einsum("nk,k->n", values, self.coef_) + self.intercept_
        return found

    def emit(self, graph: Graph, x: str) -> str:
        """Add this forecast to an ONNX graph; returns the output's name, shape (n_rows, 1)."""
        values = emit_history(graph, x, self.columns, self.log_, self.fallback_)
        weighted = graph.op("MatMul", values, graph.constant(self.coef_[:, None]))
        return graph.op("Add", weighted, graph.constant(np.float64(self.intercept_)))


def forecast_weights(
    order: npt.NDArray[np.int64], coefficients: Mapping[str, float], count: int, horizon: int
) -> tuple[Floats, float]:
    """The weights of the newest `count` values, newest first, and the constant of the forecast `horizon` ahead.

    The values are differenced as the model says; what they leave is a stationary ARMA process, whose best linear
    forecast from finitely many values solves the equations of its autocovariances (Brockwell and Davis 1991,
    section 5.1); the differences are then summed up again (section 9.5). With ever more values it becomes the
    model's own forecast from its whole past.

    Raises:
        ValueError: where there are too few values to difference.
    """
    from scipy.linalg import toeplitz
    from statsmodels.tsa.arima_process import arma_acovf  # type: ignore[import-untyped]

    p, d, q, P, D, Q, season = (int(n) for n in order)
    ar = np.convolve(_lags(coefficients, "ar", p, 1, -1.0), _lags(coefficients, "sar", P, season, -1.0))
    ma = np.convolve(_lags(coefficients, "ma", q, 1, 1.0), _lags(coefficients, "sma", Q, season, 1.0))
    difference = np.ones(1)
    for lag in [1] * d + [season] * D:
        difference = np.convolve(difference, [1.0, *np.zeros(lag - 1), -1.0])
    depth = len(difference) - 1
    left = count - depth
    if left < 1:
        raise ValueError(
            f"a history of {count} values for a model that differences {depth} steps back; give more lags"
        )
    covariance = arma_acovf(ar, ma, nobs=left + horizon)
    differences = toeplitz(np.append(1.0, np.zeros(left - 1)), np.append(difference, np.zeros(left - 1)))
    known = list(np.eye(count))  # newest first: the weights that give each known value
    for step in range(1, horizon + 1):
        best = np.linalg.solve(toeplitz(covariance[:left]), covariance[step : step + left])
        before = [known[j] for j in range(depth)]
        known.insert(0, best @ differences - sum(w * b for w, b in zip(difference[1:], before, strict=True)))
    weights: Floats = known[0]
    level, slope = coefficients.get("intercept", 0.0), coefficients.get("drift", 0.0)
    constant = level * (1 - weights.sum()) + slope * (horizon + weights @ np.arange(count))
    return weights, float(constant)


def _lags(coefficients: Mapping[str, float], name: str, count: int, apart: int, sign: float) -> Floats:
    """The polynomial 1 + sign * (c_1 B^apart + c_2 B^(2 apart) + ...), lowest power first."""
    found = np.zeros(count * apart + 1)
    found[0] = 1.0
    for i in range(1, count + 1):
        found[i * apart] = sign * coefficients[f"{name}{i}"]
    return found


def _in_steps(told: Floats, y: Floats, moments: Floats) -> tuple[Floats, Floats]:
    """History (n_steps, n_columns) and target (n_steps,) at regular steps; NaN where a step has no row."""
    origin, lead = moments[:, 0], moments[:, 1] - moments[:, 0]
    if lead.max() - lead.min() > 1e-6 * max(1.0, lead.max()):
        raise ValueError(
            f"rows that look between {lead.min():g} and {lead.max():g} hours ahead; all must look equally far"
        )
    distinct, rows = np.unique(origin, return_index=True)
    if len(distinct) < FEWEST_VALUES:
        raise ValueError(f"{len(distinct)} moments, fewer than {FEWEST_VALUES}")
    steps = (distinct - distinct[0]) / np.median(np.diff(distinct))
    places = np.rint(steps).astype(np.int64)
    if (np.diff(places) < 1).any() or np.abs(steps - places).max() > 0.25:
        raise ValueError("moments that do not come at regular steps")
    history, truth = np.full((places[-1] + 1, told.shape[1]), np.nan), np.full(places[-1] + 1, np.nan)
    history[places], truth[places] = told[rows], y[rows]
    return history, truth


def _is_log(newest: Floats, truth: Floats, horizon: int) -> bool:
    """Whether the target is the logarithm of the series; raises ValueError where it is not its future at all."""
    later = newest[horizon:]
    logs = np.log(np.where(later > 0, later, np.nan))
    plain, log = (_share_alike(values, truth[: len(later)]) for values in (later, logs))
    if max(plain, log) < ALIKE:
        raise ValueError(
            f"a target that is the newest history value {horizon} steps later in {max(plain, log):.0%} of the rows "
            "alone; mend history or horizon"
        )
    return log > plain


def _check_lags(told: Floats) -> None:
    """Raises ValueError where a column is not the one before it, a step earlier."""
    for lag in range(1, told.shape[1]):
        share = _share_alike(told[lag:, lag], told[:-lag, 0])
        if share < ALIKE:
            raise ValueError(
                f"a history whose lag {lag} is the value {lag} steps earlier in {share:.0%} of the rows"
            )


def _share_alike(first: Floats, second: Floats) -> float:
    """The share of the values that are there in both and are equal; 1 where none is."""
    both = np.isfinite(first) & np.isfinite(second)
    size = np.maximum(np.abs(first[both]), 1e-9)
    return float((np.abs(first[both] - second[both]) <= 1e-6 * size).mean()) if both.any() else 1.0


def _without_gaps(series: Floats) -> Floats:
    present = np.isfinite(series)
    if 1 - present.mean() > MOST_MISSING:
        raise ValueError(
            f"a series of which {1 - present.mean():.0%} is missing, more than {MOST_MISSING:.0%}"
        )
    places = np.arange(len(series))
    return np.interp(places, places[present], series[present])
