"""An application of the test's own whose challenger has a model of the test's, over real HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import uvicorn
from prometheus_client import REGISTRY

from bento.answering import Answering
from bento.app import App
from bento.process import free_port
from bento.record import Recorder
from bento.state import Ready
from bento.watch import Standing
from perennial.home import Home
from perennial.live.journal.outcomes import outcomes
from perennial.live.journal.store import open_store
from perennial.live.load import load_predictor
from perennial.live.predict import Predictor
from perennial.live.trial.book import Trial


class Blocking:
    """A model that answers once it may."""

    def __init__(self, model):
        self.model, self.may = model, threading.Event()

    def raw(self, matrix):
        assert self.may.wait(30)
        return self.model.raw(matrix)


class Failing:
    """A model that never answers."""

    def raw(self, matrix):
        raise RuntimeError("no such operator")


class Running:
    """A champion and a challenger of one system; `bundles` are theirs, `wrap` makes the challenger's model."""

    def __init__(self, bundles, mode, wrap, root, since):
        champion, challenger = (load_predictor(bundle) for bundle in bundles)
        self.system = bundles[0].manifest.system
        self.model = wrap(challenger.model)
        tried = Answering(Ready(Predictor(bundles[1], self.model), 1000))
        self.trial = Trial(f"{self.system}-2", mode, "v1", "v2", bundles[1].digest, 0.5, 2, since)
        self.standing = Standing(Answering(Ready(champion, 1000)), trial=self.trial, challenger=tried)
        self.recorder = Recorder("", Home(root))
        self.app = App(
            None,
            lambda: self.standing,
            record=self.recorder,
            ended=self.recorder.stop,
            shadowed=self.kept,
            **self.more(),
        )
        self.port = free_port()
        config = uvicorn.Config(self.app, port=self.port, lifespan="off", log_level="warning")
        self.server = uvicorn.Server(config)

    def more(self):
        """What a kind of application has beside that."""
        return {}

    def kept(self, exchange, seconds):
        entries = self.recorder.entries(exchange, seconds)
        self.loop.call_soon_threadsafe(self.recorder.beside, entries)

    async def serve(self):
        self.loop = asyncio.get_running_loop()
        await self.server.serve()

    def post(self, path, value, unit=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json"} | ({"X-Unit-Id": unit} if unit else {})
        connection.request("POST", path, json.dumps(value), headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())

    def units(self, count, tried=True):
        """Units that the challenger is to answer, or not to."""
        return [u for i in range(count * 10) if self.trial.tries(u := f"u{i}") == tried][:count]

    def rows(self, root):
        with closing(open_store(self.system, Home(root).journal / f"{self.system}.sqlite")) as store:
            return list(outcomes(store, self.trial.since, datetime.now(UTC) + timedelta(hours=1)))


@contextmanager
def running(made):
    """Serves it in a thread, and ends that however the test does."""
    thread = threading.Thread(target=lambda: asyncio.run(made.serve()))
    thread.start()
    try:
        until(lambda: made.server.started)
        yield made
    finally:
        if isinstance(made.model, Blocking):
            made.model.may.set()
        made.server.should_exit = True
        thread.join(30)
        made.app._router.stop()
        made.recorder.stop()


def until(true, seconds=30.0):
    """Returns once it is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "expected it to happen by now"
        time.sleep(0.01)


def counted(name, **labels):
    """A counter of this process."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
