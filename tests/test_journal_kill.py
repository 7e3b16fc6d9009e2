"""kill -9: what was acknowledged is in the journal, whenever a worker dies."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from perennial.live.journal.outcomes import outcomes
from perennial.live.journal.store import open_store
from tests.postgres import running

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 60

WORKER = """
import asyncio, os, sys, time
from itertools import count
from perennial.live.journal.entry import Entry
from perennial.live.journal.store import open_store
from perennial.live.journal.writer import Writer

async def run(address, name):
    writer = Writer(open_store("s", address, 20.0))
    writer.start()
    numbers = count()
    async def one():
        for number in numbers:
            rows = [
                Entry(f"{name}-{number}-{row}", "champion", time.time_ns() // 1000, "v1", '{"a":1.5}', "2.5", 0.001)
                for row in range(number % 3 + 1)
            ]
            if (await writer.put(rows)).written:
                os.write(1, "".join(f"{row.prediction_id}\\\\n" for row in rows).encode())
    await asyncio.gather(*(one() for _ in range(16)))

asyncio.run(run(*sys.argv[1:]))
""".replace("\\\\n", "\\n")


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "j.sqlite")
        return
    with running() as server:
        yield server.url


def test_what_was_acknowledged_outlives_a_kill(address: str, tmp_path: Path) -> None:
    check(address, tmp_path, pairs=2, seed=1)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_two_hundred_kills_lose_nothing_acknowledged(
    address: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    started = time.monotonic()
    acknowledged, found = check(address, tmp_path, pairs=100, seed=2)
    kind = address.partition(":")[0] if "://" in address else "sqlite"
    tell(
        f"{kind}: 200 kills in {time.monotonic() - started:.0f} s: {acknowledged:,} acknowledged, 0 missing, "
        f"{found:,} in the journal"
    )


def check(address: str, folder: Path, pairs: int, seed: int) -> tuple[int, int]:
    """Kills pairs of workers on one journal; returns how many rows were acknowledged and how many are there."""
    chance = random.Random(seed)
    said: list[Path] = []
    for pair in range(pairs):
        files = [folder / f"{pair}-{name}.txt" for name in "ab"]
        kill_pair(address, files, chance)
        said += files
    acknowledged = {line for file in said for line in file.read_text().splitlines()}
    store = open_store("s", address)
    found = {o.prediction_id for o in outcomes(store, datetime(2000, 1, 1, tzinfo=UTC), datetime.now(UTC))}
    if "://" not in address:
        with store.connection() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    store.close()
    assert all(file.stat().st_size for file in said), (
        "every worker was killed after it had acknowledged something"
    )
    assert acknowledged - found == set()
    return len(acknowledged), len(found)


def kill_pair(address: str, files: list[Path], chance: random.Random) -> None:
    """Two workers write at once until each dies at a moment of its own, after its first acknowledgement."""
    workers = []
    try:
        for file in files:
            with file.open("wb") as out:
                command = [sys.executable, "-c", WORKER, address, file.stem]
                workers.append(subprocess.Popen(command, cwd=ROOT, stdout=out))
        until = time.monotonic() + PATIENCE_S
        while not all(file.stat().st_size for file in files):
            assert time.monotonic() < until and not any(w.poll() for w in workers), "a worker wrote nothing"
            time.sleep(0.002)
        for worker in workers:
            time.sleep(chance.uniform(0, 0.06))
            worker.send_signal(signal.SIGKILL)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(timeout=PATIENCE_S)
