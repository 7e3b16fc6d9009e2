"""A challenger that blocks, fails or answers nonsense costs the callers nothing: the real application over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import uvicorn
from prometheus_client import REGISTRY
from releases import NOW, build, promote

from bento.answering import Answering
from bento.app import App
from bento.process import free_port
from bento.record import Recorder
from bento.shadow import MOST_ROWS, Shadow
from bento.state import Ready
from bento.watch import Standing
from perennial.home import Home
from perennial.live.bundle import open_bundle
from perennial.live.journal.outcomes import outcomes
from perennial.live.journal.store import open_store
from perennial.live.load import load_predictor
from perennial.live.predict import Predictor
from perennial.live.sign import key_pair
from perennial.live.trial.book import Trial

ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}


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


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    root = tmp_path_factory.mktemp("shadow")
    key = key_pair(root / "keys")
    for strength in (1.0, 500.0):
        reference = build(root / "releases", key, "prices", strength)
    promote(root / "releases", key, reference)
    folder = root / "releases" / "prices" / "bundles"
    return [open_bundle(folder / version, key.public_path) for version in ("v1", "v2")]


class Running:
    """An application on a port of its own, whose challenger has a model of the test's."""

    def __init__(self, bundles, mode, wrap, root):
        champion, challenger = (load_predictor(bundle) for bundle in bundles)
        self.model = wrap(challenger.model)
        tried = Answering(Ready(Predictor(bundles[1], self.model), 1000))
        self.trial = Trial("prices-2", mode, "v1", "v2", bundles[1].digest, 0.5, 2, NOW)
        self.standing = Standing(Answering(Ready(champion, 1000)), trial=self.trial, challenger=tried)
        self.recorder = Recorder("", Home(root))
        self.app = App(
            None, lambda: self.standing, record=self.recorder, ended=self.recorder.stop, shadowed=self.kept
        )
        self.port = free_port()
        config = uvicorn.Config(self.app, port=self.port, lifespan="off", log_level="warning")
        self.server = uvicorn.Server(config)

    def kept(self, exchange, seconds):
        entries = self.recorder.entries(exchange, seconds)
        self.loop.call_soon_threadsafe(self.recorder.beside, entries)

    async def serve(self):
        self.loop = asyncio.get_running_loop()
        await self.server.serve()

    def ask(self, value=ROW, unit=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Content-Type": "application/json"} | ({"X-Unit-Id": unit} if unit else {})
        connection.request("POST", "/predict", json.dumps(value), headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())

    def units(self, count, tried=True):
        """Units that the challenger is to answer, or not to."""
        return [u for i in range(count * 10) if self.trial.tries(u := f"u{i}") == tried][:count]

    def rows(self, root):
        store = open_store("prices", Home(root).journal / "prices.sqlite")
        found = list(outcomes(store, NOW, datetime.now(UTC) + timedelta(hours=1)))
        store.close()
        return found


@contextmanager
def running(bundles, mode, wrap, root):
    made = Running(bundles, mode, wrap, root)
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
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "expected it to happen by now"
        time.sleep(0.01)


def counted(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_no_answer_waits_for_a_shadow_that_does_not_come(bundles, tmp_path):
    """The challenger is stuck in its first answer until the last caller has been answered."""
    with running(bundles, "shadow", Blocking, tmp_path) as served:
        dropped = counted("perennial_shadow_dropped_total")
        units = served.units(8)
        many = MOST_ROWS // 2
        answers = [served.ask([ROW] * (many if n < 2 else 1), unit) for n, unit in enumerate(units)]
        assert {(status, answer["version"]) for status, _, answer in answers} == {(200, "v1")}
        until(lambda: counted("perennial_shadow_dropped_total") == dropped + 6)
        served.model.may.set()
        until(lambda: len(served.rows(tmp_path)) == 2 * 2 * many + 6)
        arms = Counter((row.unit, row.arm) for row in served.rows(tmp_path))
        assert arms == {
            **{(unit, arm): many for unit in units[:2] for arm in ("champion", "shadow")},
            **{(unit, "champion"): 1 for unit in units[2:]},
        }
        assert served.ask(ROW, units[3])[0] == 200
        until(lambda: len(served.rows(tmp_path)) == 2 * 2 * many + 8)


@pytest.mark.parametrize("mode", ["shadow", "split"])
def test_a_challenger_that_fails_is_counted_and_the_champion_answers(bundles, mode, tmp_path, caplog):
    with running(bundles, mode, lambda _: Failing(), tmp_path) as served:
        failed = counted("perennial_challenger_failures_total")
        for unit in served.units(5):
            status, headers, answer = served.ask(ROW, unit)
            assert (status, answer["version"]) == (200, "v1")
            assert (headers["X-Arm"], headers["X-Model-Version"]) == ("champion", "v1")
        until(lambda: counted("perennial_challenger_failures_total") == failed + 5)
        for unit in served.units(3, tried=False):
            assert served.ask(ROW, unit)[0] == 200
        rows = served.rows(tmp_path)
    assert counted("perennial_challenger_failures_total") == failed + 5
    # In a split a unit that the challenger lost is in the wrong arm, so that the report's counts show it.
    assert Counter((row.arm, served.trial.tries(row.unit)) for row in rows) == {
        ("champion", True): 5,
        ("champion", False): 3,
    }
    assert "no such operator" in caplog.text


def test_a_stopped_shadow_leaves_what_waits_and_ends(bundles):
    answering = Answering(Ready(load_predictor(bundles[0]), 1000))
    exchange = answering.answer(json.dumps(ROW).encode(), None)
    slow = Blocking(load_predictor(bundles[1]).model)
    challenger = Answering(Ready(Predictor(bundles[1], slow), 1000))
    kept = []
    threads = threading.active_count()
    shadow = Shadow(lambda *of: kept.append(of), lambda: None)
    assert all(shadow.offer(exchange, challenger) for _ in range(10))
    slow.may.set()
    shadow.stop()
    until(lambda: threading.active_count() == threads)
    assert len(kept) <= 10 and all(one.arm == "shadow" for one, _ in kept)
