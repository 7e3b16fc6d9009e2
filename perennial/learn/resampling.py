"""Bootstrap weights and random signs in chunks that fit into memory, and the intervals made of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

CELLS = 250_000
"""Numbers in one chunk: 2 MB. Chunks four times as large take three times as long: they leave the cache."""


def bootstrap_weights(rows: int, resamples: int, seed: int, blocks: Codes | None = None) -> Iterator[Floats]:
    """How often each row is drawn, in chunks of shape (some resamples, rows).

    Without `blocks` each resample draws `rows` rows (Efron 1979). With them, the block of each row numbered
    without gaps, it draws as many whole blocks as there are (Carlstein 1986): rows of a series are alike. The
    chunks depend on the arguments alone, so that everything computed from them shares its resamples.
    """
    rng = np.random.default_rng(seed)
    drawn_from = rows if blocks is None else int(blocks.max()) + 1
    for size in _sizes(rows, resamples):
        drawn = rng.integers(0, drawn_from, size=(size, drawn_from), dtype=np.int32).astype(np.int64)
        drawn += np.arange(size)[:, None] * drawn_from
        counts = np.bincount(drawn.ravel(), minlength=size * drawn_from)
        weights = counts.reshape(size, drawn_from).astype(np.float64)
        yield weights if blocks is None else weights[:, blocks]


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
    columns: Floats, resamples: int, level: float, seed: int, blocks: Codes | None = None
) -> tuple[Floats, Floats]:
    """Bootstrap bounds of every column's mean; `columns` has the shape (n_rows, n_columns)."""
    means = np.concatenate(
        [
            w @ columns / w.sum(axis=1, keepdims=True)
            for w in bootstrap_weights(len(columns), resamples, seed, blocks)
        ]
    )
    low, high = np.quantile(means, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
    return low, high


def _sizes(rows: int, resamples: int) -> Iterator[int]:
    size = max(1, min(resamples, CELLS // max(rows, 1)))
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
