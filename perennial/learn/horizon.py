"""The recipe of `horizon_ridge`: which columns of a table it takes, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perennial.errors import UnknownNameError
from perennial.table import Column

HORIZON = "horizon_hours"


def horizon_ridge(features: Sequence[Column], parameters: Mapping[str, Any], seed: int, threads: int) -> Any:
    """One ridge regression per horizon on standardised numbers and one-hot categories.

    Parameters name columns: `horizon`, the one that says how far ahead a row looks; `crossed`, those that are also
    multiplied with every category (how a winter's Sunday differs from a summer's); `left_out`, those that are not
    used. `alpha` and `reach` are the estimator's own.

    Raises:
        UnknownNameError: where a parameter names no feature.
    """
    from perennial.live.estimators.horizon_ridge import HorizonRidge

    places = {column.name: i for i, column in enumerate(features)}

    def place(parameter: str, name: str) -> int:
        if name not in places:
            raise UnknownNameError(f"feature in {parameter} of horizon_ridge", name, places)
        return places[name]

    own = {name: value for name, value in parameters.items() if name in ("alpha", "reach")}
    left_out = [place("left_out", name) for name in parameters.get("left_out", ())]
    return HorizonRidge(
        horizon=place("horizon", parameters.get("horizon", HORIZON)),
        categories=[
            (i, len(column.categories))
            for i, column in enumerate(features)
            if column.kind == "category" and i not in left_out
        ],
        crossed=[place("crossed", name) for name in parameters.get("crossed", ())],
        left_out=left_out,
        **own,
    )
