"""What one release predicted, added up beside the counters: a request pays for a few additions alone."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from bento.answering import Exchange
from perennial.live.bundle import Bundle

TENTH = 10


class Tally:
    """Sums over the answers of one release. `add` belongs to the event loop; `news` may be asked by another thread.

    Numbers are counted by the tenth of the model's own hold-out answers that they fall in, so that a drift of the
    predictions shows whatever their unit: without one, every band gets a tenth.
    """

    def __init__(self, bundle: Bundle) -> None:
        quantiles = bundle.reference["predictions"].get("quantiles", ())
        self._edges = list(quantiles[TENTH:-TENTH:TENTH])
        n = len(self._edges) + 1
        self._names = [f"{100 * i // n}-{100 * (i + 1) // n}" for i in range(n)]
        self._bands = [0] * n
        self._classes = dict.fromkeys(bundle.rule.classes, 0)
        self._flagged = self._blank = 0
        self._above = self._below = 0.0
        self._told: dict[tuple[str, tuple[str, ...]], float] = {}

    def add(self, exchange: Exchange) -> None:
        """Count the answers to one request."""
        if any(exchange.answered.flags):
            self._flagged += sum(map(bool, exchange.answered.flags))
        if self._classes:
            self._add_classes(exchange.answered.answers.prediction)
        elif len(exchange.predictions) == 1:
            self._add_number(exchange.predictions[0]["prediction"])
        else:
            self._add_numbers(exchange.answered.answers.prediction)

    def _add_number(self, value: float | None) -> None:
        if value is None:
            self._blank += 1
            return
        self._bands[bisect_right(self._edges, value)] += 1
        if value >= 0.0:
            self._above += value
        else:
            self._below -= value

    def _add_numbers(self, values: Any) -> None:
        present = values[np.isfinite(values)]
        self._blank += len(values) - len(present)
        places = np.searchsorted(self._edges, present, side="right")
        counts = np.bincount(places, minlength=len(self._bands)).tolist()
        self._bands = [old + new for old, new in zip(self._bands, counts, strict=True)]
        with np.errstate(over="ignore"):
            self._above += float(present[present > 0.0].sum())
            self._below -= float(present[present < 0.0].sum())

    def _add_classes(self, values: Any) -> None:
        for name, count in Counter(values.tolist()).items():
            if name:
                self._classes[name] += count
            else:
                self._blank += count

    def news(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """What came since the last call: metric, values of its further labels, and how much more; 0 at first."""
        for key, value in self._sums().items():
            more = value - self._told.get(key, 0.0)
            if math.isfinite(more) and (more > 0.0 or key not in self._told):
                self._told[key] = value
                yield (*key, more)

    def _sums(self) -> dict[tuple[str, tuple[str, ...]], float]:
        sums: dict[tuple[str, tuple[str, ...]], float] = {
            ("perennial_flagged_rows_total", ()): self._flagged,
            ("perennial_blank_rows_total", ()): self._blank,
        }
        if self._classes:
            shares = self._classes.copy().items()
            return sums | {("perennial_prediction_class_total", (name,)): count for name, count in shares}
        bands = zip(self._names, self._bands, strict=True)
        sums["perennial_prediction_sum_total", ("positive",)] = self._above
        sums["perennial_prediction_sum_total", ("negative",)] = self._below
        return sums | {("perennial_prediction_band_total", (name,)): count for name, count in bands}
