"""Prediction intervals from residuals of rows that the model was not fitted on."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from perennial.errors import NotEnoughDataError
from perennial.live.answer import Interval, Spread

Floats = npt.NDArray[np.float64]

ROWS_PER_BIN = 100
"""Fewest residuals in a bin: below that its extreme quantiles are a handful of rows, and widths are noise."""


def conformal_interval(
    raw: Floats,
    truth: Floats,
    level: float,
    bins: int = 10,
    spread: Spread | None = None,
    hardness: Floats | None = None,
) -> Interval:
    """Offsets around a raw output that cover the truth with probability `level`, by how hard a row is.

    Out-of-fold residuals are split at quantiles of the rows' hardness into at most `bins` bins, and each tail
    of a bin gets half of what may be missed: the offset above is the ceil((n + 1)(1 - a / 2))-th smallest of n
    residuals, with a = 1 - level, the one below its mirror image (Vovk, Gammerman and Shafer 2005, section
    4.5; Lei et al. 2018). Covering holds on average over rows that are exchangeable with these; out-of-fold
    residuals come from models fitted on a little less data, so that it errs on the wide side.

    Args:
        raw: out-of-fold outputs on the learned scale, shape (n_rows,); rows that are NaN (in no fold) are
            left out.
        truth: the true values on the learned scale, shape (n_rows,).
        level: nominal coverage, between 0 and 1.
        bins: how many bins at most; fewer where rows are few or hardness repeats.
        spread: what measures the hardness of new rows; residuals are then divided by exp(hardness). Without it
            the hardness is the raw output, and residuals stay as they are.
        hardness: the spread of these rows, shape (n_rows,), by tables fitted to other rows; with `spread`.

    Raises:
        NotEnoughDataError: if there are too few residuals for any interval of this level.
    """
    raw, truth = np.asarray(raw, dtype=np.float64).reshape(-1), np.asarray(truth, dtype=np.float64)
    used = np.isfinite(raw)
    raw, residuals = raw[used], (truth - raw)[used]
    if hardness is None:
        hardness = raw
    else:
        hardness = hardness[used]
        residuals = residuals / np.exp(hardness)
    miss = 1.0 - level
    needed = math.ceil(2.0 / miss - 1e-9) - 1 if miss > 0 else len(raw) + 1
    if len(raw) < needed:
        raise NotEnoughDataError(f"a prediction interval of level {level:g}", len(raw), needed)
    edges, placed = _edges(hardness, bins, max(ROWS_PER_BIN, needed))
    low, high = [], []
    for i in range(len(edges) + 1):
        own = np.sort(residuals[placed == i])
        rank = math.ceil((len(own) + 1) * (1.0 - miss / 2.0) - 1e-9)
        high.append(float(own[rank - 1]))
        low.append(float(own[len(own) - rank]))
    return Interval(level=level, edges=edges, low=tuple(low), high=tuple(high), spread=spread)


def _edges(hardness: Floats, bins: int, fewest: int) -> tuple[tuple[float, ...], npt.NDArray[np.intp]]:
    """The bounds of at most `bins` bins of at least `fewest` rows (or one bin), and each row's bin."""
    while bins > 1:
        edges = np.unique(np.quantile(hardness, np.arange(1, bins) / bins))
        placed = np.searchsorted(edges, hardness, side="right")
        if np.bincount(placed, minlength=len(edges) + 1).min() >= fewest:
            return tuple(float(e) for e in edges), placed
        bins -= 1
    return (), np.zeros(len(hardness), dtype=np.intp)
