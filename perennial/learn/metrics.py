"""Metrics by name, each with a bootstrap interval. `_score`: higher is better, `_error`: lower is better.

All share one signature: a metric takes the pairs of truth and answer and how often every resample draws each
row, and returns one value per resample, NaN where a resample does not define it. NaN never leaves this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from perennial.errors import PerennialError, UnknownNameError
from perennial.evidence import Metric
from perennial.learn.clusters import Origins
from perennial.learn.pairs import (
    CALIBRATION_BINS,
    TINY,
    Pairs,
    calibration_bins,
    claims,
    known,
    pairs_of,
    percentage_errors,
    row_log_loss,
)
from perennial.learn.resampling import Draws, draws_of, interval
from perennial.live.answer import Answers, Task

Floats = npt.NDArray[np.float64]
MOST_UNITS = 1000
"""Most units of a resample whose wins over one another are counted in a table; of more, rows are ranked anew."""


def _ratio(numerator: Floats, denominator: Floats, otherwise: float) -> Floats:
    """`numerator / denominator`, and `otherwise` where the denominator is 0."""
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.asarray(np.where(denominator > 0, numerator / safe, otherwise))


def _numbers(hits: npt.NDArray[np.bool_]) -> Floats:
    return hits.astype(np.float64)


def _accuracy(pairs: Pairs, draws: Draws) -> Floats:
    return draws.mean(_numbers(pairs.truth == pairs.prediction))


def _per_class(part: Literal["precision", "recall", "f1"]) -> Callable[[Pairs, Draws], Floats]:
    """Precision, recall or F1: of the second class of two, else the mean over the classes present."""

    def measured(pairs: Pairs, draws: Draws) -> Floats:
        codes = np.arange(len(pairs.labels))
        truth = _numbers(pairs.truth[:, None] == codes)
        predicted = _numbers(pairs.prediction[:, None] == codes)
        hits, claimed, real = map(draws.total, (truth * predicted, predicted, truth))
        below = {"precision": claimed, "recall": real, "f1": (claimed + real) / 2.0}[part]
        values = _ratio(hits, below, 0.0)
        if len(codes) == 2:
            return values[:, 1]
        present = claimed + real > 0
        return np.asarray((values * present).sum(axis=1) / present.sum(axis=1))

    return measured


def _roc_auc(pairs: Pairs, draws: Draws) -> Floats:
    """Area under the ROC curve; with more than two classes the mean of one class against the rest."""
    scores = known(pairs)
    if len(pairs.labels) == 2:
        return _auc_of(pairs.truth == 1, scores[:, 1], draws)
    areas = [_auc_of(pairs.truth == k, scores[:, k], draws) for k in range(len(pairs.labels))]
    return np.asarray(np.mean(areas, axis=0, dtype=np.float64))


def _auc_of(positive: npt.NDArray[np.bool_], score: Floats, draws: Draws) -> Floats:
    """P(score of a positive > score of a negative), ties counted half (Hanley and McNeil 1982)."""
    if draws.unit is not None and draws.counts.shape[1] <= MOST_UNITS:
        won = draws.counts @ _won(positive, score, draws.unit, draws.counts.shape[1])
        wins = (won * draws.counts).sum(axis=1)
    else:
        wins = draws.by_row(lambda weights: _wins(positive, score, weights))
    return _ratio(wins, draws.total(_numbers(positive)) * draws.total(_numbers(~positive)), np.nan)


def _wins(positive: npt.NDArray[np.bool_], score: Floats, weights: Floats) -> Floats:
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    sorted_weights, hit = weights[:, order], positive[order]
    positives = np.add.reduceat(sorted_weights * hit, starts, axis=1)
    negatives = np.add.reduceat(sorted_weights * ~hit, starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives
    return np.asarray((positives * (below + 0.5 * negatives)).sum(axis=1))


def _won(positive: npt.NDArray[np.bool_], score: Floats, unit: npt.NDArray[np.int64], units: int) -> Floats:
    """How often a positive of one unit is above a negative of another, shape (units, units)."""
    own, scores, won = unit[positive], score[positive], np.zeros((units, units))
    for other in np.unique(unit[~positive]):
        below = np.sort(score[~positive & (unit == other)])
        wins = np.searchsorted(below, scores, "left") + np.searchsorted(below, scores, "right")
        won[:, other] = np.bincount(own, weights=wins / 2.0, minlength=units)
    return won


def _log_loss(pairs: Pairs, draws: Draws) -> Floats:
    return draws.mean(row_log_loss(pairs))


def _squares(pairs: Pairs, claimed: Floats) -> Floats:
    """The Brier score of every row (Brier 1950), shape (n_rows,): of two classes half of the sum over both."""
    happened = pairs.truth[:, None] == np.arange(len(pairs.labels))
    total = ((claimed - happened) ** 2).sum(axis=1)
    return np.asarray(total / 2.0 if len(pairs.labels) == 2 else total)


def _brier(pairs: Pairs, draws: Draws) -> Floats:
    return draws.mean(_squares(pairs, known(pairs)))


def _brier_skill(pairs: Pairs, draws: Draws) -> Floats:
    """1 less the Brier score's ratio to that of the training rows' shares, claimed for every row."""
    if pairs.base is None:
        return np.full(len(draws), np.nan)
    constant = np.tile(pairs.base, (len(pairs.truth), 1))
    return 1.0 - _ratio(_brier(pairs, draws), draws.mean(_squares(pairs, constant)), np.nan)


def _calibration_error(pairs: Pairs, draws: Draws) -> Floats:
    """The expected calibration error (Guo et al. 2017, equation 3)."""
    claimed, happened = claims(pairs)
    bins = calibration_bins(claimed)
    gaps = np.zeros((len(claimed), CALIBRATION_BINS))
    gaps[np.arange(len(claimed)), bins] = claimed - happened
    return np.asarray(np.abs(draws.mean(gaps)).sum(axis=1))


def _mae(pairs: Pairs, draws: Draws) -> Floats:
    return draws.mean(np.abs(pairs.prediction - pairs.truth))


def _rmse(pairs: Pairs, draws: Draws) -> Floats:
    return np.sqrt(draws.mean((pairs.prediction - pairs.truth) ** 2))


def _mape(pairs: Pairs, draws: Draws) -> Floats:
    return draws.mean(percentage_errors(pairs))


def _median_ape(pairs: Pairs, draws: Draws) -> Floats:
    """The median of each resample, exactly: the mean of its two middle values where their number is even."""
    errors = percentage_errors(pairs)
    if np.isnan(errors).any():
        return np.full(len(draws), np.nan)
    order = np.argsort(errors, kind="stable")
    ranked = errors[order]

    def middle(weights: Floats) -> Floats:
        upto = np.cumsum(weights[:, order], axis=1)
        size = upto[:, -1:]
        lower = np.argmax(upto >= np.floor((size + 1) / 2), axis=1)
        upper = np.argmax(upto >= np.floor(size / 2) + 1, axis=1)
        return np.asarray((ranked[lower] + ranked[upper]) / 2.0)

    return draws.by_row(middle)


def _r2(pairs: Pairs, draws: Draws) -> Floats:
    centred = pairs.truth - pairs.truth.mean()
    spread = draws.mean(centred**2) - draws.mean(centred) ** 2
    spread = np.where(spread > TINY * float((centred**2).mean()), spread, 0.0)
    return 1.0 - _ratio(draws.mean((pairs.prediction - pairs.truth) ** 2), spread, np.nan)


@dataclass(frozen=True)
class MetricRule:
    """How one metric is computed, for which task, and in which unit: "1", "%", or the target's."""

    task: Task
    unit: Literal["1", "%", "target"]
    compute: Callable[[Pairs, Draws], Floats]


