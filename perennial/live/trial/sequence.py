"""What may be said of a mean however often one looks at it: an always-valid confidence sequence."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from perennial.errors import InputError

Floats = npt.NDArray[np.float64]
Verdict = Literal["better", "worse", "inconclusive", "not enough data"]

FEWEST = 100
"""Fewest differences that anything is said of: the sequence holds for means that are nearly normal."""

PLANNED = 1000
"""For how many differences the sequence is tightest, unless told otherwise."""

MOST_HANGING = 0.95
"""The greatest autocorrelation that is believed."""


class Sequence(NamedTuple):
    """The running mean of differences and the bounds of its confidence sequence, shape (n,) each.

    Before `FEWEST` differences the bounds are infinite.
    """

    mean: Floats
    low: Floats
    high: Floats


def confidence_sequence(
    differences: Floats, alpha: float = 0.05, planned: int = PLANNED, in_series: bool = False
) -> Sequence:
    """Bounds that hold at all times at once with a probability of 1 - alpha.

    The asymptotic confidence sequence of a mean by Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (Time-uniform
    central limit theory and asymptotic confidence sequences, Annals of Statistics 2024, theorem 2.2): after t
    differences with the standard deviation s, the mean plus and minus
    s * sqrt(2 (t r + 1) / (t^2 r) * log(sqrt(t r + 1) / alpha)), where r makes it tightest at `planned`
    differences (their appendix B.2).

    Args:
        differences: loss of the challenger less that of the champion, in the order in which they came, shape (n,).
            They must be independent: paired on one unit, or of blocks that do not overlap.
        alpha: probability that the bounds miss the mean at any time, two-sided.
        planned: number of differences at which the bounds are tightest.
        in_series: whether successive differences hang together, as those of forecasts do: then s^2 is multiplied by
            (1 + p) / (1 - p), where p is their `autocorrelation` so far: the mean of a first-order autoregressive
            series has that much more variance (Bayley and Hammersley 1946, The effective number of independent
            observations in an autocorrelated time series).

    Raises:
        InputError: where a difference is missing or infinite, or alpha is not between 0 and 1.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not 0.0 < alpha < 1.0:
        raise InputError(f"expected alpha between 0 and 1, found {alpha:g}")
    if not np.isfinite(values).all():
        raise InputError("expected finite differences, found others; leave out what has no truth yet")
    t = np.arange(1, len(values) + 1, dtype=np.float64)
    mean = np.cumsum(values) / t
    # Around the first value, so that squares of large values with small differences do not cancel out.
    centred = values - (values[0] if len(values) else 0.0)
    running = np.cumsum(centred) / t
    variance = np.maximum(np.cumsum(centred**2) / t - running**2, 0.0)
    if in_series:
        p = autocorrelation(values)
        variance = variance * (1.0 + p) / (1.0 - p)
    r = tightest(planned, alpha)
    half = np.sqrt(variance * 2.0 * (t * r + 1.0) / (t**2 * r) * np.log(np.sqrt(t * r + 1.0) / alpha))
    half[: FEWEST - 1] = math.inf
    return Sequence(mean, mean - half, mean + half)


def autocorrelation(differences: Floats) -> Floats:
    """Of successive differences so far, at every moment, shape (n,): from 0 up to `MOST_HANGING`.

    It is corrected for its bias in short series (Marriott and Pope 1954, Bias in the estimation of autocorrelations),
    (1 + 3 p) / t; a negative one counts as none, so that it never makes bounds narrower.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        return values
    x = values - values[0]
    t = np.arange(1, len(x) + 1, dtype=np.float64)
    total = np.cumsum(x)
    mean = total / t
    squares = np.cumsum(x**2) - t * mean**2
    products = np.cumsum(np.concatenate(([0.0], x[1:] * x[:-1])))
    both = products - mean * (2.0 * total - x[0] - x) + (t - 1.0) * mean**2
    p = np.divide(both, squares, out=np.zeros_like(x), where=squares > 0.0)
    found: Floats = np.clip(p + (1.0 + 3.0 * p) / t, 0.0, MOST_HANGING)
    return found


def tightest(planned: int, alpha: float) -> float:
    """The mixture's variance for which the sequence is tightest after `planned` differences."""
    return (-2.0 * math.log(alpha) + math.log(-2.0 * math.log(alpha) + 1.0)) / planned


def verdict(found: Sequence) -> Verdict:
    """What the sequence says of the challenger at its end; below 0 it loses less than the champion."""
    if len(found.mean) < FEWEST:
        return "not enough data"
    if found.high[-1] < 0.0:
        return "better"
    if found.low[-1] > 0.0:
        return "worse"
    return "inconclusive"


def first_verdict(found: Sequence) -> tuple[int, Verdict]:
    """After how many differences the bounds first left 0 out, and what they said; all where they never did."""
    decided = np.flatnonzero((found.high < 0.0) | (found.low > 0.0))
    if not len(decided):
        return len(found.mean), verdict(found)
    first = int(decided[0])
    return first + 1, "better" if found.high[first] < 0.0 else "worse"


def sample_ratio_p(counts: dict[str, int], shares: dict[str, float]) -> float:
    """The p-value of the arms' counts under their shares (Pearson's chi-squared test); 1 with no unit at all.

    A small one says that units got lost or were counted twice in one arm: then nothing else can be believed
    (Fabijan et al., Diagnosing sample ratio mismatch in online controlled experiments, KDD 2019).
    """
    from scipy.special import chdtrc

    total = sum(counts.values())
    if total == 0:
        return 1.0
    statistic = sum(
        (counts.get(arm, 0) - share * total) ** 2 / (share * total) for arm, share in shares.items()
    )
    return float(chdtrc(len(shares) - 1, statistic))
