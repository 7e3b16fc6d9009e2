"""Prediction intervals from residuals of rows that the model was not fitted on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from perennial.errors import NotEnoughDataError
from perennial.learn.rows import moments_of
from perennial.live.answer import AnswerRule, Answers, Band, Interval, Spread
from perennial.live.recent import followed
from perennial.table import Table

Floats = npt.NDArray[np.float64]

ROWS_PER_BIN = 100
"""Fewest residuals in a bin: below that its extreme quantiles are a handful of rows, and widths are noise."""


def conformal_interval(
    raw: Floats,
    truth: Floats,
    levels: Sequence[float],
    bins: int = 10,
    spread: Spread | None = None,
    hardness: Floats | None = None,
    column: int | None = None,
    values: Floats | None = None,
) -> Interval:
    """Offsets around a raw output that cover the truth with the probability of each level, by how hard a row is.

    Out-of-fold residuals are split at quantiles of the rows' hardness into at most `bins` bins, and each tail
    of a bin gets half of what may be missed: the offset above is the ceil((n + 1)(1 - a / 2))-th smallest of n
    residuals, with a = 1 - level, the one below its mirror image (Vovk, Gammerman and Shafer 2005, section
    4.5; Lei et al. 2018). Covering holds on average over rows that are exchangeable with these; out-of-fold
    residuals come from models fitted on a little less data, so that it errs on the wide side.

    Args:
        raw: out-of-fold outputs on the learned scale, shape (n_rows,); rows that are NaN (in no fold) are
            left out.
        truth: the true values on the learned scale, shape (n_rows,).
        levels: nominal coverages, between 0 and 1; the first is the interval's own.
        bins: how many bins at most; fewer where rows are few or hardness repeats.
        spread: what measures the hardness of new rows; residuals are then divided by exp(hardness). Without it
            the hardness is the raw output, and residuals stay as they are.
        hardness: the spread of these rows, shape (n_rows,), by tables fitted to other rows; with `spread`.
        column: a matrix column that bins are of instead, one per value as far as rows suffice.
        values: that column of these rows, shape (n_rows,); with `column`.

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
    widest = max(levels)
    needed = math.ceil(2.0 / (1.0 - widest) - 1e-9) - 1 if widest < 1 else len(raw) + 1
    if len(raw) < needed:
        raise NotEnoughDataError(f"a prediction interval of level {widest:g}", len(raw), needed)
    fewest = max(ROWS_PER_BIN, needed)
    if values is None:
        edges, placed = _edges(hardness, bins, fewest)
    else:
        edges, placed = _edges_between(values[used], fewest)
    own = [np.sort(residuals[placed == i]) for i in range(len(edges) + 1)]
    first, *further = (Band(level, *_offsets(own, level)) for level in levels)
    return Interval(first.level, edges, first.low, first.high, spread, column, tuple(further))


def following(answers: Answers, rule: AnswerRule, rows: Table) -> Answers:
    """The answers to rows with known truth, as a forecaster gives them one origin after the other (see `followed`).

    Those of rows that are no series stay as they are.
    """
    moments = moments_of(rows)
    return answers if moments is None else followed(answers, rule, rows.y, moments)


def _offsets(residuals: list[Floats], level: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The offsets below and above for every bin's sorted residuals."""
    ranks = [math.ceil((len(own) + 1) * (1.0 + level) / 2.0 - 1e-9) for own in residuals]
    pairs = list(zip(residuals, ranks, strict=True))
    return (
        tuple(float(own[len(own) - rank]) for own, rank in pairs),
        tuple(float(own[rank - 1]) for own, rank in pairs),
    )


def _edges_between(values: Floats, fewest: int) -> tuple[tuple[float, ...], npt.NDArray[np.intp]]:
    """The bounds of bins of neighbouring values with at least `fewest` rows each, and each row's bin."""
    known, counts = np.unique(values, return_counts=True)
    edges, rows = [], 0
    left = int(counts.sum())
    for before, after, count in zip(known[:-1], known[1:], counts[:-1], strict=True):
        rows, left = rows + int(count), left - int(count)
        if rows >= fewest and left >= fewest:
            edges.append(float(before + after) / 2.0)
            rows = 0
    return tuple(edges), np.searchsorted(np.asarray(edges), values, side="right")


def _edges(hardness: Floats, bins: int, fewest: int) -> tuple[tuple[float, ...], npt.NDArray[np.intp]]:
    """The bounds of at most `bins` bins of at least `fewest` rows (or one bin), and each row's bin."""
    while bins > 1:
        edges = np.unique(np.quantile(hardness, np.arange(1, bins) / bins))
        placed = np.searchsorted(edges, hardness, side="right")
        if np.bincount(placed, minlength=len(edges) + 1).min() >= fewest:
            return tuple(float(e) for e in edges), placed
        bins -= 1
    return (), np.zeros(len(hardness), dtype=np.intp)
