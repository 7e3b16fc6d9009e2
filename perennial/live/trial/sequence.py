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


class Sequence(NamedTuple):
    """The running mean of differences and the bounds of its confidence sequence, shape (n,) each.

    Before `FEWEST` differences the bounds are infinite.
    """

    mean: Floats
    low: Floats
    high: Floats


def confidence_sequence(differences: Floats, alpha: float = 0.05, planned: int = PLANNED) -> Sequence:
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
    r = tightest(planned, alpha)
    half = np.sqrt(variance * 2.0 * (t * r + 1.0) / (t**2 * r) * np.log(np.sqrt(t * r + 1.0) / alpha))
    half[: FEWEST - 1] = math.inf
    return Sequence(mean, mean - half, mean + half)


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
