"""What App promises to the parts around it: one release per request, and a journal before the answer."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from releases import build, promote

from bento.answering import Answering, Exchange
from bento.app import CAREFUL_BYTES, QUICK_BYTES, App
from bento.process import free_port, service_environment, started
from bento.state import NotReady, Ready
from bento.watch import Standing
from perennial.live import release
from perennial.live.load import load_predictor
from perennial.live.sign import SigningKey, key_pair

LINE = re.compile(r"(\d+) workers x (\d+) MB")
ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    folder = tmp_path_factory.mktemp("releases")
    promote(folder, key, build(folder, key, "prices", 1.0))
    return folder


@pytest.fixture(scope="module")
def versions(
    releases: Path, key: SigningKey, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ready, Ready]:
    """Two releases of one system: v1 and v2."""
    folder = tmp_path_factory.mktemp("versions")
    ready = []
    for hours, strength in enumerate((1.0, 50.0)):
        promote(folder, key, build(folder, key, "prices", strength), hours)
        bundle = release.champion_bundle(folder, "prices", key.public_path)
        assert bundle is not None
        ready.append(Ready(load_predictor(bundle), 1000))
    return ready[0], ready[1]


async def ask(
    app: App, body: bytes, parts: int = 1, path: str = "/predict"
) -> tuple[int, dict[str, str], Any]:
    """One request to an application in this process, its body in parts."""
    size = -(-len(body) // parts)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        part = pieces.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "path": path, "method": "POST", "headers": []}, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, json.loads(sent[1]["body"])


def app_of(state: Any, record: Any = None, **more: Any) -> App:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nothing here is BentoML's")

    def standing() -> Standing:
        now = state()
        if now not in made:
            made[now] = Standing(Answering(now) if isinstance(now, Ready) else now)
        return made[now]

    made: dict[Any, Standing] = {}
    return App(inner, standing, record=record, **more)


def test_a_request_stays_with_the_release_that_it_began_with(versions: tuple[Ready, Ready]) -> None:
    current: list[Ready | NotReady] = [versions[0]]
    app = app_of(lambda: current[0])
    body = json.dumps(ROW).encode()

    async def scenario() -> list[tuple[int, dict[str, str], Any]]:
        begun = asyncio.create_task(ask(app, body, parts=20))
        for _ in range(5):
            await asyncio.sleep(0)
        current[0] = versions[1]
        after = await ask(app, body)
        before = await begun
        current[0] = NotReady("withdrawn")
        return [before, after, await ask(app, body)]

    before, after, withdrawn = asyncio.run(scenario())
    for (status, headers, answer), version in ((before, "v1"), (after, "v2")):
        assert (status, headers["x-model-version"], answer["version"]) == (200, version, version)
    assert before[2]["predictions"][0]["prediction"] != after[2]["predictions"][0]["prediction"]
    assert (withdrawn[0], withdrawn[2]["message"]) == (503, "withdrawn")
    assert "x-model-version" not in withdrawn[1]


class Hanging:
    """A journal that says nothing until it may."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self, path: str, body: bytes) -> dict[str, Any]:
        self.begun.set()
        assert self.may_end.wait(60)
        return {}


def test_truth_that_waits_for_its_journal_keeps_no_prediction_waiting(versions: tuple[Ready, Ready]) -> None:
    hanging = Hanging()
    app = app_of(lambda: versions[0], received=hanging)
    large = json.dumps({"rows": [ROW] * 1000}).encode().replace(b" ", b" " * 9)
    assert len(large) > QUICK_BYTES

    async def scenario() -> list[int]:
        try:
            telling = asyncio.create_task(ask(app, b"[]", path="/truth"))
            await asyncio.to_thread(hanging.begun.wait, 60)
            predicted = await asyncio.wait_for(ask(app, large), 20)
            assert not telling.done()
        finally:
            hanging.may_end.set()
        return [predicted[0], (await telling)[0]]

    assert asyncio.run(scenario()) == [200, 200]


