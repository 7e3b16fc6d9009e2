"""What a report draws of a model on unseen rows, as plain JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.evidence import Metric
from perennial.learn.clusters import Codes, Origins, share_interval
from perennial.learn.metrics import measure
from perennial.learn.pairs import Pairs, calibration_bins, claims, percentage_errors
from perennial.learn.tasks import TaskRules
from perennial.live.answer import AnswerRule, Answers
from perennial.table import Table

Floats = npt.NDArray[np.float64]
Facts = dict[str, Any]
Mask = npt.NDArray[np.bool_]

RESIDUAL_POINTS = 1000
SEGMENT_ROWS = 30
"""Fewest rows of a segment with a line of its own; smaller ones are pooled as `other`."""


def classification_details(pairs: Pairs, clusters: Codes, level: float, threshold: float = 0.5) -> Facts:
    """Confusion matrix, calibration, the report per class and the threshold of a classification."""
    bins = calibration(pairs, clusters, level)
    rows = len(pairs.truth)
    gap = sum(b["rows"] * abs(b["predicted"] - b["observed"]) for b in bins) / rows
    return {
        "confusion": {"labels": list(pairs.labels), "counts": _confusion(pairs).tolist()},
        "calibration": bins,
        "expected_calibration_error": float(gap),
        "classification_report": classification_report(pairs),
        "threshold": _threshold(pairs, threshold),
    }


def regression_details(pairs: Pairs, coverage: Coverage, seed: int) -> Facts:
    """Residuals (a sample), errors by tenths of the predicted value, and how the intervals cover the truth.

    `intervals` is empty for a model without intervals (see `Coverage.of`).
    """
    rows = len(pairs.truth)
    shown = np.sort(np.random.default_rng(seed).permutation(rows)[:RESIDUAL_POINTS])
    return {
        "residuals": {"predicted": pairs.prediction[shown].tolist(), "truth": pairs.truth[shown].tolist()},
        "error_by_decile": _error_by_decile(pairs),
        "intervals": coverage.of(np.ones(rows, dtype=bool)),
    }


def calibration(pairs: Pairs, clusters: Codes, level: float) -> list[Facts]:
    """Predicted probability beside the observed share, in bins of equal width (empty ones are left out).

    Of the second class where there are two, else of the predicted class (Guo et al. 2017, section 2). `low` and
    `high` bound the share (see `share_interval`).
    """
    claimed, happened = claims(pairs)
    placed = calibration_bins(claimed)
    lines = []
    for chosen in (placed == b for b in np.unique(placed)):
        low, high = share_interval(happened[chosen], clusters[chosen], level)
        lines.append(
            {
                "predicted": float(claimed[chosen].mean()),
                "observed": float(happened[chosen].mean()),
                "low": low,
                "high": high,
                "rows": int(chosen.sum()),
            }
        )
    return lines


@dataclass(frozen=True, eq=False)
class Coverage:
    """How the prediction intervals of some rows cover their truth.

    `clusters` are those of `clusters_of`; `level` is the confidence level of what is measured.
    """

    truth: Floats
    answers: Answers
    rule: AnswerRule
    clusters: Codes
    level: float

    def of(self, chosen: Mask) -> list[Facts]:
        """A line per prediction level on the rows under a mask; nothing for a model without intervals.

        `coverage` is the share of truths inside, bounded by `low` and `high` (see `share_interval`).
        """
        lines = []
        for level, lower, upper in self.answers.bounds(self.rule):
            hits = ((self.truth >= lower) & (self.truth <= upper))[chosen]
            low, high = share_interval(hits, self.clusters[chosen], self.level)
            lines.append(
                {
                    "level": level,
                    "coverage": float(hits.mean()),
                    "low": low,
                    "high": high,
                    "rows": len(hits),
                    "median_width": float(np.median((upper - lower)[chosen])),
                }
            )
        return lines

    def by_segment(self, table: Table, columns: Sequence[str]) -> list[Facts]:
        """The same by value of each column (see `segments`)."""
        return [
            {"column": column, "value": value, **line}
            for column in columns
            for value, chosen in segment_rows(table, column)
            for line in self.of(chosen)
        ]


def classification_report(pairs: Pairs) -> dict[str, Facts]:
    """Precision, recall, F1 and support per class, and their plain and weighted means (0 where undefined)."""
    counts = _confusion(pairs).astype(np.float64)
    hits, real, claimed = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    values = {
        "precision": np.divide(hits, claimed, out=np.zeros_like(hits), where=claimed > 0),
        "recall": np.divide(hits, real, out=np.zeros_like(hits), where=real > 0),
        "f1": np.divide(2 * hits, real + claimed, out=np.zeros_like(hits), where=real + claimed > 0),
    }
    lines: dict[str, Facts] = {
        label: {**{name: float(v[i]) for name, v in values.items()}, "support": int(real[i])}
        for i, label in enumerate(pairs.labels)
    }
    present = real + claimed > 0
    total = int(real.sum())
    lines["macro"] = {**{n: float(v[present].mean()) for n, v in values.items()}, "support": total}
    lines["weighted"] = {**{n: float(v @ real / total) for n, v in values.items()}, "support": total}
    return lines


def segments(
    table: Table,
    answers: Answers,
    columns: tuple[str, ...],
    rules: TaskRules,
    origins: Origins | None = None,
    **how: Any,
) -> list[Facts]:
    """The task's segment metric by value of each column, most rows first, `other` pooling the small ones.

    Numbers are cut at their quartiles; a missing value is a segment of its own. `how` goes to `measure`. A
    segment whose rows do not define the metric (a percentage of 0) gets the next one.
    """
    lines = []
    for column in columns:
        for value, chosen in segment_rows(table, column):
            own = answers.rows(chosen)
            part = None if origins is None else origins.of(chosen)
            metric = first_metric(table.y[chosen], own, rules.segment_metrics, origins=part, **how)
            if metric is None:
                continue
            lines.append(
                {
                    "column": column,
                    "value": value,
                    "rows": int(chosen.sum()),
                    "metric": metric.name,
                    "value_metric": metric.value,
                    "low": metric.low,
                    "high": metric.high,
                }
            )
    return lines


def first_metric(
    truth: npt.NDArray[Any], answers: Answers, names: tuple[str, ...], **how: Any
) -> Metric | None:
    """The first of these metrics that the rows define; None where they define none."""
    return next((m for name in names for m in measure(truth, answers, (name,), **how)), None)


def segment_rows(table: Table, column: str) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """The large segments of a column, most rows first, with a mask of their rows; the small ones as `other`."""
    labels = _segment_labels(table, column)
    names, counts = np.unique(labels, return_counts=True)
    large = [(str(n), labels == n) for n, c in zip(names, counts, strict=True) if c >= SEGMENT_ROWS]
    large.sort(key=lambda item: -int(item[1].sum()))
    yield from large
    pooled = np.isin(labels, names[counts < SEGMENT_ROWS])
    if pooled.any():
        yield "other", pooled


def _segment_labels(table: Table, column: str) -> npt.NDArray[np.str_]:
    values = table.frame[column]
    missing = values.isna().to_numpy()
    if not table.contract[column].is_numeric:
        return np.where(missing, "missing", values.astype(str).to_numpy().astype(str))
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    bounds = (
        np.unique(np.quantile(numbers[~missing], [0, 0.25, 0.5, 0.75, 1])) if not missing.all() else [0.0]
    )
    placed = np.clip(np.searchsorted(bounds, numbers, side="right") - 1, 0, max(len(bounds) - 2, 0))
    names = np.array([f"{a:g} to {b:g}" for a, b in pairwise(bounds)] or [f"{bounds[0]:g}"])
    return np.where(missing, "missing", names[placed])


def _confusion(pairs: Pairs) -> npt.NDArray[np.int64]:
    """Counts of shape (n_labels, n_labels): rows are the truth, columns the prediction."""
    k = len(pairs.labels)
    cells = (pairs.truth * k + pairs.prediction).astype(np.int64)
    return np.bincount(cells, minlength=k * k).reshape(k, k)


def _threshold(pairs: Pairs, threshold: float) -> str:
    if len(pairs.labels) == 2:
        chosen = "" if threshold == 0.5 else ", the threshold with the greatest F1 out of fold in training"
        return f"{pairs.labels[1]} is answered where its probability is above {threshold:g}{chosen}"
    return "the class with the largest probability is answered"


def _error_by_decile(pairs: Pairs) -> list[Facts]:
    """Errors in ten parts of equal size by the predicted value; bias is the mean of prediction - truth."""
    errors = percentage_errors(pairs)
    order = np.argsort(pairs.prediction, kind="stable")
    lines = []
    for part in np.array_split(order, min(10, len(order))):
        own = errors[part]
        lines.append(
            {
                "low": float(pairs.prediction[part[0]]),
                "high": float(pairs.prediction[part[-1]]),
                "rows": len(part),
                "mean_absolute_percentage_error": None if np.isnan(own).any() else float(own.mean()),
                "bias": float((pairs.prediction[part] - pairs.truth[part]).mean()),
            }
        )
    return lines
