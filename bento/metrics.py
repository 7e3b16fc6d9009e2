"""What the service counts, on BentoML's own `/metrics` page and summed over its workers."""

from __future__ import annotations

from functools import cache
from typing import Any

from bento.answering import Answering
from bento.watch import Standing
from perennial.live.journal.receipt import Stats


@cache
def of_this_worker() -> Metrics:
    """The counters of this process, made at the first call."""
    return Metrics()


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
        self._current = Gauge(
            "perennial_release_current",
            "Whether all workers answer with the newest release",
            multiprocess_mode="livemin",
        )
        self._swaps = Counter("perennial_swaps", "Releases that took another's place")
        self._swap_failures = Counter("perennial_swap_failures", "Attempts to take a release that failed")
        self._journal = {
            "rows_written": Counter("perennial_journal_rows", "Predictions that are on disk"),
            "rows_unconfirmed": Counter(
                "perennial_journal_unconfirmed_rows",
                "Predictions that were answered before they were on disk",
            ),
            "rows_lost": Counter("perennial_journal_lost_rows", "Predictions that never came to disk"),
        }
        self._journal_lag = Gauge(
            "perennial_journal_lag_seconds",
            "How long the oldest prediction waits for the disk",
            multiprocess_mode="livemax",
        )
        self._journal_down = Gauge(
            "perennial_journal_down", "Whether a worker cannot write the journal", multiprocess_mode="livemax"
        )
        self._journalled: dict[str, int] = {}
        self._counted = (0, 0)
        self._model = ("", "")
        self._children: dict[tuple[str, int], Any] = {}
        self._times: dict[str, Any] = {}
        self._answered: Any = None

    def stands(self, standing: Standing) -> None:
        """Note what answers from now on, and how often that changed or could not."""
        state = standing.state
        ready = isinstance(state, Answering)
        self._model = (state.names["model"], state.names["version"]) if ready else ("", "")
        self._children = {}
        self._answered = self._rows.labels(*self._model) if ready else None
        self._ready.set(int(ready))
        self._current.set(int(not standing.trouble))
        self._swaps.inc(standing.swaps - self._counted[0])
        self._swap_failures.inc(standing.failures - self._counted[1])
        self._counted = (standing.swaps, standing.failures)

    def journal(self, stats: Stats) -> None:
        """Note what the journal's writer has done so far."""
        for name, counter in self._journal.items():
            value = getattr(stats, name)
            counter.inc(value - self._journalled.get(name, 0))
            self._journalled[name] = value
        self._journal_lag.set(stats.lag_s)
        self._journal_down.set(int(bool(stats.down)))

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
