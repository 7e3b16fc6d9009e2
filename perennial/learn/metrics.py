"""Metrics by name, each with a bootstrap interval. `_score`: higher is better, `_error`: lower is better.

All share one signature: a metric takes the pairs of truth and answer and weights of shape (n_resamples,
n_rows), and returns one value per resample, NaN where a resample does not define it. NaN never leaves
this module.
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
from perennial.learn.resampling import bootstrap_weights, interval
from perennial.live.answer import Answers, Task

Floats = npt.NDArray[np.float64]
TINY = float(np.finfo(np.float64).eps)
CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Pairs:
    """Truth beside answers: numbers, or for classes their position in `labels`, shape (n_rows,) each.

    `labels` holds the model's classes in order, then those of the truth that it does not know (their
    probability is 0); `probabilities` has the shape (n_rows, n_labels). `base` holds each label's share in the
    training rows, shape (n_labels,), where that is known.
    """

    truth: Floats
    prediction: Floats
    labels: tuple[str, ...] = ()
    probabilities: Floats | None = None
    base: Floats | None = None


def pairs_of(
    truth: npt.NDArray[Any], answers: Answers, classes: Sequence[str] = (), base: Sequence[float] = ()
) -> Pairs:
    """Truth and answers made comparable.

    Raises:
        PerennialError: if a number is missing or infinite, or if the lengths differ.
    """
    if len(truth) != len(answers.prediction) or len(truth) == 0:
        raise PerennialError(
            f"expected an answer for each of {len(truth):,} true values and at least one, found "
            f"{len(answers.prediction):,}; predict the same rows"
        )
    if answers.probabilities is None:
        return Pairs(_finite(truth, "true value"), _finite(answers.prediction, "prediction"))
    if answers.probabilities.shape[1] != len(classes):
        raise PerennialError(
            f"expected a probability for each of the {len(classes)} classes, found "
            f"{answers.probabilities.shape[1]} columns; pass the rule's classes"
        )
    found = {str(v) for v in truth}
    labels = (*classes, *sorted(found - set(classes)))
    code = {label: float(i) for i, label in enumerate(labels)}
    known = _finite(answers.probabilities, "probability")
    return Pairs(
        truth=np.array([code[str(v)] for v in truth]),
        prediction=np.array([code[str(v)] for v in answers.prediction]),
        labels=labels,
        probabilities=np.pad(known, ((0, 0), (0, len(labels) - len(classes)))),
        base=np.pad(np.asarray(base, dtype=np.float64), (0, len(labels) - len(classes))) if base else None,
    )


def row_log_loss(pairs: Pairs) -> Floats:
    """Minus the log of the true class's probability, shape (n_rows,), at most -log of the float epsilon."""
    of_truth = _known(pairs)[np.arange(len(pairs.truth)), pairs.truth.astype(np.int64)]
    return -np.log(np.clip(of_truth, TINY, 1.0 - TINY))


def _known(pairs: Pairs) -> Floats:
    if pairs.probabilities is None:
        raise PerennialError("expected class probabilities, found numbers; use the metrics of a regression")
    return pairs.probabilities


def _finite(values: npt.NDArray[Any], what: str) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    broken = int((~np.isfinite(numbers)).sum())
    if broken:
        raise PerennialError(
            f"expected every {what} to be a finite number, found {broken:,} of {numbers.size:,} that are "
            "not; mend the rows or the model"
        )
    return numbers


def _ratio(numerator: Floats, denominator: Floats, otherwise: float) -> Floats:
    """`numerator / denominator`, and `otherwise` where the denominator is 0."""
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.asarray(np.where(denominator > 0, numerator / safe, otherwise))


def _mean(values: Floats, weights: Floats) -> Floats:
    return np.asarray(weights @ values / weights.sum(axis=1))


def _accuracy(pairs: Pairs, weights: Floats) -> Floats:
    return _mean((pairs.truth == pairs.prediction).astype(np.float64), weights)


def _per_class(part: Literal["precision", "recall", "f1"]) -> Callable[[Pairs, Floats], Floats]:
    """Precision, recall or F1: of the second class of two, else the mean over the classes present."""

    def measured(pairs: Pairs, weights: Floats) -> Floats:
        codes = np.arange(len(pairs.labels))
        truth = (pairs.truth[:, None] == codes).astype(np.float64)
        predicted = (pairs.prediction[:, None] == codes).astype(np.float64)
        hits, claimed, real = weights @ (truth * predicted), weights @ predicted, weights @ truth
        below = {"precision": claimed, "recall": real, "f1": (claimed + real) / 2.0}[part]
        values = _ratio(hits, below, 0.0)
        if len(codes) == 2:
            return values[:, 1]
        present = claimed + real > 0
        return np.asarray((values * present).sum(axis=1) / present.sum(axis=1))

    return measured


def _roc_auc(pairs: Pairs, weights: Floats) -> Floats:
    """Area under the ROC curve; with more than two classes the mean of one class against the rest."""
    scores = _known(pairs)
    if len(pairs.labels) == 2:
        return _auc_of(pairs.truth == 1, scores[:, 1], weights)
    areas = [_auc_of(pairs.truth == k, scores[:, k], weights) for k in range(len(pairs.labels))]
    return np.asarray(np.mean(areas, axis=0, dtype=np.float64))


