"""The figures of how often prediction intervals hold the truth: by horizon and by segment, beside their levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perennial.evidence import Evaluation
from perennial.live.report.figures import MOST_SEGMENTS, Figure, listed
from perennial.live.report.line_plots import Line, lines_plot
from perennial.live.report.plots import Row, rows_plot
from perennial.live.report.series_parts import ahead_text, banded, horizon_of, level_text
from perennial.live.report.text import as_float, is_number, number_text, percent_text

_SHARES = ("coverage", "low", "high")


def horizon_coverage(evaluation: Evaluation, prefix: str = "") -> list[Figure]:
    """The coverage of every level by how far ahead a row looks; none without several horizons."""
    every = percentages(evaluation.details, "coverage_by_horizon")
    levels = sorted({line["level"] for line in every})
    lines = [
        Line(
            f"{percent_text(level)} intervals",
            banded([one for one in every if one["level"] == level], horizon_of, "coverage"),
            "second" if number else "main",
            max(0, number - 1),
        )
        for number, level in enumerate(levels)
    ]
    label = ahead_text(evaluation.details.get("horizon"))
    title = f"Coverage of the intervals by {label}"
    note = "Shares of truths inside; dashed lines are the nominal levels."
    svg = lines_plot(
        f"{prefix}coverage-by-horizon",
        title,
        f"{note} {_worst_text(every, label)}",
        lines,
        label,
        "coverage (%)",
        guides=[100 * level for level in levels],
        band=level_text(evaluation),
    )
    return [Figure(title, note, svg)] if svg else []


def segment_coverage(evaluation: Evaluation, prefix: str = "") -> list[Figure]:
    """A figure per column and level: the coverage in each of its segments, the farthest from its level first."""
    every = percentages(evaluation.details, "coverage_by_segment")
    figures = []
    parts = dict.fromkeys((str(one.get("column")), one["level"]) for one in every)
    for number, (column, level) in enumerate(parts):
        mine = [one for one in every if (str(one.get("column")), one["level"]) == (column, level)]
        mine.sort(key=lambda one: -abs(one["coverage"] - 100 * level))
        shown = mine[:MOST_SEGMENTS]
        rows = [
            Row(f"{one.get('value')} ({number_text(one.get('rows'), 12)})", *(one[key] for key in _SHARES))
            for one in shown
        ]
        title = f"Coverage of {percent_text(level)} intervals by {column}, farthest from {percent_text(level)} first"
        note = f"The farthest {len(shown)} of {len(mine)}." if len(mine) > len(shown) else ""
        told = "; ".join(f"{row.label} {number_text(row.value, 3)} %" for row in rows)
        text = f"{note} {told}.".strip()
        name = f"{prefix}coverage-by-segment-{number}"
        svg = rows_plot(name, title, text, rows, "coverage (%)", reference=100 * level)
        figures.append(Figure(title, note, svg))
    return [figure for figure in figures if figure.svg]


def percentages(details: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The lines with a level and a coverage; shares in percent, the level as it is."""
    return [
        {**line, "level": as_float(line["level"]), **{k: 100 * as_float(line.get(k)) for k in _SHARES}}
        for line in listed(details, key)
        if is_number(line.get("level")) and is_number(line.get("coverage"))
    ]


def _worst_text(every: list[dict[str, Any]], label: str) -> str:
    """The line that is farthest from its level, in words."""
    if not every:
        return ""
    far = max(every, key=lambda one: abs(one["coverage"] - 100 * one["level"]))
    return (
        f"Farthest off: {percent_text(far['level'])} intervals cover {number_text(far['coverage'], 3)} % at "
        f"{number_text(far.get('horizon'))} {label}."
    )
