"""Line plots as inline SVG: values over a number or over time, with bands, under a legend.

As in `perennial.live.report.plots` every plot has a title and a description for screen readers and takes its colours
from the page. What is not a finite number breaks its line; a plot with nothing to connect is the empty string.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from perennial.live.report.axes import Axis, Scale, fitted_axis, scale, tick_texts, ticks
from perennial.live.report.drawing import (
    LETTER,
    RIGHT,
    WIDTH,
    bottom_axis,
    drawing,
    left_axis,
    line,
    value_axis,
    words,
)
from perennial.live.report.plots import Point, Tone
from perennial.live.report.text import is_number, shortened
from perennial.live.report.time_axis import time_marks

_DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 2", "10 4")
_DOTS = 16
_HEIGHT = 228.0
_LEGEND_ROW = 16.0


@dataclass(frozen=True)
class Line:
    """A line through its points from left to right; `low` and `high` of the points bound a band around it.

    Lines of one tone are told apart by their `pattern`, a number of dashes; 0 is solid. Points that are not `joined`
    are dots alone.
    """

    label: str
    points: tuple[Point, ...]
    tone: Tone = "main"
    pattern: int = 0
    joined: bool = True


def lines_plot(
    name: str,
    title: str,
    text: str,
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    *,
    guides: Sequence[float] = (),
    from_zero: bool = False,
    log: bool = False,
    calendar: bool = False,
    band: str = "",
) -> str:
    """Lines in a frame, the first one on top; dashed lines stand at the heights `guides`.

    Args:
        name: unique on the page (a prefix of ids).
        title: what a screen reader says first.
        text: what it says then.
        lines: what is drawn; those without a finite point are left out.
        x_label: the label of the axis below, with its unit.
        y_label: the label of the axis at the left, with its unit.
        guides: values of the left axis.
        from_zero: whether the left axis shows zero.
        log: whether the axis below is logarithmic.
        calendar: whether its values are seconds since 1970, marked by dates in UTC.
        band: what the band around a line is, for the legend; "" where there is none.
    """
    drawn = [replace(each, points=_finite(each, log)) for each in lines]
    drawn = [each for each in drawn if any(is_number(p.y) for p in each.points)]
    points = [p for each in drawn for p in each.points]
    x_axis = fitted_axis(x_label, [p.x for p in points], log=log, pad=0.02)
    ends = [v for p in points for v in (p.y, p.low, p.high)]
    y_axis = fitted_axis(y_label, [*ends, *guides, *([0.0] if from_zero else [])])
    if x_axis is None or y_axis is None or len({p.x for p in points}) < 2:
        return ""
    legend, top = _legend(drawn, band)
    left = 30 + LETTER * max((len(t) for t in tick_texts(ticks(y_axis))), default=1)
    bottom = top + _HEIGHT
    x, y = scale(x_axis, left, WIDTH - RIGHT), scale(y_axis, bottom, top)
    below = (
        _calendar_axis(x_axis, x, left, top, bottom) if calendar else value_axis(x_axis, x, left, top, bottom)
    )
    parts = [*legend, *left_axis(y_axis, y, left, top, bottom), *below]
    parts += [line("guide", left, y(v), WIDTH - RIGHT, y(v)) for v in guides if is_number(v)]
    parts += [f'<path class="band {each.tone}" d="{d}"/>' for each in drawn for d in _bands(each, x, y)]
    for each in reversed(drawn):
        parts += _strokes(each, x, y)
    return drawing(name, title, text, bottom + 36, parts)


def _finite(each: Line, log: bool) -> tuple[Point, ...]:
    """The points that have a place on the axis below, from left to right."""
    return tuple(
        sorted((p for p in each.points if is_number(p.x) and (p.x > 0 or not log)), key=lambda p: p.x)
    )


def _runs(points: Sequence[Point], *, banded: bool = False) -> Iterator[list[Point]]:
    """The stretches of neighbouring points with a finite value (or, `banded`, with finite ends)."""
    run: list[Point] = []
    for p in points:
        if is_number(p.low) and is_number(p.high) if banded else is_number(p.y):
            run.append(p)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _bands(each: Line, x: Scale, y: Scale) -> Iterator[str]:
    for run in _runs(each.points, banded=True):
        if len(run) > 1:
            edge = [(x(p.x), y(p.high)) for p in run] + [(x(p.x), y(p.low)) for p in reversed(run)]
            yield f"M{_path(edge)}Z"


def _strokes(each: Line, x: Scale, y: Scale) -> list[str]:
    runs = list(_runs(each.points))
    parts = [
        f'<path class="line {each.tone}"{_dashed(each.pattern)} d="M{_path([(x(p.x), y(p.y)) for p in run])}"/>'
        for run in runs
        if len(run) > 1 and each.joined
    ]
    few = sum(len(run) for run in runs) <= _DOTS and not each.pattern
    dots = [p for run in runs if few or len(run) == 1 or not each.joined for p in run]
    return parts + [
        f'<circle class="{each.tone}" cx="{x(p.x):.1f}" cy="{y(p.y):.1f}" r="2.8"/>' for p in dots
    ]


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "L".join(f"{across:.1f} {down:.1f}" for across, down in places)


def _dashed(pattern: int) -> str:
    dashes = _DASHES[pattern % len(_DASHES)]
    return f' stroke-dasharray="{dashes}"' if dashes else ""


def _legend(lines: Sequence[Line], band: str) -> tuple[list[str], float]:
    """A sample and the label of every line, wrapped, with the height that they need."""
    parts: list[str] = []
    across, down = 2.0, 10.0
    entries = [(each, shortened(each.label, int((WIDTH - 30) / LETTER))) for each in lines]
    banded = next((e for e in lines if any(_has_width(p) for p in e.points)), None)
    shown = [*entries, *([(banded, shortened(band, int((WIDTH - 30) / LETTER)))] if banded and band else [])]
    for number, (each, label) in enumerate(shown):
        wide = 26 + LETTER * len(label)
        if across > 2 and across + wide > WIDTH:
            across, down = 2.0, down + _LEGEND_ROW
        if number < len(entries) and not each.joined:
            parts.append(f'<circle class="{each.tone}" cx="{across + 10:.1f}" cy="{down - 4:.1f}" r="2.8"/>')
        elif number < len(entries):
            sample = f"M{across:.1f} {down - 4:.1f}L{across + 20:.1f} {down - 4:.1f}"
            parts.append(f'<path class="line {each.tone}"{_dashed(each.pattern)} d="{sample}"/>')
        else:
            place = f'x="{across:.1f}" y="{down - 9:.1f}" width="20" height="10"'
            parts.append(f'<rect class="band {each.tone}" {place}/>')
        parts.append(words("label", across + 25, down, "start", label))
        across += wide + 12
    return parts, down + 12


def _has_width(p: Point) -> bool:
    return is_number(p.low) and is_number(p.high) and p.high - p.low > 1e-9 * max(abs(p.low), abs(p.high))


def _calendar_axis(axis: Axis, x: Scale, left: float, top: float, bottom: float) -> list[str]:
    marks = time_marks(axis.low, axis.high, int((WIDTH - RIGHT - left) / LETTER))
    kept = [(at, text) for at, text in marks if x(at) + len(text) * LETTER / 2 <= WIDTH]
    grid = [line("grid", x(at), top, x(at), bottom) for at, _ in kept]
    return [*grid, *bottom_axis(kept, axis.label, x, left, bottom)]
