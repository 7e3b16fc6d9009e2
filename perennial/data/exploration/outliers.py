"""Values far from the rest, by two rules that a few of them cannot bend.

Tukey's fences (Tukey 1977, Exploratory Data Analysis, chapter 2): beyond 1.5 interquartile ranges from the
quartiles a value is out, beyond 3 it is far out. Robust z (Iglewicz and Hoaglin 1993, How to Detect and Handle
Outliers, equation 3.2): |x - median| / (1.4826 MAD) above 3.5, with MAD the median absolute deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perennial.data.exploration.histogram import Floats

OUT, FAR_OUT = 1.5, 3.0
ROBUST_Z = 3.5
HEAVY_SHARE = 0.01
LONELY_Z = 20.0
FEWEST_VALUES = 20


@dataclass(frozen=True)
class Outliers:
    """How many of `values` lie beyond the fences, and how far the furthest lies.

    `low` and `high` are the inner fences, NaN where the middle half of the values is one value; `furthest` is
    the greatest robust z, NaN where more than half of the values are one value.
    """

    values: int
    low: float
    high: float
    out: int
    far_out: int
    distant: int
    furthest: float

    @property
    def heavy(self) -> bool:
        """Whether a reader should look: many values are far out, or a few are extremely far."""
        if self.far_out >= HEAVY_SHARE * self.values and self.far_out > 1:
            return True
        return self.far_out > 0 and self.furthest >= LONELY_Z


def outliers(numbers: Floats) -> Outliers | None:
    """The outliers among finite numbers; None below `FEWEST_VALUES` values."""
    if len(numbers) < FEWEST_VALUES:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        first, middle, third = np.quantile(numbers, [0.25, 0.5, 0.75]).tolist()
        width = third - first
        low, high = first - OUT * width, third + OUT * width
        out = far = 0
        if width > 0 and math.isfinite(width):
            out = int(((numbers < low) | (numbers > high)).sum())
            far_low, far_high = first - FAR_OUT * width, third + FAR_OUT * width
            far = int(((numbers < far_low) | (numbers > far_high)).sum())
        else:
            low = high = math.nan
        distances = np.abs(numbers - middle)
        spread = 1.4826 * float(np.median(distances))
        z = distances / spread if spread > 0 and math.isfinite(spread) else np.full(len(numbers), np.nan)
    return Outliers(
        values=len(numbers),
        low=low,
        high=high,
        out=out,
        far_out=far,
        distant=int((z > ROBUST_Z).sum()),
        furthest=float(z.max()),
    )
