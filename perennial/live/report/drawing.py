"""What every drawing of ours is put together from: lines, words, axes, and the frame with its description."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from perennial.live.report.axes import Axis, Scale, tick_texts, ticks
from perennial.live.report.text import shortened

WIDTH = 360
RIGHT = 20
LETTER = 6.3


def line(css: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """A straight line of the class `css`."""
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def words(css: str, x: float, y: float, anchor: str, text: str, *, upright: bool = False) -> str:
    """A text at a place; `anchor` says which end of it stands there: start, middle or end.

    An upright one is read from below.
    """
    turned = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if upright else ""
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned}>{escape(text)}</text>'


def box(css: str, x: float, y: float, width: float, height: float, told: str = "", style: str = "") -> str:
    """A filled rectangle; `told` is what a pointer that rests on it is shown."""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    styled = f' style="{style}"' if style else ""
    if not told:
        return f'<rect class="{css}" {place}{styled}/>'
    return f'<rect class="{css}" {place}{styled}><title>{escape(told)}</title></rect>'


def value_axis(
    axis: Axis, x: Scale, left: float, top: float, bottom: float, width: float = WIDTH
) -> list[str]:
    """The axis below a drawing, with vertical grid lines at round numbers."""
    marks = ticks(axis)
    while len(marks) > 2 and max(map(len, tick_texts(marks))) * LETTER * len(marks) > (width - left) * 0.8:
        marks = marks[::2]
    return [
        *(line("grid", x(m), top, x(m), bottom) for m in marks),
        *bottom_axis(
            list(zip(marks, tick_texts(marks), strict=True)), axis.label, x, left, bottom, width=width
        ),
    ]


def bottom_axis(
    marks: Sequence[tuple[float, str]],
    label: str,
    x: Scale,
    left: float,
    bottom: float,
    width: float = WIDTH,
) -> list[str]:
    """The line below a drawing, with a text at every mark and the label under them."""
    parts = [line("frame", left, bottom, width - RIGHT, bottom)]
    parts += [words("tick", x(mark), bottom + 14, "middle", text) for mark, text in marks]
    label = shortened(label, int((width - 8) / LETTER))
    half = len(label) * LETTER / 2
    middle = min(max((left + width - RIGHT) / 2, half + 2), width - half - 2)
    return [*parts, words("axis", middle, bottom + 31, "middle", label)]


def left_axis(
    axis: Axis, y: Scale, left: float, top: float, bottom: float, width: float = WIDTH
) -> list[str]:
    """The axis at the left of a drawing, with horizontal grid lines at round numbers."""
    marks = ticks(axis)
    parts = [line("grid", left, y(m), width - RIGHT, y(m)) for m in marks]
    parts.append(line("frame", left, top, left, bottom))
    parts += [
        words("tick", left - 6, y(m) + 4, "end", t) for m, t in zip(marks, tick_texts(marks), strict=True)
    ]
    middle = (top + bottom) / 2
    label = shortened(axis.label, int((bottom - top) / LETTER))
    return [*parts, words("axis", 12, middle, "middle", label, upright=True)]


def drawing(
    name: str, title: str, text: str, height: float, parts: Sequence[str], width: float = WIDTH
) -> str:
    """The parts as one SVG; `name` is unique on the page, `title` and `text` are what a screen reader says."""
    told, described = f"{escape(name)}-t", f"{escape(name)}-d"
    return (
        f'<svg role="img" viewBox="0 0 {width:.0f} {height:.0f}" aria-labelledby="{told} {described}">'
        f'<title id="{told}">{escape(title)}</title><desc id="{described}">{escape(text)}</desc>'
        f"{''.join(parts)}</svg>"
    )
