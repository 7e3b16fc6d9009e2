"""The recipes of candidates that read the newest values of their series from columns of the row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from perennial.errors import MissingLayerError, UnknownNameError
from perennial.learn.rows import Rows
from perennial.table import Column

Features = Sequence[Column]
Parameters = Mapping[str, Any]


def auto_arima(features: Features, parameters: Parameters, seed: int, threads: int) -> Any:
    """AutoARIMA of a series whose newest values are columns of the row.

    Raises:
        UnknownNameError: where `history` names no column.
        MissingLayerError: where statsforecast is not installed.
    """
    if find_spec("statsforecast") is None:
        raise MissingLayerError("statsforecast", "base", "for the candidate auto_arima")
    from perennial.live.estimators.arima import AutoArima

    return AutoArima(
        columns=history_positions("auto_arima", features, parameters),
        horizon=parameters["horizon"],
        season_length=parameters["season_length"],
    )


def lstm(features: Features, parameters: Parameters, seed: int, threads: int) -> Any:
    """A recurrent network over the newest values of a series, and further numbers of the row.

    `others` is `all` for all numbers that are no history, `none`, or a list of names.

    Raises:
        UnknownNameError: where `history` or `others` names no column.
        MissingLayerError: where PyTorch is not installed.
    """
    if find_spec("torch") is None:
        raise MissingLayerError("torch", "deep", "for the candidate lstm")
    from perennial.live.estimators.lstm import Lstm

    columns = history_positions("lstm", features, parameters)
    own = {name: value for name, value in parameters.items() if name not in ("history", "length", "others")}
    return Lstm(columns=columns, others=_others(features, parameters["others"], columns), seed=seed, **own)


def moments_argument(features: Features, parameters: Parameters, rows: Rows) -> dict[str, Any]:
    """What `fit` of both takes besides X and y: the moments that put rows in order."""
    return {"moments": rows.moments}


def history_positions(candidate: str, features: Features, parameters: Parameters) -> list[int]:
    """The matrix columns of a history, newest first: `history`, `history`_lag_1 and on, as far as none is missing.

    No more than `length` of them, where that is given.

    Raises:
        UnknownNameError: where `history` names no number among the features.
    """
    places = _numbers(features)
    newest = parameters.get("history")
    if newest not in places:
        raise UnknownNameError(f"feature in history of {candidate}", str(newest), places)
    return list(_positions(newest, places))[: parameters.get("length") or None]


def _positions(newest: str, places: Mapping[str, int]) -> Iterator[int]:
    name, lag = newest, 0
    while name in places:
        yield places[name]
        lag += 1
        name = f"{newest}_lag_{lag}"


def _others(features: Features, chosen: Any, columns: Sequence[int]) -> list[int]:
    places = _numbers(features)
    if chosen == "all":
        return [place for place in places.values() if place not in columns]
    names = [] if chosen == "none" else list(chosen)
    for name in names:
        if name not in places:
            raise UnknownNameError("feature in others of lstm", name, places)
    return [places[name] for name in names]


def _numbers(features: Features) -> dict[str, int]:
    """The matrix columns of numbers and truth values, by name."""
    return {column.name: i for i, column in enumerate(features) if column.kind != "category"}