METRICS: dict[str, MetricRule] = {
    "accuracy_score": MetricRule("classification", "1", _accuracy),
    "precision_score": MetricRule("classification", "1", _per_class("precision")),
    "recall_score": MetricRule("classification", "1", _per_class("recall")),
    "f1_score": MetricRule("classification", "1", _per_class("f1")),
    "roc_auc_score": MetricRule("classification", "1", _roc_auc),
    "log_loss_error": MetricRule("classification", "1", _log_loss),
    "brier_error": MetricRule("classification", "1", _brier),
    "brier_skill_score": MetricRule("classification", "1", _brier_skill),
    "expected_calibration_error": MetricRule("classification", "1", _calibration_error),
    "mean_absolute_error": MetricRule("regression", "target", _mae),
    "root_mean_squared_error": MetricRule("regression", "target", _rmse),
    "mean_absolute_percentage_error": MetricRule("regression", "%", _mape),
    "median_absolute_percentage_error": MetricRule("regression", "%", _median_ape),
    "r2_score": MetricRule("regression", "1", _r2),
}


def metric_rule(name: str) -> MetricRule:
    """The metric called `name`; raises UnknownNameError with the nearest known name."""
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]


def metric_value(name: str, pairs: Pairs) -> float:
    """One metric on all rows; raises PerennialError where these rows do not define it."""
    value = float(metric_rule(name).compute(pairs, Draws(np.ones((1, len(pairs.truth)))))[0])
    if not np.isfinite(value):
        raise PerennialError(
            f"expected rows that define {name}, found {len(pairs.truth):,} that do not (a truth of 0, or one "
            "single value); measure another metric or more rows"
        )
    return value


def measure(
    truth: npt.NDArray[Any],
    answers: Answers,
    metrics: Sequence[str],
    *,
    resamples: int,
    level: float,
    seed: int,
    unit: str = "1",
    classes: Sequence[str] = (),
    base: Sequence[float] = (),
    origins: Origins | None = None,
) -> tuple[Metric, ...]:
    """The metrics of these rows, each with a percentile bootstrap interval over the same resamples.

    A metric that the rows do not define is absent, as is one that fewer than half of the resamples define.

    Args:
        truth: what really happened, shape (n_rows,).
        answers: what was predicted for the same rows.
        metrics: names in `METRICS`.
        resamples: how many bootstrap resamples.
        level: confidence level of the intervals.
        seed: draws the resamples.
        unit: the target's unit.
        classes: the class names in the order of the probabilities' columns.
        base: the classes' shares in the training rows, for metrics that measure skill over them.
        origins: of a series, the origin of each row; they are then drawn in blocks.
    """
    rules = {name: metric_rule(name) for name in metrics}
    pairs = pairs_of(truth, answers, classes, base)
    everything = Draws(np.ones((1, len(truth))))
    points = {name: float(rule.compute(pairs, everything)[0]) for name, rule in rules.items()}
    defined = [name for name, value in points.items() if np.isfinite(value)]
    drawn: dict[str, list[Floats]] = {name: [] for name in defined}
    for draws in draws_of(len(truth), resamples, seed, origins):
        for name in defined:
            drawn[name].append(rules[name].compute(pairs, draws))
    measured = []
    for name in defined:
        values = np.concatenate(drawn[name])
        values = values[np.isfinite(values)]
        if 2 * len(values) < resamples:
            continue
        low, high = interval(values, level)
        own = rules[name].unit
        measured.append(
            Metric(
                name=name,
                value=points[name],
                low=low,
                high=high,
                level=level,
                unit=(unit or "1") if own == "target" else own,
            )
        )
    return tuple(measured)
