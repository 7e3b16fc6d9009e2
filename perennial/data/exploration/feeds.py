"""A dataset of several feeds: a column is missing a value only in rows of the feeds that have such a field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.data import content
from perennial.data.exploration.reading import Seen

Mask = npt.NDArray[np.bool_]


def own_rows(frame: pd.DataFrame, place: int) -> Mask:
    """The rows of the feeds that fill a column anywhere; all rows where it is empty, or there are no feeds."""
    everywhere = np.ones(len(frame), dtype=np.bool_)
    if not content.is_collected(frame.columns) or not frame.columns.is_unique:
        return everywhere
    filled = frame.loc[frame.iloc[:, place].notna().to_numpy(), "feed"].unique()
    return frame["feed"].isin(filled).to_numpy() if len(filled) else everywhere


def within(seen: Seen, values: pd.Series[Any], own: Mask) -> Seen:
    """The column with its rows and missing values counted in its own rows alone."""
    return replace(seen, rows=int(own.sum()), missing=int(values.isna().to_numpy()[own].sum()))