def _auc_of(positive: npt.NDArray[np.bool_], score: Floats, weights: Floats) -> Floats:
    """P(score of a positive > score of a negative), ties counted half (Hanley and McNeil 1982)."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    sorted_weights, hit = weights[:, order], positive[order]
    positives = np.add.reduceat(sorted_weights * hit, starts, axis=1)
    negatives = np.add.reduceat(sorted_weights * ~hit, starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives
    won = (positives * (below + 0.5 * negatives)).sum(axis=1)
    return _ratio(won, positives.sum(axis=1) * negatives.sum(axis=1), np.nan)


def _log_loss(pairs: Pairs, weights: Floats) -> Floats:
    return _mean(row_log_loss(pairs), weights)


def _squares(pairs: Pairs, claimed: Floats) -> Floats:
    """The Brier score of every row (Brier 1950), shape (n_rows,): of two classes half of the sum over both."""
    happened = pairs.truth[:, None] == np.arange(len(pairs.labels))
    total = ((claimed - happened) ** 2).sum(axis=1)
    return np.asarray(total / 2.0 if len(pairs.labels) == 2 else total)


def _brier(pairs: Pairs, weights: Floats) -> Floats:
    return _mean(_squares(pairs, _known(pairs)), weights)


def _brier_skill(pairs: Pairs, weights: Floats) -> Floats:
    """1 less the Brier score's ratio to that of the training rows' shares, claimed for every row."""
    if pairs.base is None:
        return np.full(len(weights), np.nan)
    constant = np.tile(pairs.base, (len(pairs.truth), 1))
    return 1.0 - _ratio(_brier(pairs, weights), _mean(_squares(pairs, constant), weights), np.nan)


def claims(pairs: Pairs) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """A probability per row, and whether it came true: of the last of two classes, else of the predicted one."""
    shares = _known(pairs)
    if len(pairs.labels) == 2:
        return shares[:, 1], pairs.truth == 1
    return shares.max(axis=1), pairs.truth == pairs.prediction


def calibration_bins(claimed: Floats) -> npt.NDArray[np.int64]:
    """The bin of every probability among `CALIBRATION_BINS` of equal width."""
    return np.clip((claimed * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)


def _calibration_error(pairs: Pairs, weights: Floats) -> Floats:
    """The expected calibration error (Guo et al. 2017, equation 3)."""
    claimed, happened = claims(pairs)
    bins = calibration_bins(claimed)
    gaps = np.zeros((len(claimed), CALIBRATION_BINS))
    gaps[np.arange(len(claimed)), bins] = claimed - happened
    return np.asarray(np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1))


def _mae(pairs: Pairs, weights: Floats) -> Floats:
    return _mean(np.abs(pairs.prediction - pairs.truth), weights)


def _rmse(pairs: Pairs, weights: Floats) -> Floats:
    return np.sqrt(_mean((pairs.prediction - pairs.truth) ** 2, weights))


def percentage_errors(pairs: Pairs) -> Floats:
    """Absolute errors in percent of the truth, shape (n_rows,); NaN where the truth is 0."""
    return 100.0 * _ratio(np.abs(pairs.prediction - pairs.truth), np.abs(pairs.truth), np.nan)


def _mape(pairs: Pairs, weights: Floats) -> Floats:
    return _mean(percentage_errors(pairs), weights)


def _median_ape(pairs: Pairs, weights: Floats) -> Floats:
    """The median of each resample, exactly: the mean of its two middle values where their number is even."""
    errors = percentage_errors(pairs)
    if np.isnan(errors).any():
        return np.full(len(weights), np.nan)
    order = np.argsort(errors, kind="stable")
    ranked, upto = errors[order], np.cumsum(weights[:, order], axis=1)
    size = upto[:, -1:]
    lower = np.argmax(upto >= np.floor((size + 1) / 2), axis=1)
    upper = np.argmax(upto >= np.floor(size / 2) + 1, axis=1)
    return np.asarray((ranked[lower] + ranked[upper]) / 2.0)


def _r2(pairs: Pairs, weights: Floats) -> Floats:
    centred = pairs.truth - pairs.truth.mean()
    spread = _mean(centred**2, weights) - _mean(centred, weights) ** 2
    spread = np.where(spread > TINY * float((centred**2).mean()), spread, 0.0)
    return 1.0 - _ratio(_mean((pairs.prediction - pairs.truth) ** 2, weights), spread, np.nan)


@dataclass(frozen=True)
class MetricRule:
    """How one metric is computed, for which task, and in which unit: "1", "%", or the target's."""

    task: Task
    unit: Literal["1", "%", "target"]
    compute: Callable[[Pairs, Floats], Floats]


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
    value = float(metric_rule(name).compute(pairs, np.ones((1, len(pairs.truth))))[0])
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
    everything = np.ones((1, len(truth)))
    points = {name: float(rule.compute(pairs, everything)[0]) for name, rule in rules.items()}
    defined = [name for name, value in points.items() if np.isfinite(value)]
    drawn: dict[str, list[Floats]] = {name: [] for name in defined}
    blocks = None if origins is None else origins.blocks
    for weights in bootstrap_weights(len(truth), resamples, seed, blocks):
        for name in defined:
            drawn[name].append(rules[name].compute(pairs, weights))
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
