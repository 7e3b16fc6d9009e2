"""`bentoml serve bento.service:Predictor`: the champion of the releases folder, answering over HTTP.

Environment: PERENNIAL_RELEASES (default `$PERENNIAL_HOME/releases`, or `.perennial/releases`),
PERENNIAL_SYSTEM (needed only where several systems have a champion), PERENNIAL_PUBLIC_KEY (default: the
public key under `$PERENNIAL_HOME/keys`), PERENNIAL_MAX_ROWS (rows that one request may hold, default 1000),
PERENNIAL_WATCH_S (seconds between two looks at the ledger, default 2), PERENNIAL_JOURNAL (where predictions are
kept: a file, postgresql://..., or `off`; default `$PERENNIAL_HOME/journal/SYSTEM.sqlite`), PERENNIAL_TOKEN_PREDICT,
_TRUTH and _ADMIN (bearer tokens; without any, nobody is asked who he is). The number of workers is
BentoML's `services.perennial.workers`, 1 unless BENTOML_CONFIG_OPTIONS says more.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import bentoml
import psutil
from _bentoml_impl.server.allocator import ResourceAllocator
from bentoml._internal.context import server_context
from bentoml._internal.utils.analytics import usage_stats

from bento.answering import Exchange
from bento.app import App
from bento.collector import settle
from bento.guard import Guard, tokens_in
from bento.metrics import of_this_worker
from bento.received import nothing_kept
from bento.record import recorder
from bento.watch import watching
from bento.wire import Headers

# BentoML reports its use to its makers unless told not to, and remembers what it was first told.
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
usage_stats.do_not_track.cache_clear()

logger = logging.getLogger("bento.service")

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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

    def to_asgi(self, is_main: bool = True) -> App:
        """The application of one worker."""
        return App(
            super().to_asgi(is_main),
            lambda: self.instance.watch.standing,
            self._started,
            self._ended,
            self._recorded,
            self._received,
            Guard(tokens_in(os.environ)),
        )

    async def _recorded(self, exchange: Exchange, seconds: float) -> Headers:
        recorder = self.instance.recorder
        return () if recorder is None else await recorder(exchange, seconds)

    def _received(self, path: str, body: bytes) -> dict[str, Any]:
        if self.instance.recorder is None:
            raise nothing_kept()
        return self.instance.recorder.received(self.instance.watch.standing.state.names["model"], path, body)

    def _looked(self, swapped: bool) -> None:
        if swapped:
            settle()
        if self.instance.recorder is not None and (stats := self.instance.recorder.stats) is not None:
            of_this_worker().journal(stats)

    def _ended(self) -> None:
        self.instance.watch.stop()
        if self.instance.recorder is not None:
            self.instance.recorder.stop()

    def _started(self) -> None:
        settle()
        self.instance.watch.start(self._looked)
        if server_context.worker_index in (None, 1):
            workers, _ = ResourceAllocator().get_worker_env(self)
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
