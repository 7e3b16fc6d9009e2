"""The newest values of a series as columns of a row: gaps filled, in numpy and in ONNX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from perennial.live.export.graph import Graph

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]


def history(X: Floats, columns: Sequence[int], log: bool, fallback: float) -> Floats:
    """The history in each row, newest first, shape (n_rows, n_columns), without gaps.

    A missing value is the next older one that is there, else the next newer; a row without any is `fallback`
    throughout. With `log` the logarithms are taken, and what is not positive is missing.
    """
    values = X[:, list(columns)]
    if log:
        with np.errstate(invalid="ignore"):
            values = np.log(np.where(values > 0, values, np.nan))
    for neighbours in _neighbours(len(columns)):
        values = np.where(np.isnan(values), values[:, neighbours], values)
    return np.where(np.isnan(values), fallback, values)


def emit_history(graph: Graph, x: str, columns: Sequence[int], log: bool, fallback: float) -> str:
    """Add what `history` does to an ONNX graph; returns the output's name, shape (n_rows, n_columns)."""
    values = graph.op("Gather", x, graph.constant(np.array(columns, dtype=np.int64)), axis=1)
    if log:
        is_usable = graph.op("Greater", values, graph.constant(np.float64(0.0)))
        values = graph.op("Log", graph.op("Where", is_usable, values, graph.constant(np.nan)))
    for neighbours in _neighbours(len(columns)):
        beside = graph.op("Gather", values, graph.constant(neighbours), axis=1)
        values = graph.op("Where", graph.op("IsNaN", values), beside, values)
    return graph.op("Where", graph.op("IsNaN", values), graph.constant(np.float64(fallback)), values)


def _neighbours(count: int) -> Iterator[Positions]:
    """Which column each is filled from, pass by pass: older ones, then newer ones, each time twice as far."""
    for direction in (1, -1):
        distance = 1
        while distance < count:
            yield np.clip(np.arange(count, dtype=np.int64) + direction * distance, 0, count - 1)
            distance *= 2
