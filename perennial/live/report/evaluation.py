"""The evaluation report: one self-contained HTML file with the decision and its evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from perennial.evidence import (
    CheckReport,
    Comparison,
    DatasetReference,
    Decision,
    Evaluation,
    Fact,
    SearchResult,
)
from perennial.live.report import (
    coverage_figures,
    figures,
    fit_figures,
    learning_figure,
    search_figures,
    series_figures,
    tables,
    text,
)
from perennial.live.report.page import page, svg_document
from perennial.live.report.template import filled

MOST_SEGMENTS = 150
MOST_FEATURES = 60
_FIT = ("calibration", "confusion", "classification_report", "residuals", "error_by_decile", "intervals")
_PROVENANCE = ("seed", "code_digest", "parameters", "parity", "environment")


class ReportFacts(Fact):
    """Everything that the report says; `target` is what is predicted, `unit` that of a predicted number.

    `champion` is the version that was serving when the decision fell, None at the first release; `manifest`
    is the bundle's, or as much of it as is known.
    """

    system: str
    title: str
    version: str
    created_at: datetime
    target: str
    dataset: DatasetReference
    checks: CheckReport
    search: SearchResult
    evaluation: Evaluation
    decision: Decision
    manifest: dict[str, Any]
    unit: str = ""
    champion: str | None = None
    against_champion: Comparison | None = None


def report_html(facts: ReportFacts) -> str:
    """The report as one HTML document that needs neither network nor scripts; equal facts give equal text."""
    template = Path(__file__).with_name("evaluation.html.jinja")
    body = filled(template, facts=facts, **_views(facts))
    return page(f"{facts.title} {facts.version}: evaluation report", body)


def plots(facts: ReportFacts) -> dict[str, str]:
    """The report's plots, each as an SVG document of its own, by a name made from its title."""
    views = _views(facts)
    drawn = (
        *views["metric_figures"],
        *views["fit_figures"],
        *views["ahead_figures"],
        *views["time_figures"],
        *views["forecast_figures"],
        *views["segment_figures"],
        views["importance_figure"],
        *views["learning_figures"],
        views["trials_figure"],
        *views["search_figures"],
    )
    return {text.file_name(f.title): svg_document(f.svg) for f in drawn if f.svg}


def verdict(facts: ReportFacts) -> str:
    """The decision in one sentence.

    Says what was promoted or kept, and why: on what numbers, or which rules failed.
    """
    decision = facts.decision
    if decision.promote:
        over = f" in place of {facts.champion}" if facts.champion else " as the first release"
        count = text.count_text(len(decision.passed), "rule")
        return f"{facts.version} was promoted{over}: all {count} passed{_headline(facts)}."
    failed = decision.sentences(passed=False)
    why = "; and ".join(_clause(sentence) for sentence in failed) or "the decision gives no reason"
    if facts.champion:
        return f"{facts.champion} was kept and {facts.version} was not promoted, because {why}."
    return f"{facts.version} was not promoted, because {why}."


def _clause(sentence: str) -> str:
    """A sentence without its full stop and, unless it starts with a name, its capital."""
    clause = sentence.strip().rstrip(".")
    return clause[:1].lower() + clause[1:] if clause[1:2].islower() else clause


def _headline(facts: ReportFacts) -> str:
    """The metric that led the search beside the best baseline's, to follow the verdict."""
    primary = _primary(facts)
    metric = next((m for m in facts.evaluation.metrics if m.name == primary), None)
    if metric is None or not text.is_number(metric.value):
        return ""
    unit = "" if metric.unit in ("", "1") else f" {metric.unit}"
    estimate = text.interval_text(metric.value, metric.low, metric.high)
    shown = f"; {text.metric_text(metric.name)} {estimate}{unit}"
    baseline = figures.best_baseline(facts.evaluation, metric.name)
    if baseline is None:
        return shown
    found = next(m for m in facts.evaluation.baselines[baseline] if m.name == metric.name)
    return f"{shown} against {text.number_text(found.value, 3)}{unit} for the best baseline, {baseline}"


