"""What a challenger is measured by beside its metrics: coverage, calibration, segments, speed and size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perennial.evidence import Fact
from perennial.learn.clusters import Codes, above_zero_p, clusters_of, share_interval
from perennial.learn.compare import Contender, row_losses
from perennial.learn.details import segment_rows
from perennial.learn.intervals import following
from perennial.learn.pairs import CALIBRATION_BINS, calibration_bins, claims, pairs_of
from perennial.learn.resampling import bootstrap_weights
from perennial.live.speed import speed_of

if TYPE_CHECKING:
    from perennial.config import Promotion
    from perennial.live.answer import AnswerRule, Answers
    from perennial.live.predict import Predictor
    from perennial.table import Table

Floats = npt.NDArray[np.float64]


class Coverage(Fact):
    """The share of unseen rows whose truth lies in the interval of a `level`; `low` and `high` bound it."""

    level: float
    share: float
    low: float
    high: float
    rows: int


class Calibration(Fact):
    """The expected calibration error on unseen rows, and how much of it chance alone may explain.

    `noise` is the error that perfect probabilities would hardly exceed on as many rows.
    """

    error: float
    noise: float
    rows: int


class SegmentLoss(Fact):
    """A segment's mean loss beside that of the reference, both on the same rows.

    `margin` is the difference that is allowed, and `p_value` the one-sided one for there being a greater one.
    """

    column: str
    value: str
    rows: int
    loss: float
    reference: float
    margin: float
    p_value: float


class Segments(Fact):
    """All segments with enough rows, against the model called `against`; `small` counts the others."""

    against: str
    compared: tuple[SegmentLoss, ...]
    small: int


class Measured(Fact):
    """See the module; a part is None where there is nothing to measure."""

    coverage: tuple[Coverage, ...] = ()
    calibration: Calibration | None = None
    segments: Segments | None = None
    median_ms: float
    p99_ms: float
    size_mb: float


def measure_bundle(
    predictor: Predictor,
    holdout: Table,
    answers: Answers,
    segments: Segments | None,
    rules: Promotion,
    resamples: int,
    seed: int,
    clock: Callable[[], float],
) -> Measured:
    """What the served model measures; `answers` are its own to the hold-out rows, `clock` tells seconds."""
    bundle, clusters = predictor.bundle, clusters_of(holdout)
    file = bundle.manifest.files[f"model.{bundle.manifest.backend}"]
    speed = speed_of(predictor, clock)
    is_classes = bundle.rule.task == "classification"
    truth, classes = holdout.y, bundle.rule.classes
    return Measured(
        coverage=coverage(
            following(answers, bundle.rule, holdout),
            bundle.rule,
            truth,
            clusters,
            rules.alpha,
            len(bundle.fitted_rows),
        ),
        calibration=calibration(truth, answers, classes, clusters, rules.alpha, resamples, seed)
        if is_classes
        else None,
        segments=segments,
        median_ms=speed.median_ms,
        p99_ms=speed.p99_ms,
        size_mb=file["size"] / 1e6,
    )


def coverage(
    answers: Answers, rule: AnswerRule, truth: Floats, clusters: Codes, alpha: float, fitted: int
) -> tuple[Coverage, ...]:
    """The coverage of the intervals of every level; all bounds hold at once with probability 1 - `alpha`.

    The bounds also allow for the widths, which were learned from `fitted` rows: a quantile of n residuals covers a
    share whose variance is about that of a share of n rows (Vovk 2012, section 2).
    """
    inflation = 1.0 + len(truth) / max(fitted, 1)
    found = list(answers.bounds(rule))
    measured = []
    for level, low, high in found:
        hits = (truth >= low) & (truth <= high)
        bounds = share_interval(hits, clusters, 1.0 - alpha / len(found), inflation)
        measured.append(
            Coverage(level=level, share=float(hits.mean()), low=bounds[0], high=bounds[1], rows=len(hits))
        )
    return tuple(measured)


def calibration(
    truth: npt.NDArray[np.str_],
    answers: Answers,
    classes: tuple[str, ...],
    clusters: Codes,
    alpha: float,
    resamples: int,
    seed: int,
) -> Calibration:
    """The expected calibration error in bins of equal width (Guo et al. 2017, equation 3) and its noise.

    The error is the sum over bins of |predicted - happened|, and absolute values of noise do not cancel: even
    perfect probabilities show an error, on few rows a large one. By the triangle inequality it exceeds the true
    error by at most the sum of the bins' absolute sampling errors. `noise` is the 1 - `alpha` quantile of that sum
    over bootstrap resamples of the clusters, widened as a t-interval is where they are few.
    """
    from scipy.stats import norm, t

    pairs = pairs_of(truth, answers, classes)
    claimed, happened = claims(pairs)
    bins = calibration_bins(claimed)
    own = np.unique(clusters, return_inverse=True)[1].reshape(-1)
    sums = np.zeros((int(own.max()) + 1, CALIBRATION_BINS))
    np.add.at(sums, (own, bins), claimed - happened)
    gaps = sums.sum(axis=0)
    drawn = [np.abs(w @ sums - gaps).sum(axis=1) for w in bootstrap_weights(len(sums), resamples, seed)]
    rows, count = len(truth), len(sums)
    if count < 2:
        return Calibration(error=float(np.abs(gaps).sum()) / rows, noise=1.0, rows=rows)
    tail = 1.0 - alpha / 2.0
    few = float(t.ppf(tail, count - 1) / norm.ppf(tail)) * (count / (count - 1)) ** 0.5
    noise = few * float(np.quantile(np.concatenate(drawn), 1.0 - alpha))
    return Calibration(error=float(np.abs(gaps).sum()) / rows, noise=noise / rows, rows=rows)


def compare_segments(
    table: Table,
    challenger: Contender,
    reference: Contender,
    columns: tuple[str, ...],
    loss: str,
    rules: Promotion,
) -> Segments:
    """Each segment's loss against that of the reference, both on the rows of `table`.

    The margin is a share of the reference's mean loss in the segment or on all rows, whichever is larger: where the
    reference makes hardly any error, a small one is no failure.
    """
    own, other = (row_losses(loss, table.y, c.answers, c.classes) for c in (challenger, reference))
    clusters, lines, small = clusters_of(table), [], 0
    for column in columns:
        for value, chosen in segment_rows(table, column):
            rows = int(chosen.sum())
            if rows < rules.segment_rows:
                small += 1
                continue
            margin = rules.segment_margin * float(max(other[chosen].mean(), other.mean()))
            worse = own[chosen] - other[chosen] - margin
            lines.append(
                SegmentLoss(
                    column=column,
                    value=value,
                    rows=rows,
                    loss=float(own[chosen].mean()),
                    reference=float(other[chosen].mean()),
                    margin=margin,
                    p_value=above_zero_p(worse, clusters[chosen]),
                )
            )
    return Segments(against=reference.name, compared=tuple(lines), small=small)
