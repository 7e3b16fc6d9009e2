"""What the service counts, on BentoML's own `/metrics` page and summed over its workers."""

from __future__ import annotations

from typing import Any


class Metrics:
    """Counters of one worker. Made after BentoML has named the folder that the workers share."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self._requests = Counter(
            "perennial_requests", "Requests answered", ["endpoint", "status", "model", "version"]
        )
        self._seconds = Histogram(
            "perennial_request_seconds",
            "Time from a request's first byte to its answer, in seconds",
            ["endpoint"],
            buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
        )
        self._rows = Counter("perennial_rows", "Rows answered", ["model", "version"])
        self._ready = Gauge("perennial_ready", "Whether all workers can answer", multiprocess_mode="livemin")
        self._model = ("", "")
        self._children: dict[tuple[str, int], Any] = {}
        self._times: dict[str, Any] = {}
        self._answered: Any = None

    def serves(self, model: str, version: str, ready: bool) -> None:
        """Note what answers from now on; empty names where nothing does."""
        self._model = (model, version)
        self._children = {}
        self._answered = self._rows.labels(model, version) if ready else None
        self._ready.set(int(ready))

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one request; `endpoint` is one of the known paths, never what a caller made up."""
        key = (endpoint, status)
        if key not in self._children:
            self._children[key] = self._requests.labels(endpoint, str(status), *self._model)
        if endpoint not in self._times:
            self._times[endpoint] = self._seconds.labels(endpoint)
        self._children[key].inc()
        self._times[endpoint].observe(seconds)

    def rows(self, count: int) -> None:
        """Count answered rows."""
        self._answered.inc(count)
