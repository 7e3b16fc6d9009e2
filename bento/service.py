"""`bentoml serve bento.service:Predictor`: the champion of the releases folder, answering over HTTP.

Environment: PERENNIAL_RELEASES (default `$PERENNIAL_HOME/releases`, or `.perennial/releases`),
PERENNIAL_SYSTEM (needed only where several systems have a champion), PERENNIAL_PUBLIC_KEY (default: the
public key under `$PERENNIAL_HOME/keys`), PERENNIAL_MAX_ROWS (rows that one request may hold, default 1000),
PERENNIAL_WATCH_S (seconds between two looks at the ledger, default 2), PERENNIAL_JOURNAL (where predictions are
kept: a file, postgresql://..., or `off`; default `$PERENNIAL_HOME/journal/SYSTEM.sqlite`),
PERENNIAL_JOURNAL_KEEP_DAYS and _KEEP_MB (what it may hold; 0 for no limit), PERENNIAL_ALERTS (references such as
`env:NAME` to who is told that it cannot be written), PERENNIAL_TOKEN_PREDICT, _TRUTH and _ADMIN (bearer tokens;
without any, nobody is asked who he is), PERENNIAL_LATE_HOURS (how much older than usual the history of a forecast
may be, default 6). The number of workers is BentoML's `services.perennial.workers`, 1 unless
BENTOML_CONFIG_OPTIONS says more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

import bentoml
import psutil
from _bentoml_impl.server.allocator import ResourceAllocator
from bentoml._internal.context import server_context
from bentoml._internal.utils.analytics import usage_stats

from bento.answering import Answering, Exchange
from bento.app import App
from bento.collector import settle
from bento.forecast.wiring import forecaster, late_in
from bento.guard import Guard, tokens_in
from bento.listening import share_evenly
from bento.metrics import of_this_worker
from bento.minding import check, minding
from bento.patience import be_patient, hold_many
from bento.received import nothing_kept
from bento.record import recorder
from bento.renewal import renew_certificates
from bento.supervision import count_in_memory, end_without, look_often
from bento.watch import watching
from bento.wire import Headers
from perennial.errors import InputError

# BentoML reports its use to its makers unless told not to, and remembers what it was first told.
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
usage_stats.do_not_track.cache_clear()
look_often()
count_in_memory()
renew_certificates()
be_patient()

logger = logging.getLogger("bento.service")

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def workers_of(service: bentoml.Service[Any]) -> int:
    """How many workers a service has by its settings."""
    return int(ResourceAllocator().get_worker_env(service)[0])


class DirectService(bentoml.Service):
    """A BentoML service whose predictions do not pass through BentoML's middleware.

    BentoML starts, supervises and stops the workers, and answers `/livez`, `/metrics` and `/schema.json`; its
    tracing, access log and own request schema stand before every route that it knows, and cost ten times what
    a prediction costs.
    """

    instance = None

    def __call__(self):
        """The service's instance, which BentoML makes when a worker starts."""
        self.instance = super().__call__()
        return self.instance

    def inject_config(self) -> None:
        """Lays this service's settings over BentoML's; ends the program, in one sentence, where one is wrong.

        BentoML calls it before it starts workers, which it would start again and again after a failure.
        """
        try:
            Guard(tokens_in(os.environ))
            check(os.environ)
            late_in(os.environ)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)  # noqa: T201
            raise SystemExit(error.exit_code) from None
        super().inject_config()

    def to_asgi(self, is_main: bool = True) -> App:
        """The application of one worker."""
        inner = super().to_asgi(is_main)
        if workers_of(self) > 1:
            share_evenly()
        return App(
            inner,
            lambda: self.instance.watch.standing,
            self._started,
            self._ended,
            self._recorded,
            self._received,
            Guard(tokens_in(os.environ)),
            shadowed=self._shadowed,
            forecasted=self._forecasted,
        )

    def _shadowed(self, exchange: Exchange, seconds: float) -> None:
        recorder = self.instance.recorder
        if recorder is not None:
            self._loop.call_soon_threadsafe(recorder.beside, recorder.entries(exchange, seconds))

    async def _recorded(self, exchange: Exchange, seconds: float) -> Headers:
        recorder = self.instance.recorder
        return () if recorder is None else await recorder(exchange, seconds)

    def _forecasted(
        self,
        answering: Answering,
        body: bytes,
        caller_id: str | None,
        tried: Answering | None,
        leads: bool,
    ) -> Exchange:
        now = datetime.now(UTC)
        return self.instance.forecaster.forecast(answering, body, caller_id, now, tried, leads)

    def _received(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/observe":
            standing = self.instance.watch.standing
            told = self.instance.forecaster.observe(
                standing.state, body, datetime.now(UTC), standing.challenger
            )
            of_this_worker().observed(told["new"] + told["revised"])
            return told
        if self.instance.recorder is None:
            raise nothing_kept()
        return self.instance.recorder.received(self.instance.watch.standing.state.names["model"], path, body)

    def _looked(self, swapped: bool) -> None:
        if swapped:
            settle()
        self._shown()

    def _shown(self) -> None:
        metrics, recorder = of_this_worker(), self.instance.recorder
        metrics.stands(self.instance.watch.standing)
        metrics.looked()
        if recorder is not None and (stats := recorder.stats) is not None:
            metrics.journal(stats)

    def _ended(self) -> None:
        self.instance.watch.stop()
        self.instance.minding.stop()
        if self.instance.recorder is not None:
            self.instance.recorder.stop()
        self._shown()

    def _started(self) -> None:
        self._loop = asyncio.get_running_loop()
        end_without(os.getppid(), self._loop)
        hold_many()
        settle()
        self.instance.watch.start(self._looked)
        self.instance.minding.start()
        if server_context.worker_index in (None, 1):
            workers = workers_of(self)
            megabytes = psutil.Process().memory_info().rss / 1e6
            logger.setLevel(logging.INFO)
            logger.info("%d worker%s x %.0f MB", workers, "" if workers == 1 else "s", megabytes)


@bentoml.service(
    name="perennial",
    workers=1,
    service_class=DirectService,
    envs=[{"name": name, "value": "1"} for name in ONE_THREAD],
)
class Predictor:
    """Predictions of the champion; the request schema is at `/docs.json`."""

    def __init__(self) -> None:
        self.watch = watching(os.environ)
        self.recorder = recorder(os.environ)
        self.forecaster = forecaster(os.environ, lambda: self.watch.standing, self.recorder)
        self.minding = minding(self.recorder, lambda: self.watch.standing, os.environ)
