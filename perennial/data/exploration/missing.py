"""Where values are missing: the share in every block of rows, in the order of time or of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perennial.data.exploration.feeds import own_rows
from perennial.data.exploration.histogram import Floats
from perennial.data.exploration.reading import Seen

MOST_BLOCKS = 48
MOST_COLUMNS = 60


@dataclass(frozen=True)
class Pattern:
    """Shares of missing values, shape (columns, blocks).

    `starts` are the times (seconds since 1970) at which blocks start where rows were put in order of time,
    else the numbers of their first rows.
    """

    names: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    starts: tuple[float, ...]
    by_time: bool
    rows_per_block: int
    left_out: int


def pattern(frame: pd.DataFrame, columns: Sequence[Seen], times: Floats | None) -> Pattern | None:
    """The pattern of the columns that miss a value somewhere but not everywhere; None where there is none.

    Blocks hold equally many rows; rows without a time come last. Of several feeds, a column's shares are of the
    rows of those feeds that have it.
    """
    partial = [c for c in columns if 0 < c.missing < c.rows]
    if not partial:
        return None
    drawn = sorted(sorted(partial, key=lambda c: -c.missing)[:MOST_COLUMNS], key=lambda c: c.place)
    rows = len(frame)
    blocks = min(MOST_BLOCKS, rows)
    order = np.arange(rows) if times is None else np.argsort(times, kind="stable")
    block = np.empty(rows, dtype=np.int64)
    block[order] = np.arange(rows) * blocks // rows
    sizes = np.bincount(block, minlength=blocks)

    def shares_of(column: Seen) -> tuple[float, ...]:
        own = own_rows(frame, column.place)
        missing = frame.iloc[:, column.place].isna().to_numpy() & own
        counted = np.bincount(block[own], minlength=blocks)
        return tuple((np.bincount(block[missing], minlength=blocks) / np.maximum(counted, 1)).tolist())

    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    starts = first + 1.0 if times is None else times[order[first]]
    return Pattern(
        names=tuple(c.name for c in drawn),
        shares=tuple(map(shares_of, drawn)),
        starts=tuple(starts.tolist()),
        by_time=times is not None,
        rows_per_block=int(sizes.max()),
        left_out=len(partial) - len(drawn),
    )