def test_truth_does_not_wait_for_its_journal_for_ever(
    versions: tuple[Ready, Ready], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bento.app.PATIENCE_S", 0.2)
    hanging = Hanging()
    app = app_of(lambda: versions[0], received=hanging)

    async def scenario() -> list[tuple[int, str]]:
        try:
            told = await asyncio.gather(*(ask(app, b"[]", path="/truth") for _ in range(3)))
        finally:
            hanging.may_end.set()
        return [(status, answer["error"]) for status, _, answer in told]

    assert asyncio.run(scenario()) == [(503, "busy")] * 3


def test_an_id_with_blanks_around_it_makes_no_bad_header(versions: tuple[Ready, Ready]) -> None:
    body = json.dumps({"rows": [ROW], "prediction_id": " a b "}).encode()
    status, headers, answer = asyncio.run(ask(app_of(lambda: versions[0]), body))
    assert (status, headers["x-prediction-id"], answer["prediction_id"]) == (200, "a b", " a b ")


def test_the_journal_has_an_exchange_before_its_answer_leaves(versions: tuple[Ready, Ready]) -> None:
    kept: list[tuple[Exchange, float]] = []
    gate = asyncio.Event()

    async def record(exchange: Exchange, seconds: float) -> tuple[tuple[bytes, bytes], ...]:
        kept.append((exchange, seconds))
        await gate.wait()
        return ((b"x-journal", b"kept"),)

    app = app_of(lambda: versions[0], record)

    async def scenario() -> tuple[int, dict[str, str], Any]:
        task = asyncio.create_task(
            ask(app, json.dumps({"rows": [ROW, ROW], "prediction_ids": ["a", "b"]}).encode())
        )
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(kept) == 1
        assert not task.done()
        gate.set()
        return await task

    status, headers, answer = asyncio.run(scenario())
    ((exchange, seconds),) = kept
    assert (status, headers["x-journal"]) == (200, "kept")
    assert json.loads(exchange.body) == answer
    assert exchange.row_ids == ("a", "b")
    assert exchange.features == ("year", "mileage", "fuel", "serviced", "tax")
    assert exchange.values == [(2015.0, 40_000.0, "Petrol", True, None)] * 2
    assert exchange.rows == [{**ROW, "year": 2015.0, "mileage": 40_000.0}] * 2
    assert exchange.predictions == answer["predictions"]
    assert exchange.answered.model_version == "v1"
    assert seconds > 0


def test_a_refusal_is_not_journalled(versions: tuple[Ready, Ready]) -> None:
    async def record(exchange: Exchange, seconds: float) -> tuple[tuple[bytes, bytes], ...]:
        raise AssertionError("nothing was predicted")

    status, _, _ = asyncio.run(ask(app_of(lambda: versions[0], record), b"[]"))
    assert status == 400


@pytest.mark.parametrize("size", [CAREFUL_BYTES, QUICK_BYTES])
def test_both_sides_of_every_limit_answer_alike(versions: tuple[Ready, Ready], size: int) -> None:
    app = app_of(lambda: versions[0])
    good, wrong = json.dumps({"rows": [ROW]}).encode(), json.dumps({"rows": [{**ROW, "year": "x"}]}).encode()
    for body, status in ((good, 200), (wrong, 400)):
        answers = [asyncio.run(ask(app, body + b" " * (n - len(body)))) for n in (size, size + 1)]
        assert [answer[0] for answer in answers] == [status, status]
        if status == 200:
            first, second = (answer[2]["predictions"][0]["prediction"] for answer in answers)
            assert first == second
        else:
            assert answers[0][2] == answers[1][2]


def test_the_careful_and_the_quick_way_give_one_answer(versions: tuple[Ready, Ready]) -> None:
    answering = Answering(versions[0])
    rows = [
        ROW,
        {**ROW, "year": 1800, "tax": 1e5},
        {**{k: v for k, v in ROW.items() if k != "mileage"}, "odometer": 7.5, "fuel": "Coal"},
    ]
    body = json.dumps({"rows": rows, "prediction_id": "p"}).encode()
    quick, careful = answering.quickly(body, None), answering.carefully(body, None)
    assert quick is not None
    assert quick.body == careful.body
    assert quick.values == careful.values


def test_the_start_tells_workers_and_memory(releases: Path, key: SigningKey) -> None:
    environment = service_environment(releases, "prices", key.public_path, workers=2)
    with started(environment, free_port()) as served:
        until = time.monotonic() + 30
        while not (lines := LINE.findall(served.log.read_text())) and time.monotonic() < until:
            time.sleep(0.05)
    ((workers, megabytes),) = lines
    assert workers == "2"
    assert 30 < int(megabytes) < 2000
