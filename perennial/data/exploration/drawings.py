"""The drawings of an exploration: histograms, categories, coverage, missing values and associations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from perennial.data.exploration.associations import Associations
from perennial.data.exploration.coverage import Buckets, Gap
from perennial.data.exploration.histogram import Histogram
from perennial.data.exploration.missing import Pattern
from perennial.live.report.axes import Axis, Scale, scale
from perennial.live.report.drawing import (
    LETTER,
    RIGHT,
    WIDTH,
    bottom_axis,
    box,
    drawing,
    left_axis,
    line,
    value_axis,
    words,
)
from perennial.live.report.text import (
    count_text,
    fixed_text,
    percent_text,
    rough_percent_text,
    share_text,
    shortened,
)
from perennial.live.report.time_axis import moment, time_marks

WIDE = 1000
MOST_GAPS = 60
DEEPEST = 0.55  # the numbers in the cells keep a contrast of 4.5 in both themes
_LEFT = 10.0
_LABEL = 20


def number_bars(name: str, title: str, found: Histogram, label: str, *, zero: bool = False) -> str:
    """A histogram above an axis of its numbers; `zero` marks where zero lies."""
    axis, bottom = Axis(label, found.low, found.high), 96.0
    x = scale(axis, _LEFT, WIDTH - RIGHT)
    parts = [
        *value_axis(axis, x, _LEFT, 6, bottom),
        *_bars(found.counts, x(found.low), x(found.high), 6, bottom),
    ]
    if zero and found.low < 0 < found.high:
        parts.append(line("guide", x(0.0), 6, x(0.0), bottom))
    said = f"{count_text(sum(found.counts), 'value')} in {len(found.counts)} bins"
    return drawing(name, title, said, bottom + 36, parts)


def category_bars(name: str, title: str, rows: Sequence[tuple[str, int]], total: int) -> str:
    """Counts of categories, one below the other, the longest as long as the drawing; "" without one."""
    if not rows:
        return ""
    height = 19.0
    left = 10 + LETTER * min(_LABEL, max(len(label) for label, _ in rows))
    room = WIDTH - RIGHT - left - 52
    most = max(count for _, count in rows)
    parts = []
    for number, (label, count) in enumerate(rows):
        y = 4 + height * number
        long = room * count / most
        parts += [
            words("label", left - 6, y + 13, "end", shortened(label, int((left - 8) / LETTER))),
            box("main", left, y + 3, max(1.0, long), height - 7, f"{label}: {share_text(count, total)}"),
            words("tick", left + max(1.0, long) + 5, y + 13, "start", rough_percent_text(count / total)),
        ]
    return drawing(name, title, f"{count_text(len(rows), 'bar')}", 8 + height * len(rows), parts)


def time_bars(
    name: str,
    title: str,
    found: Buckets,
    gaps: Sequence[Gap] = (),
    *,
    width: float = WIDTH,
    height: float = 96,
    tall: bool = False,
) -> str:
    """Counts over calendar units above an axis of time; gaps are strips behind the bars.

    A tall one has an axis of its counts, and tells them to a pointer that rests on a bar.
    """
    counts = Axis(f"records per {found.unit}", 0.0, max(found.counts) * 1.05)
    left = 58.0 if tall else _LEFT
    axis = Axis("time (UTC)", found.edges[0], found.edges[-1])
    x = scale(axis, left, width - RIGHT)
    parts = left_axis(counts, scale(counts, height, 6), left, 6, height, width) if tall else []
    for gap in gaps[:MOST_GAPS]:
        told = f"no record from {_time(gap.start)} to {_time(gap.stop)}"
        wide = max(2.0, x(gap.stop) - x(gap.start))
        parts.append(box("gap", x(gap.start), 6, wide, height - 6, told))
    told_bars = [
        f"{_time(edge)}: {count_text(count, 'record')}"
        for edge, count in zip(found.edges, found.counts, strict=False)
    ]
    start, stop = x(found.edges[0]), x(found.edges[-1])
    parts += _bars(
        found.counts, start, stop, 6 + (height - 6) * 0.05 / 1.05, height, told_bars if tall else ()
    )
    marks = time_marks(found.edges[0], found.edges[-1], int((width - left - RIGHT) / LETTER))
    label = f"time (UTC), one bar per {found.unit}"
    parts += bottom_axis(_within(marks, x, width), label, x, left, height, width)
    said = f"{count_text(sum(found.counts), 'record')} in {count_text(len(found.counts), found.unit)}"
    return drawing(name, title, said, height + 36, parts, width)


def missing_matrix(name: str, title: str, found: Pattern) -> str:
    """One row per column, one cell per block of rows; the darker, the more values are missing."""
    left, cell = 8 + LETTER * min(_LABEL, max(map(len, found.names))), 15.0
    blocks = len(found.starts)
    across = min(22.0, 480.0 / blocks)
    width, bottom = left + across * blocks + RIGHT, 4 + cell * len(found.names)
    parts = []
    for row, (label, shares) in enumerate(zip(found.names, found.shares, strict=True)):
        y = 4 + cell * row
        parts.append(words("label", left - 5, y + 11, "end", shortened(label, _LABEL)))
        parts.append(box("empty", left, y, across * blocks, cell - 1.5))
        for block, share in enumerate(shares):
            if share > 0:
                told = f"{label}: {percent_text(share)} missing"
                style = f"fill-opacity:{0.15 + 0.85 * share:.2f}"
                parts.append(
                    box("second", left + across * block, y, max(across - 0.5, 1), cell - 1.5, told, style)
                )
    ends = [(0, found.starts[0]), (blocks - 1, found.starts[-1])] if blocks > 1 else [(0, found.starts[0])]
    texts = [
        f"{moment(s):%Y-%m-%d}" if found.by_time else f"row {s:,.0f}" for _, s in ends if not np.isnan(s)
    ]
    places = [(left, "start"), (left + across * blocks, "end")]
    for (place, anchor), text in zip(places, texts, strict=False):
        parts.append(words("tick", place, bottom + 14, anchor, text))
    said = f"{count_text(len(found.names), 'column')} by {count_text(blocks, 'block')}"
    return sized(drawing(name, title, said, bottom + 20, parts, width), width)


def heat_map(name: str, title: str, found: Associations) -> str:
    """The lower triangle of all pairs: colour says the direction, its depth the strength."""
    count = len(found.names)
    numbers_shown = count <= 14
    cell = 30.0 if numbers_shown else 17.0
    longest = min(_LABEL, max(map(len, found.names)))
    left = 8 + LETTER * longest
    width, bottom = left + cell * (count - 1) + RIGHT + 20, 4 + cell * (count - 1)
    parts = []
    for row in range(1, count):
        y = 4 + cell * (row - 1)
        parts.append(words("label", left - 5, y + cell / 2 + 4, "end", shortened(found.names[row], _LABEL)))
    for column, row in combinations(range(count), 2):
        x, y, value = left + cell * column, 4 + cell * (row - 1), float(found.values[row, column])
        pair = f"{found.names[row]} and {found.names[column]}"
        if np.isnan(value):
            parts.append(box("empty", x, y, cell - 1, cell - 1, f"{pair}: nothing to be said"))
            continue
        css = "base" if row >= found.numeric else "second" if value < 0 else "main"
        style = f"fill-opacity:{DEEPEST * min(1.0, abs(value)):.2f}"
        parts.append(box("empty", x, y, cell - 1, cell - 1))
        parts.append(box(css, x, y, cell - 1, cell - 1, f"{pair}: {fixed_text(value, 2)}", style))
        if numbers_shown:
            parts.append(words("cell", x + cell / 2 - 0.5, y + cell / 2 + 4, "middle", fixed_text(value, 2)))
    for column in range(count - 1):
        x = left + cell * (column + 0.5) + 4
        label = shortened(found.names[column], _LABEL)
        parts.append(words("label", x, bottom + 6, "end", label, upright=True))
    said = f"{count_text(len(found.pairs), 'pair')} of {count_text(count, 'column')}"
    return sized(drawing(name, title, said, bottom + 12 + LETTER * longest, parts, width), width)


def sized(svg: str, width: float) -> str:
    """A drawing that keeps its size where there is room, and scrolls rather than shrink below two thirds."""
    style = f"width:100%;max-width:{width * 1.15:.0f}px;min-width:{min(width * 0.75, 340):.0f}px"
    return svg.replace("<svg ", f'<svg style="{style}" ', 1)


def _bars(
    counts: Sequence[int], start: float, stop: float, top: float, bottom: float, told: Sequence[str] = ()
) -> list[str]:
    """Bars side by side from `start` to `stop`, the tallest up to `top`; a count above 0 is never invisible."""
    most, across = max(counts), (stop - start) / len(counts)
    slit = min(1.0, across * 0.15)
    parts = []
    for place, count in enumerate(counts):
        if count:
            high = max(1.0, (bottom - top) * count / most)
            text = told[place] if told else ""
            parts.append(box("main bar", start + across * place, bottom - high, across - slit, high, text))
    return parts


def _within(marks: Sequence[tuple[float, str]], x: Scale, width: float) -> list[tuple[float, str]]:
    """The marks whose texts stay within the drawing."""
    return [(m, t) for m, t in marks if LETTER * len(t) / 2 < x(m) < width - LETTER * len(t) / 2]


def _time(seconds: float) -> str:
    return f"{moment(seconds):%Y-%m-%d %H:%M}"
