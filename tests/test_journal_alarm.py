"""People are told once when the journal cannot be written, and once when it can again; answers wait for neither."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from releases import build, promote

from bento.alarm import Alarm, People, people
from bento.process import Serving, free_port, service_environment, started
from perennial.errors import InputError
from perennial.live import incident
from perennial.live.sign import key_pair
from tests.alerted import Hook, hook
from tests.postgres import running
from tests.test_journal_writer import small_disk
from tests.test_service_kill import until

__all__ = ("hook",)
ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}
DOWN, UP = "prices: the journal cannot be written", "prices: recovered: the journal is written again"


class Watched:
    """An alarm whose trouble and times are given by hand."""

    def __init__(self, folder: Path) -> None:
        self.reason, self.seconds = "", 0.0
        self.alarm = Alarm(
            lambda: ("prices", self.reason),
            People(("env:TEST_HOOK",), after_s=10.0),
            folder,
            lambda: datetime.fromtimestamp(1.8e9 + self.seconds, UTC),
            lambda: self.seconds,
        )

    def live(self, seconds: int, reason: str = "") -> None:
        """Lets time pass, with a look every second."""
        self.reason = reason
        for _ in range(seconds):
            self.alarm.look()
            self.seconds += 1


def both(workers: tuple[Watched, ...], seconds: int, reason: str = "") -> None:
    """Lets time pass for several workers of one journal."""
    for _ in range(seconds):
        for worker in workers:
            worker.live(1, reason)


def test_trouble_that_lasts_is_told_once_by_all_workers_and_so_is_its_end(tmp_path: Path, hook: Hook) -> None:
    workers = Watched(tmp_path), Watched(tmp_path)
    both(workers, 100)
    both(workers, 9, "the disk is full")
    both(workers, 30)
    assert hook.got == []
    both(workers, 200, "the disk is full")
    assert hook.titles == [DOWN]
    assert "the disk is full" in hook.got[0]["message"]
    both(workers, 55)
    both(workers, 20, "the disk is full")
    assert hook.titles == [DOWN], "a flapping disk is one incident"
    both(workers, 130)
    assert hook.titles == [DOWN, UP]
    (one,) = incident.incidents(tmp_path, "prices")
    assert one.closed_at is not None and one.count > 2


def test_a_worker_that_died_in_trouble_leaves_the_end_to_the_next(tmp_path: Path, hook: Hook) -> None:
    first = Watched(tmp_path)
    first.live(20, "the disk is full")
    second = Watched(tmp_path)
    second.seconds = first.seconds
    second.live(130)
    assert hook.titles == [DOWN, UP]


def test_where_incidents_cannot_be_kept_either_one_worker_tells(tmp_path: Path, hook: Hook) -> None:
    with small_disk(tmp_path / "disk") as disk:
        folder = disk / "incidents"
        folder.mkdir()
        (disk / "filler").write_bytes(b"x" * (disk_free(disk)))
        workers = Watched(folder), Watched(folder)
        both(workers, 60, "the disk is full")
        assert hook.titles == [DOWN]
        (disk / "filler").unlink()
        both(workers, 200)
        assert hook.titles == [DOWN, UP]
        both(workers, 20, "the disk is full")
        both(workers, 200)
        assert hook.titles == [DOWN, UP, DOWN, UP]


def disk_free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def test_addresses_are_references_and_times_are_numbers() -> None:
    assert people({}) == People()
    found = people({"PERENNIAL_ALERTS": "env:A, env:B", "PERENNIAL_JOURNAL_ALERT_AFTER_S": "2.5"})
    assert found == People(("env:A", "env:B"), 2.5)
    with pytest.raises(InputError, match=r"PERENNIAL_ALERTS: expected a reference such as env:NAME") as error:
        people({"PERENNIAL_ALERTS": "slack://secret"})
    assert "slack" not in str(error.value)
    with pytest.raises(InputError, match=r"ALERT_AFTER_S to be a number of at least 0\.01, found 'soon'"):
        people({"PERENNIAL_JOURNAL_ALERT_AFTER_S": "soon"})


def asked(served: Serving, rows: int) -> str:
    """The journal's header of an answer of 200."""
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=30)
    body = json.dumps({"rows": [ROW] * rows})
    connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 200
    return answer.headers["X-Journal"]


def alarmed(tmp_path: Path, journal: str) -> dict[str, str]:
    """The environment of a service of two workers with this journal, which tells TEST_HOOK of trouble soon."""
    key, folder = key_pair(tmp_path / "keys"), tmp_path / "releases"
    promote(folder, key, build(folder, key, "prices", 1.0))
    return service_environment(folder, "prices", key.public_path, workers=2) | {
        "PERENNIAL_JOURNAL": journal,
        "PERENNIAL_ALERTS": "env:TEST_HOOK",
        "PERENNIAL_JOURNAL_ALERT_AFTER_S": "0.3",
    }


def goes_and_comes(
    environment: dict[str, str], told: Hook, rows: int, breaks: Callable[[], Any], mends: Callable[[], Any]
) -> None:
    """Asks a real service while its journal fails and works again; a webhook that hesitates holds nobody up."""
    hesitates = threading.Event()
    told.on_message = lambda: hesitates.wait(30) and None
    with started(environment, free_port()) as served:
        assert asked(served, 1) == "written"
        breaks()
        until(lambda: asked(served, rows) == "not-written")
        until(lambda: told.got or asked(served, rows) == "nobody was told")
        assert {asked(served, 1) for _ in range(20)} == {"not-written"}
        hesitates.set()
        mends()
        until(lambda: asked(served, 1) == "written")
        until(lambda: len(told.got) == 2 or asked(served, 1) == "nobody was told")
        assert {asked(served, 1) for _ in range(20)} == {"written"}
    assert told.titles == [DOWN, UP]


@pytest.mark.slow
def test_a_full_disk_under_a_service(tmp_path: Path, hook: Hook) -> None:
    with small_disk(tmp_path / "disk") as disk:
        grow = ["mount", "-o", "remount,size=200m", str(disk)]
        environment = alarmed(tmp_path, str(disk / "j.sqlite"))
        goes_and_comes(environment, hook, 500, lambda: None, lambda: subprocess.run(grow, check=True))


@pytest.mark.torture
def test_a_database_that_stops_under_a_service(tmp_path: Path, hook: Hook) -> None:
    with running() as server:
        goes_and_comes(alarmed(tmp_path, server.url), hook, 1, server.stop, server.start)
