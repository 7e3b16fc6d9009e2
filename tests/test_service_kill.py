"""kill -9 of the service's workers under load: what a caller was told is written is in the journal, once."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from releases import build, promote

from bento.process import Serving, free_port, service_environment, started
from perennial.live.journal.store import open_store
from perennial.live.sign import key_pair
from tests.callers import PATIENCE_S, Callers
from tests.postgres import running

pytestmark = pytest.mark.slow
WORKERS = 2
ROW = {"year": 2015, "fuel": "Petrol", "serviced": True, "tax": None}


class Repeating(Callers):
    """Callers that ask with ids of their own, and ask again with the same id where a connection breaks.

    `written` holds what was answered to each id that came back with X-Journal: written.
    """

    def __init__(self, url: str, callers: int = 8) -> None:
        super().__init__(url, callers)
        self.written: dict[str, float] = {}
        self.broken = self.not_written = 0
        self.statuses: Counter[int] = Counter()

    def ask(self, caller: int) -> None:
        number, connection = 0, http.client.HTTPConnection(self.host, timeout=30)
        while not self.over.is_set():
            own_id = f"{caller}-{number}"
            body = json.dumps({"rows": [{**ROW, "mileage": number % 100_000}], "prediction_id": own_id})
            try:
                connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                told = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError):
                connection.close()
                with self.lock:
                    self.broken += 1
                time.sleep(0.02)
                continue
            number += 1
            with self.lock:
                self.statuses[answer.status] += 1
                if answer.headers["X-Journal"] == "written":
                    self.written[own_id] = told["predictions"][0]["prediction"]
                else:
                    self.not_written += 1


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[dict[str, str], str]]:
    """The environment of a service of two workers, and the address of its journal."""
    key = key_pair(tmp_path / "keys")
    folder = tmp_path / "releases"
    promote(folder, key, build(folder, key, "prices", 1.0))
    environment = service_environment(folder, "prices", key.public_path, workers=WORKERS)
    if request.param == "sqlite":
        yield environment, str(tmp_path / "journal" / "prices.sqlite")
        return
    with running() as server:
        yield environment | {"PERENNIAL_JOURNAL": server.url}, server.url


def test_a_killed_worker_takes_nothing_written_with_it(place: tuple[dict[str, str], str]) -> None:
    check(*place, kills=2, seed=1)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_two_hundred_killed_workers_take_nothing_written_with_them(
    place: tuple[dict[str, str], str], tell: Callable[[str], None]
) -> None:
    kind = "postgresql" if "://" in place[1] else "sqlite"
    kills, began = 40 if kind == "postgresql" else 200, time.monotonic()
    callers, found = check(*place, kills=kills, seed=2)
    tell(
        f"{kind}: {kills} kills of {WORKERS} workers under load in {time.monotonic() - began:.0f} s: "
        f"{len(callers.written):,} answers said written, 0 of them missing; {found:,} rows in the journal, "
        f"{callers.broken:,} connections broke, {callers.not_written:,} answers said not-written"
    )


def check(environment: dict[str, str], address: str, kills: int, seed: int) -> tuple[Repeating, int]:
    """Kills workers under load, all of them at moments of their own; returns the callers and the journal's rows."""
    chance = random.Random(seed)
    with started(environment, free_port()) as served, Repeating(served.url) as callers:
        for _ in range(kills // WORKERS):
            victims = ready_workers(served)
            before = len(callers.written)
            until(lambda before=before: len(callers.written) > before + 20)
            for victim in victims:
                time.sleep(chance.uniform(0, 0.1))
                victim.kill()
                victim.wait(PATIENCE_S)
        ready_workers(served)
        before = len(callers.written)
        until(lambda: len(callers.written) > before + 20)
    assert set(callers.statuses) == {200}
    assert callers.broken, "no request was under way when a worker died"
    kept = journalled(address)
    missing = {one: value for one, value in callers.written.items() if kept.get(one) != value}
    assert not missing
    return callers, len(kept)


def ready_workers(served: Serving) -> list[psutil.Process]:
    """The workers, once all are there."""
    found: list[psutil.Process] = []

    def are_there() -> bool:
        try:
            found[:] = filter(is_worker, psutil.Process(served.process.pid).children())
        except psutil.NoSuchProcess:
            return False  # one that was killed is gone by now; look again
        return len(found) == WORKERS

    until(are_there)
    return found


def is_worker(child: psutil.Process) -> bool:
    """Whether a child of the supervisor answers requests, or soon will."""
    return child.status() != psutil.STATUS_ZOMBIE and "perennial" in child.cmdline()


def until(true: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    """Returns once something is true; fails where that takes too long."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "expected it to happen by now"
        time.sleep(0.01)


def journalled(address: str) -> dict[str, float]:
    """Every prediction in the journal by its id; fails where one is there twice."""
    store = open_store("prices", address)
    with store.connection() as connection:
        rows = connection.exec_driver_sql("SELECT prediction_id, output FROM perennial_predictions").all()
    store.close()
    found = {one: json.loads(output)["prediction"] for one, output in rows}
    assert len(found) == len(rows), "a prediction is in the journal twice"
    return found
