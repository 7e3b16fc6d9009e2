"""The figures of an evaluation report: what each shows, in a title and a sentence, and its plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.evidence import Evaluation, Metric, SearchResult, Trial
from perennial.live.report.plots import Row, Tone, rows_plot
from perennial.live.report.text import (
    as_float,
    interval_text,
    is_number,
    metric_text,
    metric_title,
    number_text,
    with_unit,
)

MOST_TRIALS = 24
MOST_FEATURES = 20
MOST_SEGMENTS = 14


@dataclass(frozen=True)
class Figure:
    """A plot with its caption; `svg` is safe markup, empty where there was nothing finite to draw."""

    title: str
    note: str
    svg: str


def listed(details: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The records under `key`; none where the part is missing or no list of records."""
    part = details.get(key)
    return [dict(r) for r in part if isinstance(r, Mapping)] if isinstance(part, (list, tuple)) else []


def direction(metric: str) -> str:
    """Which way is good, in words.

    >>> direction("accuracy_score")
    'higher is better'
    """
    return "higher is better" if metric.endswith("_score") else "lower is better"


def by_merit(trials: Sequence[Trial]) -> list[Trial]:
    """The trials from best to worst; those without a finite score last, ties in the order they ran."""
    sign = -1 if trials and trials[0].metric.endswith("_score") else 1
    return sorted(trials, key=lambda t: sign * t.score if is_number(t.score) else math.inf)


def best_baseline(evaluation: Evaluation, metric: str) -> str | None:
    """The baseline with the best finite value of `metric`; None where there is none."""
    values = {
        name: as_float(m.value)
        for name, found in evaluation.baselines.items()
        for m in found
        if m.name == metric
    }
    finite = {name: value for name, value in values.items() if is_number(value)}
    if not finite:
        return None
    return (max if metric.endswith("_score") else min)(finite, key=lambda name: finite[name])


def metric_figures(evaluation: Evaluation) -> list[Figure]:
    """One figure per metric: the candidate and every baseline on the same unseen rows."""
    figures = []
    for index, metric in enumerate(evaluation.metrics):
        rows = [_metric_row(evaluation.candidate, metric, chosen=True)]
        for name, found in evaluation.baselines.items():
            rows += [_metric_row(name, m) for m in found if m.name == metric.name]
        title = f"{metric_title(metric.name)}, {direction(metric.name)}"
        texts = [f"{row.label} {interval_text(row.value, row.low, row.high)}" for row in rows]
        label = with_unit(metric_text(metric.name), metric.unit)
        svg = rows_plot(f"metric-{index}", title, f"{'; '.join(texts)}.", rows, label)
        figures.append(Figure(title, "", svg))
    return figures


def searched_metric(search: SearchResult, task: str) -> str:
    """What the search went by: for a number on the scale that is learned, which may be a logarithm."""
    return metric_text(search.best.metric) + (" on the learned scale" if task == "regression" else "")


def trials_figure(search: SearchResult, task: str) -> Figure:
    """The best trials of the search, ranked, each with its folds."""
    ranked = by_merit(search.trials)
    shown, metric = ranked[:MOST_TRIALS], search.best.metric
    rows = [
        Row(
            f"{rank} {trial.candidate}",
            trial.score,
            *_span(trial.folds),
            tone="main" if trial == search.best else "base",
            marks=trial.folds,
            chosen=trial == search.best,
        )
        for rank, trial in enumerate(shown, 1)
    ]
    title = f"Cross-validated {metric_text(metric)} of every trial, {direction(metric)}"
    if len(ranked) > len(shown):
        title = f"Cross-validated {metric_text(metric)} of the best {len(shown)} of {len(ranked):,} trials"
    note = "Dots are means over folds, strokes single folds; the chosen trial is bold and coloured."
    label = searched_metric(search, task)
    text = f"{note} Chosen: {search.best.candidate}, {number_text(search.best.score)}."
    return Figure(title, note, rows_plot("trials", title, text, rows, label))


def segment_figures(evaluation: Evaluation) -> list[Figure]:
    """One figure per column: the metric in each of its segments beside that of all rows, worst first."""
    segments = listed(evaluation.details, "segments")
    overall = {m.name: m.value for m in evaluation.metrics}
    figures = []
    for index, (column, metric) in enumerate(
        dict.fromkeys((str(s.get("column")), str(s.get("metric"))) for s in segments)
    ):
        mine = [s for s in segments if (str(s.get("column")), str(s.get("metric"))) == (column, metric)]
        sign = 1 if metric.endswith("_score") else -1
        mine.sort(
            key=lambda s: (not is_number(s.get("value_metric")), sign * as_float(s.get("value_metric")))
        )
        rows = [
            _record_row(f"{s.get('value')} ({number_text(s.get('rows'), 12)})", s, "value_metric")
            for s in mine[:MOST_SEGMENTS]
        ]
        units = {m.name: m.unit for m in evaluation.metrics}
        title = f"{metric_title(metric)} by {column}, worst first"
        note = f"The worst {len(rows)} of {len(mine)}." if len(mine) > len(rows) else ""
        label = with_unit(metric_text(metric), units.get(metric, ""))
        text = f"{note} A dashed line marks all hold-out rows."
        svg = rows_plot(
            f"segment-{index}", title, text.strip(), rows, label, reference=as_float(overall.get(metric))
        )
        figures.append(Figure(title, note, svg))
    return figures


def by_drop(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The features' importances, largest first; those without a finite number last."""
    found = listed(details, "importance")
    return sorted(found, key=lambda f: -as_float(f.get("drop")) if is_number(f.get("drop")) else math.inf)


def importance_figure(evaluation: Evaluation, metric: str) -> Figure:
    """What is lost when one feature is shuffled, largest loss first."""
    found = by_drop(evaluation.details)
    rows = [_record_row(str(f.get("feature")), f, "drop") for f in found[:MOST_FEATURES]]
    title = f"Worsening of {metric_text(metric)} when one feature is shuffled"
    note = (
        "Permutation importance on hold-out rows; a feature at the dashed line is not used, or replaceable."
    )
    if len(found) > len(rows):
        note += f" The largest {len(rows)} of {len(found)} features."
    unit = next((m.unit for m in evaluation.metrics if m.name == metric), "")
    label = with_unit(f"worsening of {metric_text(metric)}", unit)
    svg = rows_plot("importance", title, note, rows, label, reference=0.0)
    return Figure(title, note, svg)


def _metric_row(label: str, metric: Metric, *, chosen: bool = False) -> Row:
    tone: Tone = "main" if chosen else "base"
    return Row(label, metric.value, metric.low, metric.high, tone=tone, chosen=chosen)


def _record_row(label: str, record: Mapping[str, Any], key: str) -> Row:
    return Row(label, as_float(record.get(key)), as_float(record.get("low")), as_float(record.get("high")))


def _span(values: Sequence[float]) -> tuple[float, float]:
    finite = [v for v in values if is_number(v)]
    return (min(finite), max(finite)) if finite else (math.nan, math.nan)
