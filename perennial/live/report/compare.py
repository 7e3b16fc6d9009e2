"""The page that sets two versions of a system side by side."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from perennial.evidence import Metric
from perennial.live.comparison import ColumnChange, SideBySide, paired_verdict
from perennial.live.replies import Replies
from perennial.live.report.axes import fitted_axis
from perennial.live.report.figures import Figure, direction
from perennial.live.report.page import page
from perennial.live.report.plots import Point, Row, Tone, points_plot, rows_plot
from perennial.live.report.template import filled
from perennial.live.report.text import (
    ABSENT,
    count_text,
    fixed_text,
    interval_text,
    metric_text,
    metric_title,
    number_text,
    shortened,
    time_text,
    with_unit,
)
from perennial.live.settings import ABSENT as NOT_SET
from perennial.live.settings import Change
from perennial.live.versions import Version

MOST_CHARACTERS = 120
MOST_SOLID = 100


def compare_html(found: SideBySide, title: str) -> str:
    """The page as one HTML document without scripts; equal versions and ledgers give equal text.

    Args:
        found: the two versions and what differs.
        title: what the system is called.
    """
    body = filled(
        Path(__file__).with_name("compare.html.jinja"),
        found=found,
        title=title,
        a=found.a.name,
        b=found.b.name,
        verdict=paired_verdict(found),
        facts=fact_rows(found),
        metrics=metric_rows(found),
        metric_figures=_metric_figures(found) if found.same_rows else [],
        settings=None if found.settings is None else change_rows(found.settings),
        parameters=change_rows(found.parameters),
        environment=change_rows(found.environment),
        columns=[(column.name, column_text(column, found)) for column in found.columns],
        replies=[(reply_text(one), _reply_figure(n, one, found)) for n, one in enumerate(found.replies)],
    )
    return page(f"{title}: {found.a.name} and {found.b.name}", body)


def fact_rows(found: SideBySide) -> list[tuple[str, str, str]]:
    """What each version is, as text: a label, then A's and B's."""
    sides = [_facts(version) for version in (found.a, found.b)]
    return [(label, sides[0][label], sides[1][label]) for label in sides[0]]


def metric_rows(found: SideBySide) -> list[tuple[str, str, str, str]]:
    """Every metric with its unit, then A's and B's estimate, and B - A where both come from the same rows."""
    rows = []
    for name, ours, theirs in found.metrics:
        unit = (ours or theirs or Metric(name=name, value=0, low=0, high=0)).unit
        label = with_unit(metric_title(name), "" if unit == "1" else unit)
        change = number_text(theirs.value - ours.value, 3) if found.same_rows and ours and theirs else ABSENT
        rows.append((f"{label}, {direction(name)}", _estimate(ours), _estimate(theirs), change))
    return rows


def change_rows(found: tuple[Change, ...]) -> list[tuple[str, str, str]]:
    """Every change as text: the key, then A's and B's value."""
    return [(change.key, value_text(change.before), value_text(change.after)) for change in found]


def value_text(value: Any) -> str:
    """A value of a config or a contract, short, as it would stand in JSON."""
    if value is NOT_SET:
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return shortened(text, MOST_CHARACTERS)


def column_text(column: ColumnChange, found: SideBySide) -> str:
    """What is different about a column, in words."""
    if column.how != "changed":
        return f"only in {(found.b if column.how == 'added' else found.a).name}"
    return "; ".join(_field_text(change) for change in column.fields)


def reply_text(replies: Replies) -> str:
    """How differently both answered, in one sentence."""
    told = f"{count_text(replies.rows, 'golden row')} of {replies.of}: "
    if not replies.gaps:
        return f"{told}none was answered by both."
    unit = f" {replies.unit}" if replies.unit not in ("", "1") else ""
    gap = f"median {number_text(replies.typical_gap, 3)}{unit}, largest {number_text(replies.largest_gap, 3)}{unit}"
    what = f"{replies.other_classes:,} in the class, " if isinstance(replies.answers[0][0], str) else ""
    where = "probabilities" if what else "answers"
    flags = f"; {replies.other_flags:,} flagged in other words" if replies.other_flags else ""
    return f"{told}{replies.differing:,} answered differently, {what}{where} {gap} apart{flags}."


def _facts(version: Version) -> dict[str, str]:
    manifest = version.bundle.manifest
    measured = version.judgement.get("measured") or {}
    speed = "not measured"
    if measured:
        speed = f"{fixed_text(measured['median_ms'], 3)} ms, 99th percentile {fixed_text(measured['p99_ms'], 3)} ms"
    data = manifest.dataset
    return {
        "Status": version.status,
        "Built": time_text(datetime.fromisoformat(manifest.created_at)),
        "Candidate": manifest.candidate,
        "Dataset": f"version {data['version']}, {count_text(data['rows'], 'row')}, {data['fingerprint'][:12]}",
        "Hold-out": f"{count_text(version.evaluation.rows, 'row')}, {version.holdout[:12]}",
        "Seed": str(manifest.seed),
        "Model file": f"{number_text(version.model_bytes / 1e6, 3)} MB, {manifest.backend}",
        "One row": speed,
        "Config": manifest.config_digest[:12],
        "Source": manifest.code_digest[:12],
    }


def _estimate(metric: Metric | None) -> str:
    return ABSENT if metric is None else interval_text(metric.value, metric.low, metric.high)


def _field_text(change: Change) -> str:
    if isinstance(change.before, tuple) and isinstance(change.after, tuple):
        gone, new = set(change.before) - set(change.after), set(change.after) - set(change.before)
        parts = [
            f"{word} {', '.join(sorted(some))}" for word, some in (("without", gone), ("with", new)) if some
        ]
        return shortened(f"{change.key} {' and '.join(parts) or 'in another order'}", MOST_CHARACTERS)
    return f"{change.key} {value_text(change.before)} -> {value_text(change.after)}"


def _metric_figures(found: SideBySide) -> list[Figure]:
    """One figure per metric that both were measured by, on the same rows."""
    figures = []
    for number, (name, ours, theirs) in enumerate(found.metrics):
        if ours is None or theirs is None:
            continue
        pairs: tuple[tuple[Version, Metric, Tone], ...] = ((found.a, ours, "base"), (found.b, theirs, "main"))
        rows = [Row(version.name, m.value, m.low, m.high, tone=tone) for version, m, tone in pairs]
        title = f"{metric_title(name)}, {direction(name)}"
        told = "; ".join(f"{version.name} {_estimate(m)}" for version, m, _ in pairs)
        label = with_unit(metric_text(name), ours.unit)
        figures.append(Figure(title, "", rows_plot(f"metric-{number}", title, f"{told}.", rows, label)))
    return figures


def _reply_figure(number: int, replies: Replies, found: SideBySide) -> Figure:
    title = f"Golden rows of {replies.of}: {replies.shown}, {found.b.name} against {found.a.name}"
    note = "Rows on the dashed line are answered alike."
    ends = [value for pair in replies.points for value in pair]
    unit = "" if replies.unit == "1" else replies.unit
    x, y = (
        fitted_axis(with_unit(f"{replies.shown}, {version.name}", unit), ends)
        for version in (found.a, found.b)
    )
    points = [Point(first, second) for first, second in replies.points]
    many = len(points) > MOST_SOLID
    svg = points_plot(f"golden-{number}", title, note, points, x, y, guide="diagonal", cloud=many)
    return Figure(title, note, svg)
