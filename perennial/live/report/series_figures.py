"""The figures of a series: errors by horizon and over time, and some whole forecasts.

Every function takes a `prefix`, which tells the drawings of one model from those of another on the same page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from perennial.evidence import Evaluation
from perennial.live.report.coverage_figures import horizon_coverage
from perennial.live.report.figures import Figure, direction, listed
from perennial.live.report.line_plots import Line, lines_plot
from perennial.live.report.plots import Point
from perennial.live.report.series_parts import Record, ahead_text, banded, horizon_of, level_text, seconds
from perennial.live.report.tables import mapping
from perennial.live.report.text import (
    as_float,
    count_text,
    interval_text,
    is_number,
    metric_text,
    metric_title,
    number_text,
    percent_text,
    time_text,
    with_unit,
)

MOST_BASELINES = 2
_FORECASTS = {
    "latest": ("Latest forecast", "The last whole forecast."),
    "median": ("Middling forecast", "Of all forecasts the one with the median error."),
    "worst": ("Worst forecast", "Of all forecasts the one with the largest error."),
}


def series_figures(evaluation: Evaluation, target: str, unit: str, prefix: str = "") -> list[Figure]:
    """All that is drawn of a series: by horizon, over time, and whole forecasts; none where the rows are none."""
    return [
        *horizon_figures(evaluation, prefix),
        *horizon_coverage(evaluation, prefix),
        *time_figures(evaluation, prefix),
        *forecast_figures(evaluation.details, target, unit, prefix),
    ]


def horizon_figures(evaluation: Evaluation, prefix: str = "") -> list[Figure]:
    """The error by how far ahead a row looks; none without several horizons."""
    label = ahead_text(evaluation.details.get("horizon"))
    drawn = _error_figures(evaluation, "by_horizon", f"by {label}", label, horizon_of, prefix)
    return [figure for figure in drawn if figure.svg]


def time_figures(evaluation: Evaluation, prefix: str = "") -> list[Figure]:
    """The error by month or year of the time that is predicted; none where the rows are no series."""
    label = "time predicted (UTC)"
    drawn = _error_figures(evaluation, "over_time", "over time", label, _middle, prefix, calendar=True)
    return [figure for figure in drawn if figure.svg]


def forecast_figures(details: Record, target: str, unit: str, prefix: str = "") -> list[Figure]:
    """Whole forecasts with their intervals beside the truth, the latest first; none where none were kept."""
    order = [*_FORECASTS]
    kept = [one for one in listed(details, "forecasts") if one.get("which") in order]
    level = next((as_float(line.get("level")) for line in listed(details, "intervals")), math.nan)
    drawn = [
        _forecast_figure(one, level, target, unit, f"{prefix}forecast-{one['which']}")
        for one in sorted(kept, key=lambda one: order.index(one["which"]))
    ]
    return [figure for figure in drawn if figure.svg]


def _forecast_figure(one: Record, level: float, target: str, unit: str, name: str) -> Figure:
    times = [seconds(time) for time in one.get("times") or ()]

    def column(key: str) -> list[float]:
        values = [as_float(v) for v in one.get(key) or ()]
        return values if len(values) == len(times) else [math.nan] * len(times)

    truth, low, high = column("truth"), column("low"), column("high")
    said = zip(times, column("predicted"), low, high, strict=True)
    known = [ends for ends in zip(truth, low, high, strict=True) if all(map(is_number, ends))]
    what, note = _FORECASTS[one["which"]]
    if known:
        inside = sum(a <= value <= b for value, a, b in known)
        note = f"{note} The interval holds {inside} of {count_text(len(known), 'truth')}."
    at = seconds(one.get("origin"))
    title = f"{what}, made {time_text(datetime.fromtimestamp(at, UTC))}" if is_number(at) else what
    lines = [
        Line("predicted", tuple(Point(*each) for each in said)),
        Line("truth", tuple(Point(*each) for each in zip(times, truth, strict=True)), "second"),
    ]
    band = f"{percent_text(level)} interval" if is_number(level) else "interval"
    label = with_unit(target, unit)
    svg = lines_plot(name, title, note, lines, "time predicted (UTC)", label, calendar=True, band=band)
    return Figure(title, note, svg)


def _error_figures(
    evaluation: Evaluation,
    key: str,
    by: str,
    label: str,
    place: Callable[[Record], float],
    prefix: str,
    *,
    calendar: bool = False,
) -> list[Figure]:
    """A figure per metric (parts of which the first is not defined have the next one)."""
    units = {m.name: m.unit for m in evaluation.metrics}
    every = listed(evaluation.details, key)
    figures = []
    for number, metric in enumerate(dict.fromkeys(str(line.get("metric")) for line in every)):
        parts = [line for line in every if str(line.get("metric")) == metric]
        own = Line(evaluation.candidate, banded(parts, place, "value"))
        naive, left_out = _baselines(parts, place, higher=metric.endswith("_score"))
        title = f"{metric_title(metric)} {by}, {direction(metric)}"
        note = f"By {_period(parts)}, drawn at the middle of its rows." if calendar else ""
        if left_out:
            note = f"{note} The best {len(naive)} of {len(naive) + left_out} baselines.".strip()
        told = (note, _told(parts, label, place, calendar=calendar), *map(_range_text, naive))
        text = " ".join(sentence for sentence in told if sentence)
        svg = lines_plot(
            f"{prefix}{key.replace('_', '-')}-{number}",
            title,
            text,
            [own, *naive],
            label,
            with_unit(metric_text(metric), units.get(metric, "")),
            from_zero=not metric.endswith("_score"),
            calendar=calendar,
            band=level_text(evaluation),
        )
        figures.append(Figure(title, note, svg))
    return figures


def _baselines(
    parts: Sequence[Record], place: Callable[[Record], float], *, higher: bool
) -> tuple[list[Line], int]:
    """The lines of the best baselines by their plain mean over the parts, and how many others there are."""
    values = {
        str(name): [as_float(mapping(line.get("baseline")).get(name)) for line in parts]
        for name in dict.fromkeys(name for line in parts for name in mapping(line.get("baseline")))
    }
    means = {}
    for name, found in values.items():
        finite = [v for v in found if is_number(v)]
        if finite:
            means[name] = sum(finite) / len(finite)
    ranked = sorted(means, key=lambda name: -means[name] if higher else means[name])
    lines = [
        Line(name, tuple(Point(place(p), v) for p, v in zip(parts, values[name], strict=True)), "base", n)
        for n, name in enumerate(ranked[:MOST_BASELINES], 1)
    ]
    return lines, max(0, len(ranked) - MOST_BASELINES)


def _told(parts: Sequence[Record], label: str, place: Callable[[Record], float], *, calendar: bool) -> str:
    """The first, the best and the worst value in words."""
    known = [p for p in parts if is_number(p.get("value")) and is_number(place(p))]
    if not known:
        return ""
    ends = {
        "First": known[0],
        "last": known[-1],
        "smallest": min(known, key=lambda p: as_float(p["value"])),
        "largest": max(known, key=lambda p: as_float(p["value"])),
    }

    def at(part: Record) -> str:
        if calendar:
            return f"from {str(part.get('start'))[:10]} to {str(part.get('end'))[:10]}"
        return f"at {number_text(place(part))} {label}"

    told = (
        f"{name} {interval_text(p.get('value'), p.get('low'), p.get('high'))} {at(p)}"
        for name, p in ends.items()
    )
    return f"{'; '.join(told)}."


def _range_text(naive: Line) -> str:
    values = [p.y for p in naive.points if is_number(p.y)]
    return f"{naive.label} {number_text(min(values), 3)} to {number_text(max(values), 3)}."


def _period(parts: Sequence[Record]) -> str:
    """What the parts are of: months, or years where any of them spans two months."""
    months = [[str(part.get(end))[:7] for end in ("start", "end")] for part in parts]
    return "month" if all(first == last for first, last in months) else "year"


def _middle(line: Record) -> float:
    """The middle of a period, in seconds since 1970."""
    return (seconds(line.get("start")) + seconds(line.get("end"))) / 2
