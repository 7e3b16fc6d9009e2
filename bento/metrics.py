"""What the service counts, on BentoML's own `/metrics` page and summed over its workers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from itertools import product
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import psutil

from bento.answering import Answering, Exchange
from bento.forecast.ladder import CHALLENGER, CHAMPION, PREVIOUS, RUNGS
from bento.tally import Tally
from bento.watch import Standing
from perennial.live.catalogue.metric import Metric
from perennial.live.catalogue.service import SERVICE
from perennial.live.journal.receipt import Stats

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
MODELS = (CHALLENGER, CHAMPION, PREVIOUS)
FAULTS = ("500", "503")
"""Statuses that are shown as 0 before the first one, so that a rate sees that one too."""


@cache
def of_this_worker() -> Metrics:
    """The counters of this process, made at the first call."""
    forget_the_dead(os.environ.get(FOLDER, ""))
    return Metrics()


def forget_the_dead(folder: str) -> None:
    """Remove what workers that were killed left of figures that only living workers have, from BentoML's folder.

    Else one that was killed while it could not write the journal would say so for ever.
    """
    for path in Path(folder).glob("gauge_live*_*.db") if folder else ():
        if not psutil.pid_exists(int(path.stem.rsplit("_", 1)[1])):
            path.unlink(missing_ok=True)


class Metrics:
    """Counters of one worker. Made after BentoML has named the folder that the workers share."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {metric.name: _instrument(metric) for metric in SERVICE}
        self._children: dict[tuple[str, ...], Any] = {}
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._journalled: dict[str, int] = {}
        self._counted = (0, 0)
        self._model = ("", "")
        self._standing: Standing | None = None
        self._info: Any = None
        self._one_at_a_time = Lock()

    def stands(self, standing: Standing) -> None:
        """Note what answers from now on, and how often that changed or could not; from any thread.

        Of two threads one may come late, with what another release has replaced since: that is left out.
        """
        with self._one_at_a_time:
            is_late = standing.swaps < self._counted[0] or standing.failures < self._counted[1]
            if standing is self._standing or is_late:
                return
            self._standing = standing
            if isinstance(standing.state, Answering):
                self._answers_with(standing.state)
            self._made["perennial_ready"].set(int(isinstance(standing.state, Answering)))
            self._made["perennial_release_current"].set(int(not standing.trouble))
            self._made["perennial_swaps_total"].inc(standing.swaps - self._counted[0])
            self._made["perennial_swap_failures_total"].inc(standing.failures - self._counted[1])
            self._counted = (standing.swaps, standing.failures)
            self.challenger(standing.trial_trouble)

    def journal(self, stats: Stats) -> None:
        """Note what the journal's writer has done so far."""
        for metric, value in (
            ("perennial_journal_rows_total", stats.rows_written),
            ("perennial_journal_unconfirmed_rows_total", stats.rows_unconfirmed),
            ("perennial_journal_lost_rows_total", stats.rows_lost),
        ):
            self._made[metric].inc(value - self._journalled.get(metric, 0))
            self._journalled[metric] = value
        self._made["perennial_journal_lag_seconds"].set(stats.lag_s)
        self._made["perennial_journal_down"].set(int(bool(stats.down)))

    def request(
        self, endpoint: str, status: int, seconds: float, names: Mapping[str, str] | None = None
    ) -> None:
        """Count one request; `endpoint` is one of the known paths, never what a caller made up.

        In a trial `names` says the model and version that answered.
        """
        release = self._model if names is None else (names["model"], names["version"])
        self._child("perennial_requests_total", endpoint, str(status), *release).inc()
        self._child("perennial_request_seconds", endpoint).observe(seconds)

    def answered(self, exchange: Exchange) -> None:
        """Count the rows of one answer, and what was predicted; to be called in the event loop."""
        names = exchange.answering.names
        release = (names["model"], names["version"])
        if release not in self._tallies:
            self._tallies[release] = Tally(exchange.answering.ready.bundle)
        self._tallies[release].add(exchange)
        self._child("perennial_rows_total", *release).inc(len(exchange.row_ids))

    def looked(self) -> None:
        """Show what was predicted so far; to be called every few seconds, from any thread."""
        with self._one_at_a_time:
            for release, tally in self._tallies.copy().items():
                for name, labels, more in tally.news():
                    self._child(name, *release, *labels).inc(more)

    def arm(self, model: str, name: str) -> None:
        """Count one request of a trial, by the arm that answered."""
        self._child("perennial_arm_requests_total", model, name).inc()

    def shadow_dropped(self, requests: int = 1) -> None:
        """Count requests that the shadow did not see because it was behind."""
        self._made["perennial_shadow_dropped_total"].inc(requests)

    def challenger_failed(self) -> None:
        """Count a request that the challenger of a trial could not answer."""
        self._made["perennial_challenger_failures_total"].inc()

    def challenger(self, trouble: str) -> None:
        """Note why the challenger of a trial cannot answer here; "" where it can, or where there is none."""
        self._made["perennial_challenger_trouble"].set(int(bool(trouble)))

    def forecast(self, exchange: Exchange) -> None:
        """Count one forecast by its rung, and what a model forecast; to be called in the event loop."""
        self._child("perennial_forecasts_total", exchange.quality).inc()
        if exchange.quality in MODELS:
            self.answered(exchange)

    def observed(self, rows: int) -> None:
        """Count observations that were kept for forecasts."""
        self._made["perennial_observations_total"].inc(rows)

    def _answers_with(self, state: Answering) -> None:
        manifest = state.ready.bundle.manifest
        self._model = (manifest.system, manifest.version)
        if self._info is not None:
            self._info.set(0)
        self._info = self._child("perennial_release_info", *self._model, manifest.candidate)
        self._info.set(1)
        created = datetime.fromisoformat(manifest.created_at).timestamp()
        self._child("perennial_release_created_timestamp_seconds", manifest.system).set(created)
        forecasts = state.plan is not None
        for rung in RUNGS if forecasts else ():
            self._child("perennial_forecasts_total", rung)
        for path, status in product(("/predict", "/forecast") if forecasts else ("/predict",), FAULTS):
            self._child("perennial_requests_total", path, status, *self._model)

    def _child(self, *key: str) -> Any:
        """The instrument of a name and the values of its labels."""
        if key not in self._children:
            name, *labels = key
            self._children[key] = self._made[name].labels(*labels) if labels else self._made[name]
        return self._children[key]


def _instrument(metric: Metric) -> Counter | Gauge | Histogram:
    from prometheus_client import Counter, Gauge, Histogram

    if metric.kind == "counter":
        return Counter(metric.name, metric.help, metric.labels)
    if metric.kind == "gauge":
        return Gauge(metric.name, metric.help, metric.labels, multiprocess_mode=metric.over)
    return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets)
