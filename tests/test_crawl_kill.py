"""Crawls that are killed, ended, locked out or run out of disk, and what the same command makes of it then."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perennial.data.crawl import finish, rows
from tests.crawl_site import PAGES, ROOT, Running, cars, counted, events, running, source
from tests.test_crawl_raw import small_disk  # noqa: F401  (a fixture)

SCRIPT = ROOT / "tests" / "crawl_once.py"


@pytest.fixture(scope="module")
def site() -> Iterator[Running]:
    with running() as host:
        yield host


def start(folder: Path, config: dict[str, Any]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), json.dumps(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def finished(folder: Path, config: dict[str, Any]) -> list[dict[str, Any]]:
    """The facts of a crawl that nobody disturbs."""
    output, errors = (process := start(folder, config)).communicate(timeout=120)
    assert process.returncode == 0, errors
    return [json.loads(line) for line in output.splitlines()]


def everything(folder: Path, config: dict[str, Any]) -> dict[str, list[tuple[Any, ...]]]:
    return {
        feed: [(row.values, row.url, row.raw) for row in rows(folder, 1, feed)] for feed in config["feeds"]
    }


def stopped(site: Running, folder: Path, config: dict[str, Any], asked: int, sign: signal.Signals) -> int:
    """Ends a crawl once the site was asked so often, a random moment later; its exit code."""
    before = sum(site.asked().values())
    process = start(folder, config)
    while process.poll() is None and sum(site.asked().values()) - before < asked:
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.03))
    process.send_signal(sign)
    process.communicate(timeout=30)
    return process.returncode


def kill_until_done(site: Running, tmp_path: Path, kills: int) -> None:
    """Every kill hits a crawl somewhere between its start and its end; nothing is lost, nothing comes twice."""
    config = source(site.base, cars=cars(), events=events(), pages=counted())
    site.set(delay_s=0.05)
    undisturbed = finished(tmp_path / "undisturbed", config)
    expected = everything(tmp_path / "undisturbed", config)
    assert len(expected["cars"]) > PAGES
    requests = sum(facts["requests"] for facts in undisturbed)
    done = crawls = 0
    while done < kills:
        folder = tmp_path / f"killed-{crawls}"
        left = requests
        while done < kills and left > 20:
            if stopped(site, folder, config, random.randint(0, left), signal.SIGKILL) != -signal.SIGKILL:
                break
            done += 1
            left -= random.randint(5, 20)
        facts = finished(folder, config)
        assert everything(folder, config) == expected
        assert [{**f, "sent_bytes": 0} for f in facts] == [{**f, "sent_bytes": 0} for f in undisturbed]
        crawls += 1


def test_a_killed_crawl_ends_as_one_that_nobody_disturbed(site: Running, tmp_path: Path) -> None:
    kill_until_done(site, tmp_path, 3)


@pytest.mark.torture
def test_fifty_killed_crawls_end_as_one_that_nobody_disturbed(site: Running, tmp_path: Path) -> None:
    kill_until_done(site, tmp_path, 50)


@pytest.mark.parametrize(
    "sign", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.torture)], ids=["TERM", "INT"]
)
def test_a_crawl_that_is_told_to_end_is_gone_on_with(
    site: Running, tmp_path: Path, sign: signal.Signals
) -> None:
    site.set(delay_s=0.05)
    config = source(site.base, cars=cars())
    assert stopped(site, tmp_path, config, PAGES // 2, sign) != 0
    site.set()
    (facts,) = finished(tmp_path, config)
    assert (facts["requests"], facts["failed"]) == (PAGES, {})
    assert 0 < sum(site.asked().values()) < PAGES, "nothing was kept, or nothing was left"
    ids = {row.values["id"] for row in rows(tmp_path, 1, "cars")}
    assert len(ids) == facts["rows"] - facts["repeats"]


def test_one_process_at_a_time_works_in_a_folder(site: Running, tmp_path: Path) -> None:
    site.set()
    config = source(site.base, cars=cars())
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("process 4711 since 2026-01-02 03:04:05 UTC")
        lock.flush()
        process = start(tmp_path, config)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "found process 4711 since 2026-01-02 03:04:05 UTC; wait for it or stop it" in errors
    assert site.asked() == {}
    assert finished(tmp_path, config)[0]["requests"] == PAGES


def test_a_full_disk_ends_a_crawl_with_a_sentence_and_loses_nothing(
    site: Running,
    small_disk: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    site.set()
    config = source(site.base, cars=cars())
    expected = finished(tmp_path / "roomy", config)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(3_800_000))
    process = start(small_disk / "state", config)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.count("\n") == 1 and "free space" in errors, errors
    filler.unlink()
    assert finished(small_disk / "state", config) == expected
    assert everything(small_disk / "state", config) == everything(tmp_path / "roomy", config)
    finish(small_disk / "state", 1)