def _primary(facts: ReportFacts) -> str:
    """The metric that the search went by, or the first that was measured on the hold-out."""
    names = [m.name for m in facts.evaluation.metrics]
    searched = facts.search.best.metric
    return searched if searched in names or not names else names[0]


def _views(facts: ReportFacts) -> dict[str, Any]:
    """What the template shows, as plain values and figures."""
    evaluation, details, primary = facts.evaluation, facts.evaluation.details, _primary(facts)
    baseline = figures.best_baseline(evaluation, primary)
    segments = figures.listed(details, "segments")
    return {
        "target": text.with_unit(_target(facts), facts.unit),
        "verdict": verdict(facts),
        "reasons": sorted(facts.decision.reasons, key=lambda reason: reason.passed),
        "primary": primary,
        "primary_unit": next((m.unit for m in evaluation.metrics if m.name == primary), ""),
        "baseline": baseline,
        "headline": tables.headline_rows(evaluation, baseline),
        "lost": tables.lost_metrics(evaluation, baseline),
        "findings": tables.finding_rows(facts.checks),
        "leaks": tables.leaking_columns(facts.checks),
        "severities": tables.severity_counts(facts.checks),
        "comparisons": [c for c in (facts.against_champion, *evaluation.against_baselines) if c is not None],
        "metric_figures": figures.metric_figures(evaluation),
        "fit_figures": _fit_figures(facts),
        "errs": any(details.get(key) for key in _FIT),
        "threshold": details.get("threshold"),
        "calibration_error": details.get("expected_calibration_error"),
        "confusion": tables.confusion_matrix(details.get("confusion")),
        "classes": tables.class_rows(details.get("classification_report")),
        "coverage": coverage_figures.percentages(details, "intervals"),
        "ahead_figures": [
            *series_figures.horizon_figures(evaluation),
            *coverage_figures.horizon_coverage(evaluation),
        ],
        "time_figures": series_figures.time_figures(evaluation),
        "forecast_figures": series_figures.forecast_figures(details, _target(facts), facts.unit),
        "segments": segments[:MOST_SEGMENTS],
        "segments_left_out": max(0, len(segments) - MOST_SEGMENTS),
        "segment_figures": [
            *figures.segment_figures(evaluation),
            *coverage_figures.segment_coverage(evaluation),
        ],
        "importance": figures.by_drop(details)[:MOST_FEATURES],
        "importance_figure": figures.importance_figure(evaluation, primary),
        "searched_metric": figures.searched_metric(facts.search, evaluation.task),
        "searched": tables.searched_rows(facts.search),
        "trials": tables.trial_rows(facts.search),
        "learning_figures": learning_figure.learning_figures(evaluation),
        "search_kind": search_figures.kind_text(facts.search),
        "trials_figure": figures.trials_figure(facts.search, evaluation.task),
        "search_figures": search_figures.search_figures(facts.search, evaluation.task),
        "early": tables.early_rows(facts.search),
        "manifest": tables.flat_rows(facts.manifest),
        "parts": {k: tables.flat_rows(v) for k, v in facts.manifest.items() if isinstance(v, Mapping) and v},
        "not_stated": [k for k in _PROVENANCE if facts.manifest.get(k) in (None, {}, "")],
    }


def _target(facts: ReportFacts) -> str:
    return text.target_text(facts.target, facts.unit)


def _fit_figures(facts: ReportFacts) -> list[figures.Figure]:
    details, target = facts.evaluation.details, _target(facts)
    if facts.evaluation.task == "classification":
        level = next((m.level for m in facts.evaluation.metrics), math.nan)
        return [fit_figures.calibration_figure(details, level)] if details.get("calibration") else []
    return [
        *(fit_figures.truth_figures(details, target, facts.unit) if details.get("residuals") else []),
        *(fit_figures.decile_figures(details, target, facts.unit) if details.get("error_by_decile") else []),
    ]
