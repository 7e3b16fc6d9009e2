"""Rows that hang together, and what that does to the error of a mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perennial.learn.rows import moments_of
from perennial.table import Table

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class Mean(NamedTuple):
    """A mean with its standard error, and how many clusters and rows it rests on."""

    value: float
    error: float
    clusters: int
    rows: int


@dataclass(frozen=True, eq=False)
class Origins:
    """How the rows of a series hang together.

    Attributes:
        place: the number of each row's origin in order of time, shape (n_rows,).
        overlapping: how many successive origins look at one truth; 1 where they do not overlap.
    """

    place: Codes
    overlapping: int

    @property
    def count(self) -> int:
        """How many origins there are."""
        return int(self.place.max()) + 1

    @property
    def block_length(self) -> int:
        """How many successive origins are drawn together: the cube root of their number (Künsch 1989).

        At least as many as look at one truth.
        """
        root: int = math.ceil(self.count ** (1 / 3))
        return max(1, self.overlapping, root)

    @property
    def blocks(self) -> Codes:
        """The block of each row, where origins are cut into blocks that do not overlap."""
        return np.asarray(self.place // self.block_length, dtype=np.int64)

    def of(self, chosen: npt.NDArray[Any]) -> Origins:
        """The origins of some of the rows (positions or a mask), numbered without gaps."""
        return Origins(_dense(self.place[chosen]).astype(np.int64), self.overlapping)


def origins_of(table: Table) -> Origins | None:
    """The origins of a table's rows; None where rows are no series (see `moments_of`)."""
    moments = moments_of(table)
    if moments is None:
        return None
    origins, place = np.unique(moments[:, 0], return_inverse=True)
    ahead = float((moments[:, 1] - moments[:, 0]).max())
    overlapping = np.median(np.searchsorted(origins, origins + ahead) - np.arange(len(origins)))
    return Origins(np.asarray(place, dtype=np.int64).reshape(-1), max(1, int(overlapping)))


def clusters_of(table: Table) -> Codes:
    """Which cluster each row belongs to, shape (n_rows,); rows of different clusters are taken as independent.

    Rows with the same id are one; rows of a series are put in blocks (see `Origins.blocks`).
    """
    import pandas as pd

    origins = origins_of(table)
    return pd.factorize(table.ids)[0].astype(np.int64) if origins is None else origins.blocks


def mean_of(values: Floats, clusters: Codes) -> Mean:
    """The mean of `values` with a standard error that lets rows of one cluster be alike.

    The error is that of a ratio of cluster totals to cluster sizes (Cochran 1977, equation 6.13); infinite with a
    single cluster.
    """
    rows, mean = len(values), float(values.mean())
    totals = np.bincount(_dense(clusters), weights=values - mean)
    count = len(totals)
    if count < 2:
        return Mean(mean, math.inf, count, rows)
    return Mean(mean, math.sqrt(float(totals @ totals) * count / (count - 1)) / rows, count, rows)


def share_interval(
    hits: npt.NDArray[np.bool_], clusters: Codes, level: float, inflation: float = 1.0
) -> tuple[float, float]:
    """The interval of a share (Wilson 1927), for as many independent rows as tell as much as these do.

    Their number is the one whose binomial variance is the square of the clustered error (Kish 1965), and that of the
    clusters where all rows agree; the t-distribution of the number of clusters takes the place of the normal one.
    `inflation` multiplies the variance, where the share has other errors besides.
    """
    from scipy.special import stdtrit

    mean = mean_of(hits.astype(np.float64), clusters)
    share, spread = mean.value, mean.value * (1.0 - mean.value)
    if math.isinf(mean.error):
        return 0.0, 1.0
    n = min(spread / mean.error**2, mean.rows) if spread > 0 and mean.error > 0 else mean.clusters
    n /= inflation
    z = float(stdtrit(mean.clusters - 1, (1.0 + level) / 2.0))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(spread / n + z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def above_zero_p(values: Floats, clusters: Codes) -> float:
    """The one-sided p-value of a mean above 0 (a t-test on clusters); 1 with fewer than two clusters."""
    from scipy.special import stdtr

    mean = mean_of(values, clusters)
    if mean.clusters < 2:
        return 1.0
    if mean.error == 0.0:
        return 0.0 if mean.value > 0 else 1.0
    return float(stdtr(mean.clusters - 1, -mean.value / mean.error))


def _dense(clusters: Codes) -> npt.NDArray[np.intp]:
    """The codes from 0 on without gaps."""
    return np.unique(clusters, return_inverse=True)[1].reshape(-1)
