"""Axes of plots: their ends, their ticks and how values are placed on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from perennial.live.report.text import fixed_text, is_number

Scale = Callable[[float], float]


@dataclass(frozen=True)
class Axis:
    """An axis with its label (unit included) and its ends."""

    label: str
    low: float
    high: float
    log: bool = False


def fitted_axis(label: str, values: Sequence[float], *, log: bool = False, pad: float = 0.04) -> Axis | None:
    """The axis that shows all finite `values` with a margin; None where there are none, or none fit a float.

    A logarithmic axis leaves out values of zero and below.
    """
    kept = [math.log10(v) if log else v for v in values if is_number(v) and (v > 0 or not log)]
    if not kept:
        return None
    low, high = min(kept), max(kept)
    point = high - low <= 1e-9 * max(abs(low), abs(high))
    room = (abs(high) * 0.1 or 1.0) if point else (high - low) * pad
    low, high = low - room, high + room
    if not math.isfinite((high - low) * 10):
        return None
    return Axis(label, 10**low if log else low, 10**high if log else high, log)


def ticks(axis: Axis, most: int = 7) -> list[float]:
    """Round numbers within the axis, rising: at most `most` + 1, and at least one where a round one fits."""
    if axis.log:
        first, last = math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high))
        for mantissas in ((1, 2, 5), (1, 3), (1,)):
            marks = [m * 10.0**k for k in range(first, last + 1) for m in mantissas]
            marks = [m for m in marks if axis.low <= m <= axis.high]
            if len(marks) <= most + 1:
                break
        if len(marks) >= 2:
            return marks[:: 1 + (len(marks) - 1) // (most + 1)]
    step = _step((axis.high - axis.low) / most)
    first, last = math.ceil(axis.low / step), math.floor(axis.high / step)
    return [k * step for k in range(first, last + 1)]


def tick_texts(values: Sequence[float]) -> list[str]:
    """The values with equal decimals, in thousands or millions where that is shorter.

    >>> tick_texts([0.0, 0.25, 0.5]), tick_texts([0.0, 50000.0, 100000.0])
    (['0.00', '0.25', '0.50'], ['0', '50k', '100k'])
    """
    largest = max((abs(v) for v in values), default=0.0)
    gaps = [abs(b - a) for a, b in pairwise(values) if a != b]
    step = min([*gaps, largest] if gaps else [largest]) or 1.0
    if largest >= 1e15 or step < 1e-6:
        return [f"{v:.3g}".replace("-", "−").replace("e+", "e") for v in values]
    power, suffix = next(
        (
            (p, s)
            for p, s in ((12, "T"), (9, "G"), (6, "M"), (3, "k"))
            if largest >= 10**p * (100 if p == 3 else 1)
        ),
        (0, ""),
    )
    decimals = next(
        (d for d in range(8) if abs(round(step / 10**power, d) * 10**power - step) < step * 1e-6), 8
    )
    return [fixed_text(v / 10**power, decimals) + (suffix if v else "") for v in values]


def scale(axis: Axis, start: float, stop: float) -> Scale:
    """The function from a value to its place in the drawing."""
    if axis.log:
        low, high = math.log10(axis.low), math.log10(axis.high)
        return lambda value: start + (math.log10(value) - low) / (high - low) * (stop - start)
    return lambda value: start + (value - axis.low) / (axis.high - axis.low) * (stop - start)


def _step(rough: float) -> float:
    """The least of 1, 2, 2.5, 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next((m * power for m in (1, 2, 2.5, 5) if m * power >= rough * (1 - 1e-9)), 10 * power)
