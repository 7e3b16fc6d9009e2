"""Bootstrap weights and random signs in chunks that fit into memory, and the intervals made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from perennial.learn.clusters import Origins

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

CELLS = 250_000
"""Numbers in one chunk: 2 MB. Chunks four times as large take three times as long: they leave the cache."""


def bootstrap_weights(units: int, resamples: int, seed: int, length: int = 1) -> Iterator[Floats]:
    """How often each unit is drawn, in chunks of shape (some resamples, units).

    Each resample draws `units` units (Efron 1979), for a `length` above 1 in blocks of as many successive ones that
    go round from the last to the first (Politis and Romano 1992); the last block is cut. The chunks depend on the
    arguments alone, so that everything computed from them shares its resamples.
    """
    rng = np.random.default_rng(seed)
    for size in _sizes(units, resamples):
        drawn = rng.integers(0, units, size=(size, -(-units // length)), dtype=np.int32).astype(np.int64)
        if length > 1:
            drawn = (drawn[:, :, None] + np.arange(length)).reshape(size, -1)[:, :units] % units
        drawn += np.arange(size)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=size * units)
        yield counts.reshape(size, units).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Draws:
    """How often each row is drawn in some resamples.

    Attributes:
        counts: how often each unit is drawn, shape (n_resamples, n_units).
        unit: the unit of each row, shape (n_rows,); None where every row is one.
    """

    counts: Floats
    unit: Codes | None = None

    def __len__(self) -> int:
        return len(self.counts)

    def total(self, values: Floats) -> Floats:
        """The sums of `values`, shape (n_rows,) or (n_rows, n_columns), with a first axis of resamples in place.

        Sums of whole units are made once: a unit of 48 rows costs a resample what one row does.
        """
        by_unit = values if self.unit is None else _by_unit(values, self.unit, self.counts.shape[1])
        return np.asarray(self.counts @ by_unit)

    def mean(self, values: Floats) -> Floats:
        """Like `total`, over the number of rows drawn."""
        rows = self.total(np.ones(len(values)))
        return np.asarray(self.total(values) / (rows if values.ndim == 1 else rows[:, None]))

    def by_row(self, compute: Callable[[Floats], Floats]) -> Floats:
        """What `compute` makes of weights of shape (some resamples, n_rows), for all resamples."""
        if self.unit is None:
            return compute(self.counts)
        starts = np.cumsum([0, *_sizes(len(self.unit), len(self))])
        return np.concatenate([compute(self.counts[a:b, self.unit]) for a, b in pairwise(starts)])


def _by_unit(values: Floats, unit: Codes, units: int) -> Floats:
    """The sums of each unit's values, with a first axis of units in place of rows."""
    columns = values.reshape(len(values), -1).T
    sums = [np.bincount(unit, weights=column, minlength=units) for column in columns]
    return np.asarray(np.column_stack(sums).reshape(units, *values.shape[1:]), dtype=np.float64)


def draws_of(rows: int, resamples: int, seed: int, origins: Origins | None = None) -> Iterator[Draws]:
    """The bootstrap of so many rows, in chunks; rows of a series are drawn by their origins, in blocks of these.

    A block holds at most half of the origins: of longer ones all resamples would be alike.
    """
    if origins is None:
        yield from map(Draws, bootstrap_weights(rows, resamples, seed))
        return
    length = min(origins.block_length, max(1, origins.count // 2))
    for counts in bootstrap_weights(origins.count, resamples, seed, length):
        yield Draws(counts, origins.place)


def flipped_means(differences: Floats, resamples: int, seed: int) -> Floats:
    """Means of `differences` under random signs, shape (resamples,): what they are if a and b are alike."""
    rng = np.random.default_rng(seed)
    rows = len(differences)
    total = differences.sum()
    means = []
    for size in _sizes(rows, resamples):
        octets = rng.integers(0, 256, size=(size, -(-rows // 8)), dtype=np.uint8)
        kept = np.unpackbits(octets, axis=1, count=rows).astype(np.float64) @ differences
        means.append((2.0 * kept - total) / rows)
    return np.concatenate(means)


def interval(values: Floats, level: float) -> tuple[float, float]:
    """The percentile interval of resampled values (Efron 1981)."""
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def mean_intervals(
    columns: Floats, resamples: int, level: float, seed: int, origins: Origins | None = None
) -> tuple[Floats, Floats]:
    """Bootstrap bounds of every column's mean; `columns` has the shape (n_rows, n_columns)."""
    means = np.concatenate(
        [draws.mean(columns) for draws in draws_of(len(columns), resamples, seed, origins)]
    )
    low, high = np.quantile(means, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
    return low, high


def _sizes(rows: int, resamples: int) -> Iterator[int]:
    size = max(1, min(resamples, CELLS // max(rows, 1)))
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
