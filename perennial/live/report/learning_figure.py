"""The figure of the learning curve: whether more rows would help."""

from __future__ import annotations

from perennial.evidence import Evaluation
from perennial.live.report.figures import Figure, best_baseline, direction, listed
from perennial.live.report.line_plots import Line, lines_plot
from perennial.live.report.plots import Point
from perennial.live.report.series_parts import banded, level_text
from perennial.live.report.text import (
    as_float,
    interval_text,
    is_number,
    metric_text,
    metric_title,
    number_text,
    with_unit,
)


def learning_figures(evaluation: Evaluation) -> list[Figure]:
    """The hold-out error by the number of training rows beside the best baseline; none with fewer than two parts."""
    every = listed(evaluation.details, "learning_curve")
    parts = [one for one in every if is_number(one.get("value")) and is_number(one.get("rows"))]
    if len(parts) < 2:
        return []
    metric = str(parts[-1].get("metric"))
    lines = [Line(evaluation.candidate, banded(parts, lambda one: as_float(one.get("rows")), "value"))]
    baseline = best_baseline(evaluation, metric)
    if baseline is not None:
        level = next(m.value for m in evaluation.baselines[baseline] if m.name == metric)
        ends = (as_float(one["rows"]) for one in (parts[0], parts[-1]))
        lines.append(Line(baseline, tuple(Point(x, level) for x in ends), "base", 1))
    units = {m.name: m.unit for m in evaluation.metrics}
    title = f"{metric_title(metric)} by training rows, {direction(metric)}"
    note = (
        "On the same hold-out rows; the line with dashes is the best baseline, fitted to all training rows."
    )
    if baseline is None:
        note = "On the same hold-out rows."
    for one in every:
        if one.get("left_out"):
            note += f" {number_text(one.get('rows'), 12)} rows left out: {one['left_out']}."
    told = (
        f"{number_text(one['rows'], 12)} rows {interval_text(one['value'], one.get('low'), one.get('high'))}"
        for one in parts
    )
    svg = lines_plot(
        "learning-curve",
        title,
        f"{note} {'; '.join(told)}.",
        lines,
        "training rows (logarithmic)",
        with_unit(metric_text(metric), units.get(metric, "")),
        log=True,
        band=level_text(evaluation),
    )
    return [Figure(title, note, svg)] if svg else []
