"""A part of the features of a series: named columns, how far back they look, and when what they read is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.data.features.origins import Origins
from perennial.table import Column

Values = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class History:
    """What a part may read: the origins, and the windows of series as they were known at each of them.

    Attributes:
        origins: the origins and the steps around each.
        series: windows by name, shape (n_origins, back + ahead); of the target's own series nothing from the
            origin on is in them.
        shift: how many steps before an origin its newest complete step usually lies, besides the one before it.
    """

    origins: Origins
    series: Mapping[str, npt.NDArray[np.float64]]
    shift: int = 0


@dataclass(frozen=True)
class Part:
    """A named group of feature columns.

    Attributes:
        name: what it is called in documents and tests.
        columns: the columns that it makes.
        look_back: how far before an origin it reads.
        known: `past` where it reads what happened before the origin alone; `ahead` where it also reads what is
            known beforehand for the time that is predicted: the calendar, or a forecast that was available.
        values: every column's values, of a shape that broadcasts to (n_origins, ahead).
    """

    name: str
    columns: tuple[Column, ...]
    look_back: pd.Timedelta
    known: Literal["past", "ahead"]
    values: Callable[[History], Values]


def flat(values: Values, origins: Origins) -> dict[str, npt.NDArray[Any]]:
    """The values as table columns: the steps of the first origin, then those of the next, and so on."""
    shape = (len(origins.moments), origins.ahead)
    return {name: np.broadcast_to(found, shape).reshape(-1) for name, found in values.items()}
