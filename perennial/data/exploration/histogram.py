"""Histograms: counts over equal bins, and the smallest drawing of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 24
MOST_WHOLE = 40

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """Counts over equal bins from `low` to `high`; `beyond` values outside the ends are in the outer bins."""

    counts: tuple[int, ...]
    low: float
    high: float
    beyond: int = 0


@np.errstate(over="ignore")
def histogram(numbers: Floats, bins: int = BINS) -> Histogram | None:
    """The histogram of finite numbers, from the 0.5th to the 99.5th percentile where that is a range.

    A few whole numbers get a bin each. None where there is no number, only one value, or a range that no
    float holds.
    """
    if not len(numbers):
        return None
    least, greatest = float(numbers.min()), float(numbers.max())
    if greatest - least < MOST_WHOLE and least < greatest and bool((numbers == np.round(numbers)).all()):
        counts = np.bincount((numbers - least).astype(np.int64))
        return Histogram(tuple(counts.tolist()), least - 0.5, greatest + 0.5)
    low, high = np.quantile(numbers, [0.005, 0.995]).tolist()
    if not low < high:
        low, high = least, greatest
    if not low < high or not np.isfinite(high - low) or high - low < 1e-12 * max(abs(low), abs(high)):
        return None
    counts = np.histogram(np.clip(numbers, low, high), bins=bins, range=(low, high))[0]
    beyond = int(((numbers < low) | (numbers > high)).sum())
    return Histogram(tuple(counts.tolist()), low, high, beyond)


def bars(counts: npt.NDArray[Any] | tuple[int, ...]) -> str:
    """An inline drawing of bars without axes, the tallest as high as the drawing."""
    values = np.asarray(counts, dtype=np.float64)
    heights = 40 * values / values.max()
    width = 240 / len(values)
    drawn = "".join(
        f'<rect class="main" x="{i * width:.1f}" y="{40 - h:.1f}" width="{width - 1:.1f}" height="{h:.1f}"/>'
        for i, h in enumerate(np.maximum(heights, 0.5 * (values > 0)).tolist())
        if h > 0
    )
    return f'<svg viewBox="0 0 240 40" role="img" aria-label="distribution">{drawn}</svg>'
