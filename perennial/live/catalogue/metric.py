"""What one figure at `/metrics` is: its name, kind, meaning, labels and unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Over = Literal["sum", "livesum", "livemin", "livemax"]


@dataclass(frozen=True)
class Metric:
    """One figure.

    Attributes:
        name: as rules write it, but for the `_bucket`, `_sum` and `_count` of a histogram.
        kind: what Prometheus calls it.
        help: what it says, in one sentence without a full stop.
        labels: what it is told apart by.
        unit: what one is, in words.
        over: how a gauge of several workers becomes one; `live` leaves out those that ended.
        buckets: upper bounds of a histogram, rising.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    over: Over = "sum"
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names that its values have on the page."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{ending}" for ending in ("bucket", "sum", "count"))
        return (self.name,)
