"""What keeps workers alive and ends them: a full disk takes none, a supervisor that is killed all of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import psutil
import pytest

from bento import supervision
from bento.process import Serving, free_port, service_environment, started
from perennial.live.sign import PUBLIC, key_pair
from tests.edge_site import post, until
from tests.releases import build, promote
from tests.test_journal_writer import small_disk

ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}


def status(served: Serving, value: Any, path: str = "/predict") -> int:
    """How a request was answered; 0 where nobody did."""
    try:
        return post(served.url + path, value)[0]
    except HTTPError as refusal:
        return refusal.code
    except OSError:
        return 0


def fill(disk: Path) -> None:
    """Leaves no byte free."""
    with (disk / "fill").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)


def test_a_full_state_folder_ends_no_worker_and_the_end_of_the_supervisor_does(tmp_path: Path) -> None:
    key = key_pair(tmp_path / "keys")
    promote(tmp_path / "releases", key, build(tmp_path / "releases", key, "prices", 1.0))
    with small_disk(tmp_path / "disk") as disk:
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        usual = service_environment(tmp_path / "releases", "prices", tmp_path / "keys" / PUBLIC, root=disk)
        environment = {**usual, "BENTOML_HOME": str(disk / "bentoml")}
        with started(environment, free_port()) as served:
            assert status(served, {"rows": [ROW]}) == 200
            first = psutil.Process(served.process.pid).children()
            fill(disk)
            statuses = [status(served, {"rows": [ROW]}), status(served, {"rows": []})]
            statuses += [status(served, {}, path) for path in ("/truth", "/nope", "/readyz", "/journal")]
            assert statuses == [200, 400, 400, 404, 405, 400]
            assert psutil.Process(served.process.pid).children() == first, "the same worker answers"
            os.kill(first[0].pid, signal.SIGKILL)
            until(lambda: status(served, {"rows": [ROW]}) == 200)
            served.process.kill()
            until(lambda: status(served, {"rows": [ROW]}) == 0)


def test_only_folders_of_servers_that_ended_are_removed(tmp_path: Path) -> None:
    held = supervision.held_folder(tmp_path)
    left = tmp_path / f"{supervision.PREFIX}left"
    (left / "deep").mkdir(parents=True)
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / f"{supervision.PREFIX}link").symlink_to(other)
    supervision.forget_ended(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([held, other, tmp_path / f"{supervision.PREFIX}link"])


def test_without_a_folder_in_memory_bentoml_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "MEMORY", tmp_path / "none")
    assert supervision.counting_folder(lambda: "its own") == "its own"
