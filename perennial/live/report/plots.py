"""Plots as inline SVG: rows of estimates with whiskers, and clouds of points.

Every plot is `WIDTH` units wide, has a title and a description for screen readers, and takes its colours from
the page around it. What is not a finite number is left out; a plot with nothing left is the empty string.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from perennial.live.report.axes import Axis, fitted_axis, scale, tick_texts, ticks
from perennial.live.report.drawing import LETTER, RIGHT, WIDTH, drawing, left_axis, line, value_axis, words
from perennial.live.report.text import is_number, shortened

_ROW = 19
Tone = Literal["main", "second", "base"]


@dataclass(frozen=True)
class Row:
    """One estimate of a rows plot: `low` and `high` end its whisker, `marks` are what it is the mean of."""

    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
    tone: Tone = "main"
    marks: tuple[float, ...] = ()
    chosen: bool = False


@dataclass(frozen=True)
class Point:
    """One point of a points plot; `low` and `high` end a vertical whisker, `beyond` draws it hollow."""

    x: float
    y: float
    low: float = math.nan
    high: float = math.nan
    beyond: bool = False


def rows_plot(
    name: str, title: str, text: str, rows: Sequence[Row], label: str, *, reference: float = math.nan
) -> str:
    """Estimates one below the other on a common axis; a dashed line stands at `reference`.

    `name` is unique on the page (a prefix of ids), `title` and `text` are what a screen reader says.
    """
    drawn = [row for row in rows if is_number(row.value)]
    values = [v for row in drawn for v in (row.value, row.low, row.high, *row.marks)]
    axis = fitted_axis(label, [*values, reference]) if drawn else None
    if axis is None:
        return ""
    left = min(168.0, max(40.0, 10 + LETTER * max(len(row.label) for row in drawn)))
    bottom = 8.0 + _ROW * len(drawn)
    x = scale(axis, left + 4, WIDTH - RIGHT)
    parts = value_axis(axis, x, left, 4, bottom)
    if is_number(reference):
        parts.append(line("guide", x(reference), 4, x(reference), bottom))
    for number, row in enumerate(drawn):
        y = 8 + _ROW * (number + 0.5)
        css = "label chosen" if row.chosen else "label"
        label_text = shortened(row.label, int((left - 8) / LETTER))
        parts.append(words(css, left - 4, y + 4, "end", label_text))
        if is_number(row.low) and is_number(row.high):
            parts.append(line(f"whisker {row.tone}", x(row.low), y, x(row.high), y))
        for mark in row.marks:
            if is_number(mark):
                parts.append(line(f"mark {row.tone}", x(mark), y - 3.5, x(mark), y + 3.5))
        parts.append(f'<circle class="{row.tone}" cx="{x(row.value):.1f}" cy="{y:.1f}" r="3.6"/>')
    return drawing(name, title, text, bottom + 36, parts)


def points_plot(
    name: str,
    title: str,
    text: str,
    points: Sequence[Point],
    x_axis: Axis | None,
    y_axis: Axis | None,
    *,
    guide: Literal["diagonal", "zero"],
    cloud: bool = True,
) -> str:
    """Points in a frame, with the line on which perfect ones would lie: y = x, or y = 0.

    `cloud` draws small translucent points; otherwise they are larger, solid and carry their whiskers.
    """
    drawn = [p for p in points if _within(p.x, x_axis) and _within(p.y, y_axis)]
    if not drawn or x_axis is None or y_axis is None:
        return ""
    marks = ticks(y_axis)
    left = 30 + LETTER * max((len(t) for t in tick_texts(marks)), default=1)
    top, bottom = 8.0, 270.0
    x, y = scale(x_axis, left, WIDTH - RIGHT), scale(y_axis, bottom, top)
    parts = [*left_axis(y_axis, y, left, top, bottom), *value_axis(x_axis, x, left, top, bottom)]
    ends = (max(x_axis.low, y_axis.low), min(x_axis.high, y_axis.high))
    if guide == "zero" and _within(0.0, y_axis):
        parts.append(line("guide", left, y(0.0), WIDTH - RIGHT, y(0.0)))
    elif guide == "diagonal" and ends[0] < ends[1]:
        parts.append(line("guide", x(ends[0]), y(ends[0]), x(ends[1]), y(ends[1])))
    if cloud:
        parts.append('<g class="cloud main">')
        for p in drawn:
            beyond = ' class="beyond"' if p.beyond else ""
            parts.append(f'<circle{beyond} cx="{x(p.x):.1f}" cy="{y(p.y):.1f}" r="2.2"/>')
        parts.append("</g>")
    else:
        for p in drawn:
            if _within(p.low, y_axis) and _within(p.high, y_axis):
                parts.append(line("whisker main", x(p.x), y(p.low), x(p.x), y(p.high)))
            parts.append(f'<circle class="main" cx="{x(p.x):.1f}" cy="{y(p.y):.1f}" r="4"/>')
    return drawing(name, title, text, bottom + 36, parts)


def _within(value: float, axis: Axis | None) -> bool:
    return axis is not None and is_number(value) and axis.low <= value <= axis.high
