"""How long a loaded model takes to answer one row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from perennial.live.predict import Predictor

ROUNDS = 5
CALLS = 100
ROUND_S = 0.3
FEWEST_CALLS = 5


@dataclass(frozen=True)
class Speed:
    """Milliseconds from a row as a request holds it to its answer: median and 99th percentile of `calls` calls."""

    median_ms: float
    p99_ms: float
    calls: int


def speed_of(predictor: Predictor, clock: Callable[[], float]) -> Speed:
    """How fast a predictor answers its golden rows, one row at a time on the calling thread.

    Both numbers are medians over `ROUNDS` rounds, so that a round in which the machine was busy with something else
    does not count. A round ends after `CALLS` calls, or after `ROUND_S` seconds and `FEWEST_CALLS` calls. `clock`
    tells seconds, as `time.perf_counter` does.
    """
    rows = predictor.bundle.golden["rows"]
    for row in rows[:2]:
        predictor.answer_rows([row])
    medians, p99s, calls = [], [], 0
    for _ in range(ROUNDS):
        times = _round(predictor, rows, clock)
        medians.append(float(np.median(times)))
        p99s.append(float(np.quantile(times, 0.99)))
        calls += len(times)
    return Speed(1e3 * float(np.median(medians)), 1e3 * float(np.median(p99s)), calls)


def _round(predictor: Predictor, rows: list[dict[str, object]], clock: Callable[[], float]) -> list[float]:
    """The seconds of every call of a round."""
    times: list[float] = []
    began = clock()
    while len(times) < CALLS and (len(times) < FEWEST_CALLS or clock() - began < ROUND_S):
        row = rows[len(times) % len(rows)]
        start = clock()
        predictor.answer_rows([row])
        times.append(clock() - start)
    return times
