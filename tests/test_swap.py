"""Releases change under load: no request fails, and every answer is that of the version that it names."""

from __future__ import annotations

import http.client
import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from releases import NOW, build, damage, predicted, promote, two_versions

from bento.process import free_port, service_environment, started, stop
from perennial.live import release
from perennial.live.sign import key_pair
from tests.callers import Callers

pytestmark = pytest.mark.slow

ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}
BODY = json.dumps(ROW)
JSON = {"Content-Type": "application/json"}


class Load(Callers):
    """Callers that each ask on one connection that is kept open."""

    def __init__(self, url: str, callers: int = 4) -> None:
        super().__init__(url, callers)
        self.answers: Counter[tuple[int, str, float | None]] = Counter()
        self.failures: list[str] = []

    def ask(self, _caller: int) -> None:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        while not self.over.is_set():
            try:
                connection.request("POST", "/predict", BODY, JSON)
                answer = connection.getresponse()
                told = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                with self.lock:
                    self.failures.append(f"{type(error).__name__}: {error}")
                return
            value = told["predictions"][0]["prediction"] if answer.status == 200 else None
            with self.lock:
                self.answers[answer.status, answer.headers.get("X-Model-Version", ""), value] += 1


@pytest.fixture
def place(tmp_path):
    """A releases folder with two versions of `prices`, the first one released, and what each answers."""
    folder, key, _ = two_versions(tmp_path)
    expected = predicted(folder, key, ROW)
    assert abs(expected["v1"] - expected["v2"]) > 1.0
    return folder, key, expected


def asked(url, path="/readyz"):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def serving(place, **more):
    folder, key, _ = place
    environment = (
        service_environment(folder, "prices", key.public_path) | {"PERENNIAL_WATCH_S": "0.05"} | more
    )
    return started(environment, free_port())


def until(true, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "expected it to happen by now"
        time.sleep(0.01)


@pytest.mark.parametrize("swaps", [4, pytest.param(100, marks=pytest.mark.torture)])
def test_no_request_fails_while_releases_change(place, swaps, tell):
    folder, key, expected = place
    with serving(place) as served, Load(served.url) as load:
        for number in range(swaps):
            version = ("v2", "v1")[number % 2]
            moment = NOW + timedelta(minutes=number + 1)
            release.promote_by_hand(
                folder, "prices", version, key.public_path, moment, "its turn", "tester@host"
            )
            until(lambda version=version: json.loads(asked(served.url)[1])["version"] == version)
            before = sum(load.answers.values())
            until(lambda before=before: sum(load.answers.values()) > before + 4)
        metrics = asked(served.url, "/metrics")[1]
    assert not load.failures
    assert {status for status, _, _ in load.answers} == {200}
    assert {version for _, version, _ in load.answers} == {"v1", "v2"}
    for _, version, value in load.answers:
        assert value == pytest.approx(expected[version], rel=1e-9)
    assert f"perennial_swaps_total {float(swaps)}" in metrics
    tell(f"{swaps} swaps, {sum(load.answers.values()):,} requests, 0 failed")


def test_a_wrong_release_is_told_and_the_right_one_goes_on(place):
    folder, key, _ = place
    with serving(place) as served, Load(served.url, 2) as load:
        release.promote_by_hand(
            folder, "prices", "v2", key.public_path, NOW + timedelta(hours=1), "better", "t@h"
        )
        until(lambda: json.loads(asked(served.url)[1])["version"] == "v2")
        third = build(folder, key, "prices", 20.0)
        promote(folder, key, third, 2)
        damage(folder, "prices", "v3", "model.onnx")
        until(lambda: json.loads(asked(served.url)[1])["trouble"])
        status, body = asked(served.url)
        assert status == 200 and json.loads(body)["version"] == "v2"
        assert "model.onnx" in json.loads(body)["trouble"] or "v3" in json.loads(body)["trouble"]
        assert "perennial_swap_failures_total" in asked(served.url, "/metrics")[1]
    assert not load.failures and {status for status, _, _ in load.answers} == {200}


def test_a_service_without_a_release_becomes_ready_when_there_is_one(tmp_path):
    key = key_pair(tmp_path / "keys")
    folder = tmp_path / "releases"
    reference = build(folder, key, "prices", 1.0)
    environment = service_environment(folder, "prices", key.public_path) | {"PERENNIAL_WATCH_S": "0.05"}
    with started(environment, free_port(), ready=False) as served:
        assert asked(served.url)[0] == 503
        promote(folder, key, reference)
        until(lambda: asked(served.url)[0] == 200)


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.torture)])
def test_a_service_that_is_asked_to_end_answers_what_it_accepted(place, times, tell):
    """What was accepted is in the journal; a connection that is closed between two requests has lost none."""
    journal = place[0].parent / "journal" / "prices.sqlite"
    answered = 0
    for _ in range(times):
        with serving(place) as served, Load(served.url, 8) as load:
            until(lambda load=load: sum(load.answers.values()) > 50)
            stop(served.process, 30.0)
        assert {status for status, _, _ in load.answers} == {200}
        answered += sum(load.answers.values())
        with closing(sqlite3.connect(journal)) as database:
            (accepted,) = database.execute("SELECT count(*) FROM perennial_predictions").fetchone()
        assert accepted == answered
    tell(f"{times} ends under load: {accepted:,} accepted, {answered:,} answered")
