"""`bentoml serve bento.service:Predictor`: the champion of the releases folder, answering over HTTP.

Environment: PERENNIAL_RELEASES (default `$PERENNIAL_HOME/releases`, or `.perennial/releases`),
PERENNIAL_SYSTEM (needed only where several systems have a champion), PERENNIAL_PUBLIC_KEY (default: the
public key under `$PERENNIAL_HOME/keys`), PERENNIAL_MAX_ROWS (rows that one request may hold, default 1000).
The number of workers is BentoML's `services.perennial.workers`, 1 unless BENTOML_CONFIG_OPTIONS says more.
"""

from __future__ import annotations

import os

import bentoml
from bentoml._internal.utils.analytics import usage_stats

from bento.app import App
from bento.state import NotReady, Ready, load

# BentoML reports its use to its makers unless told not to, and remembers what it was first told.
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
usage_stats.do_not_track.cache_clear()

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
        return App(super().to_asgi(is_main), lambda: self.instance.state)


@bentoml.service(
    name="perennial",
    workers=1,
    service_class=DirectService,
    envs=[{"name": name, "value": "1"} for name in ONE_THREAD],
)
class Predictor:
    """Predictions of the champion; the request schema is at `/docs.json`."""

    def __init__(self) -> None:
        self.state: Ready | NotReady = load(os.environ)
