"""The page of a backtest: how good candidates would have been, beside baselines, by horizon and over time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from perennial.evidence import BacktestResult, Evaluation, Metric, Walker
from perennial.live.report import figures, tables, text
from perennial.live.report.page import page
from perennial.live.report.series_figures import series_figures
from perennial.live.report.template import filled


def backtest_html(result: BacktestResult, title: str, target: str, unit: str) -> str:
    """The page as one HTML document without scripts; equal results give equal text.

    Args:
        result: what the backtest came to.
        title: what the system is called.
        target: the name of what is predicted.
        unit: its unit; "" for a class.
    """
    evaluations = [walker.evaluation for walker in result.walkers]
    first = evaluations[0]
    baseline = figures.best_baseline(first, first.metrics[0].name)
    against = [walker.against_default for walker in result.walkers if walker.against_default is not None]
    body = filled(
        Path(__file__).with_name("backtest.html.jinja"),
        result=result,
        title=title,
        verdict=verdict(result),
        target=text.with_unit(text.target_text(target, unit), unit),
        since=datetime.fromisoformat(result.since),
        until=datetime.fromisoformat(result.until),
        baseline=baseline,
        metrics=_metrics(evaluations, baseline),
        comparisons=[*against, *(c for e in evaluations for c in e.against_baselines)],
        metric_figures=figures.metric_figures(first),
        candidates=[_walked(walker, number, target, unit) for number, walker in enumerate(result.walkers)],
        rules=tables.flat_rows({k: v for k, v in result.rules.items() if v is not None}),
    )
    return page(f"{title}: backtest", body)


def verdict(result: BacktestResult) -> str:
    """In one sentence: which candidate was best on the first metric, and whether it beat every baseline."""
    best = min(result.walkers, key=lambda walker: _merit(walker.evaluation.metrics[0]))
    evaluation = best.evaluation
    metric = evaluation.metrics[0]
    unit = "" if metric.unit in ("", "1") else f" {metric.unit}"
    estimate = text.interval_text(metric.value, metric.low, metric.high)
    told = f"{evaluation.candidate}: {text.metric_text(metric.name)} {estimate}{unit}"
    lost = [c.b for c in evaluation.against_baselines if c.verdict != "better"]
    if not evaluation.against_baselines:
        return f"{told}; there was no baseline."
    if lost:
        return f"{told}; it does not beat {', '.join(lost)}."
    return f"{told}; it beats {text.count_text(len(evaluation.against_baselines), 'baseline')}."


def _merit(metric: Metric) -> float:
    return -metric.value if metric.higher_is_better else metric.value


def _metrics(
    evaluations: list[Evaluation], baseline: str | None
) -> list[tuple[Metric, list[Metric | None], Metric | None]]:
    """Every metric of the first candidate, with that of all candidates and of the best baseline."""

    def named(metrics: tuple[Metric, ...], name: str) -> Metric | None:
        return next((m for m in metrics if m.name == name), None)

    beside = evaluations[0].baselines.get(baseline or "", ())
    return [
        (m, [named(e.metrics, m.name) for e in evaluations], named(beside, m.name))
        for m in evaluations[0].metrics
    ]


def _walked(walker: Walker, number: int, target: str, unit: str) -> dict[str, Any]:
    evaluation = walker.evaluation
    return {
        "name": evaluation.candidate,
        "coverage": figures.listed(evaluation.details, "intervals"),
        "figures": series_figures(evaluation, text.target_text(target, unit), unit, f"w{number}-"),
        "parameters": tables.flat_rows(walker.parameters),
    }
