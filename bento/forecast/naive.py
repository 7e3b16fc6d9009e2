"""Intervals of naive forecasts, from the errors that the same forecasts made in the history."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def errors_at(known: Floats, lag: int) -> Floats:
    """What taking the value `lag` steps before missed by, for every step of which both are known."""
    if not 0 < lag < len(known):
        return np.empty(0)
    missed = known[lag:] - known[:-lag]
    found: Floats = missed[np.isfinite(missed)]
    return found


def band(errors: Floats, level: float) -> tuple[float, float] | None:
    """The errors between which a share `level` of such forecasts' errors lie; None where there are too few.

    The ranks are those of split conformal prediction (Vovk et al. 2005; Lei et al. 2018), half on either side.

    >>> band(np.arange(1.0, 20.0), 0.9)
    (1.0, 19.0)
    """
    n, outside = len(errors), (1.0 - level) / 2.0
    below = math.floor((n + 1) * outside + 1e-9)
    if below < 1:
        return None
    ranked = np.sort(errors)
    return float(ranked[below - 1]), float(ranked[n - below])


def seasonal_lag(distance: int, period: int) -> int:
    """The fewest whole seasons, in steps, that reach back from a step to one that is known.

    Args:
        distance: steps from the newest known step to the one that is forecast.
        period: steps in a season.
    """
    return period * max(-(-distance // period), 1)
