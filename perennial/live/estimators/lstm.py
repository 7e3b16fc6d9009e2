"""A small recurrent network over the newest values of a series: learned by PyTorch, answered by numpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin

from perennial.live.estimators.history import emit_history, history
from perennial.live.export.graph import Graph

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]

WATCHED = 0.15
"""Share of the rows, the last of a series, whose loss says when to stop; nothing is fitted to them."""
FEWEST_ROWS = 40
LARGEST_STEP = 1.0
"""Norm at which a gradient is cut."""


class Lstm(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A long short-term memory (Hochreiter and Schmidhuber 1997; with forget gates, Gers et al. 2000).

    It reads the history from the oldest value to the newest; the answer is linear in its last state, the history
    itself (the autoregressive part of Lai et al. 2018, LSTNet) and the other columns. All of them and the target
    are standardised; a missing value of the history is the next older one that is there, of another column its
    median. Weights are float64 arrays, so that only `fit` needs PyTorch.

    Args:
        columns: matrix columns of the history, newest first.
        others: matrix columns of further numbers.
        hidden: size of the state.
        epochs: most passes over the rows.
        patience: passes without a lower loss on the watched rows after which it stops.
        learning_rate: of Adam (Kingma and Ba 2015).
        batch_size: rows per step.
        seed: draws the first weights and the order of the rows.
    """

    def __init__(
        self,
        columns: Sequence[int] = (0,),
        others: Sequence[int] = (),
        hidden: int = 16,
        epochs: int = 100,
        patience: int = 10,
        learning_rate: float = 0.005,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.columns = columns
        self.others = others
        self.hidden = hidden
        self.epochs = epochs
        self.patience = patience
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.seed = seed

    def fit(self, X: Floats, y: Floats, moments: Floats | None = None) -> Lstm:
        """Fit to rows (n_rows, n_features) and numbers (n_rows,).

        `moments`, shape (n_rows, 2), put rows in order; without them the watched rows are drawn by lot.

        Raises:
            ValueError: where there are too few rows, or no value in the history.
        """
        if len(X) < FEWEST_ROWS:
            raise ValueError(f"{len(X)} rows, fewer than {FEWEST_ROWS}")
        newest = X[:, list(self.columns)]
        if not np.isfinite(newest).any():
            raise ValueError("a history without a single value")
        self.n_features_in_ = X.shape[1]
        self.level_ = float(np.nanmean(newest))
        self.spread_ = _spread(np.nanstd(newest))
        others = X[:, list(self.others)]
        self.medians_ = np.array([_median(column) for column in others.T])
        filled = np.where(np.isnan(others), self.medians_, others)
        self.means_, self.scales_ = filled.mean(axis=0), _spreads(filled.std(axis=0))
        self.middle_, self.unit_ = float(np.mean(y)), _spread(np.std(y))
        self.weights_ = _learned(
            *self._inputs(X),
            (y - self.middle_) / self.unit_,
            *self._watched(len(X), moments),
            self.get_params(),
        )
        return self

    def predict(self, X: Floats) -> Floats:
        """The numbers for rows of shape (n_rows, n_features), shape (n_rows,)."""
        sequence, beside = self._inputs(X)
        told, kept, bias, head, shift = (self.weights_[name] for name in NAMES)
        state = memory = np.zeros((len(X), self.hidden))
        for value in sequence.T:
            gates = value[:, None] * told + state @ kept + bias
            entering, forgetting, candidate, leaving = np.split(gates, 4, axis=1)
            memory = _sigmoid(forgetting) * memory + _sigmoid(entering) * np.tanh(candidate)
            state = _sigmoid(leaving) * np.tanh(memory)
        found: Floats = np.column_stack([state, beside]) @ head + shift
        return found * self.unit_ + self.middle_

    def _inputs(self, X: Floats) -> tuple[Floats, Floats]:
        """The standardised history, oldest first (n_rows, n_steps), and what the answer is linear in beside it."""
        values = (history(X, self.columns, False, self.level_) - self.level_) / self.spread_
        others = X[:, list(self.others)]
        others = (np.where(np.isnan(others), self.medians_, others) - self.means_) / self.scales_
        return values[:, ::-1], np.column_stack([values, others])

    def _watched(self, count: int, moments: Floats | None) -> tuple[Positions, Positions]:
        """The rows to fit and the rows to watch."""
        drawn = np.random.default_rng([self.seed, count]).permutation(count)
        if moments is None:
            stop = round(count * (1 - WATCHED))
            return np.sort(drawn[:stop]), np.sort(drawn[stop:])
        origin, target = moments.T
        start = np.quantile(origin, 1 - WATCHED, method="higher")
        fitted, watched = (
            np.flatnonzero((origin < start) & (target <= start)),
            np.flatnonzero(origin >= start),
        )
        if not len(fitted):
            raise ValueError("no row whose truth had come about before the rows that are watched")
        return fitted, watched

    def emit(self, graph: Graph, x: str) -> str:
        """Add this network, step by step, to an ONNX graph; returns the output's name, shape (n_rows, 1)."""
        told, kept, bias, head, shift = (self.weights_[name] for name in NAMES)
        raw = emit_history(graph, x, self.columns, False, self.level_)
        values = _emit_standard(graph, raw, self.level_, self.spread_)
        told_name, kept_name, bias_name = (graph.constant(part) for part in (told[None], kept, bias[None]))
        places = [graph.constant(np.arange(self.hidden) + self.hidden * gate) for gate in range(4)]
        state = memory = graph.constant(np.zeros((1, self.hidden)))
        for step in reversed(range(len(self.columns))):
            value = _emit_columns(graph, values, [step])
            inner = graph.op("Add", graph.op("Mul", value, told_name), graph.op("MatMul", state, kept_name))
            gates = graph.op("Add", inner, bias_name)
            parts = [graph.op("Gather", gates, place, axis=1) for place in places]
            entering, forgetting, leaving = (graph.op("Sigmoid", parts[gate]) for gate in (0, 1, 3))
            fresh = graph.op("Mul", entering, graph.op("Tanh", parts[2]))
            memory = graph.op("Add", graph.op("Mul", forgetting, memory), fresh)
            state = graph.op("Mul", leaving, graph.op("Tanh", memory))
        beside = [values, *self._emit_others(graph, x)]
        row = graph.op("Concat", state, *beside, axis=1)
        answer = graph.op(
            "Add", graph.op("MatMul", row, graph.constant(head[:, None])), graph.constant(shift)
        )
        scaled = graph.op("Mul", answer, graph.constant(np.float64(self.unit_)))
        return graph.op("Add", scaled, graph.constant(np.float64(self.middle_)))

    def _emit_others(self, graph: Graph, x: str) -> Iterator[str]:
        if len(self.others):
            values = _emit_columns(graph, x, list(self.others))
            filled = graph.op("Where", graph.op("IsNaN", values), graph.constant(self.medians_), values)
            yield _emit_standard(graph, filled, self.means_, self.scales_)


NAMES = ("told", "kept", "bias", "head", "shift")
"""The weights of a value (4 n,), of the state (n, 4 n), their constant (4 n,), and the answer's (n_inputs,) and ();
the four parts are what enters, what is forgotten, what is new and what leaves, for a state of size n."""


def _learned(
    sequence: Floats,
    beside: Floats,
    y: Floats,
    fitted: Positions,
    watched: Positions,
    rules: Mapping[str, Any],
) -> dict[str, Floats]:
    """The weights with the lowest loss on the watched rows, by `NAMES`.

    The loss is Huber's with a bend at one standard deviation of the target. It runs on one thread, and weights and
    orders come from numpy, so that the numbers do not depend on what else runs in the process.
    """
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(rules["seed"])
    rows = [torch.from_numpy(np.ascontiguousarray(part)) for part in (sequence[:, :, None], beside, y)]
    size = rules["hidden"]
    network = torch.nn.LSTM(1, size, batch_first=True, dtype=torch.float64)
    head = torch.nn.Linear(size + beside.shape[1], 1, dtype=torch.float64)
    parts = [network.weight_ih_l0, network.weight_hh_l0, network.bias_ih_l0, head.weight, head.bias]
    with torch.no_grad():
        network.bias_hh_l0.zero_()
        for part in parts:
            part.copy_(torch.from_numpy(rng.uniform(-1.0, 1.0, tuple(part.shape)) / np.sqrt(size)))

    def loss(chosen: Positions) -> Any:
        series, other, truth = (part[torch.from_numpy(chosen)] for part in rows)
        last = network(series)[0][:, -1]
        answer = head(torch.cat([last, other], dim=1))[:, 0]
        return torch.nn.functional.smooth_l1_loss(answer, truth)

    optimiser = torch.optim.Adam(parts, lr=rules["learning_rate"])
    best, lowest, since = [part.detach().clone() for part in parts], np.inf, 0
    for _ in range(rules["epochs"]):
        order = rng.permutation(fitted)
        for start in range(0, len(order), rules["batch_size"]):
            optimiser.zero_grad()
            loss(order[start : start + rules["batch_size"]]).backward()
            torch.nn.utils.clip_grad_norm_(parts, LARGEST_STEP)
            optimiser.step()
        with torch.no_grad():
            now = float(loss(watched))
        since += 1
        if now < lowest:
            best, lowest, since = [part.detach().clone() for part in parts], now, 0
        if since >= rules["patience"]:
            break
    told, kept, bias, weights, shift = (part.numpy() for part in best)
    found = (told[:, 0], kept.T, bias, weights[0], shift[0])
    return {name: np.array(part, dtype=np.float64) for name, part in zip(NAMES, found, strict=True)}


def _sigmoid(z: Floats) -> Floats:
    found: Floats = 0.5 * (1.0 + np.tanh(0.5 * z))
    return found


def _median(column: Floats) -> float:
    present = column[np.isfinite(column)]
    return float(np.median(present)) if len(present) else 0.0


def _spread(value: Any) -> float:
    return float(value) if value > 0 else 1.0


def _spreads(values: Floats) -> Floats:
    return np.where(values > 0, values, 1.0)


def _emit_columns(graph: Graph, x: str, columns: Sequence[int]) -> str:
    return graph.op("Gather", x, graph.constant(np.array(columns, dtype=np.int64)), axis=1)


def _emit_standard(graph: Graph, values: str, mean: Any, scale: Any) -> str:
    centred = graph.op("Sub", values, graph.constant(np.asarray(mean, dtype=np.float64)))
    return graph.op("Div", centred, graph.constant(np.asarray(scale, dtype=np.float64)))
