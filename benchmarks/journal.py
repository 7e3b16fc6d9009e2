"""What the journal costs: rows per second and the wait for the disk, in groups and one by one."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bento.asked import fresh_id
from perennial.live.journal.entry import Entry
from perennial.live.journal.store import Store, open_store
from perennial.live.journal.writer import Writer

INPUTS = '{"a":1.234,"b":5.5,"c":"Manual","d":9.99,"e":1.234,"f":2.5,"g":7,"h":"Diesel","i":21400}'
OUTPUT = '{"prediction":20409.30,"prediction_low":20038.46,"prediction_high":20750.23,"flag":""}'
FILLED_AT_ONCE = 10_000

Identify = Callable[[], str]


@dataclass(frozen=True)
class Run:
    """One run: rows, mean rows of a transaction, wall and processor seconds, every put's wait in seconds."""

    rows: int
    per_group: float
    wall: float
    cpu: float
    waits: Sequence[float]

    def line(self, name: str) -> str:
        """The run as a line of the table."""
        p50, p99 = (1e3 * value for value in quantiles(self.waits))
        return (
            f"{name:<44}{self.rows / self.wall:>10,.0f}{p50:>9.2f}{p99:>9.2f}{max(self.waits) * 1e3:>9.1f}"
            f"{self.per_group:>9.1f}{1e6 * self.cpu / self.rows:>10.1f}"
        )


def main(arguments: list[str]) -> None:
    """Prints a table; everything in it is taken in the same minute on the same disk."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks journal")
    parser.add_argument("--seconds", type=float, default=4.0, help="of every run")
    parser.add_argument("--putters", type=int, default=16, help="requests that wait at the same time")
    parser.add_argument(
        "--url", help="a PostgreSQL to measure too; its tables get rows of system `benchmark`"
    )
    parser.add_argument(
        "--grown", type=int, default=1_000_000, help="rows of the journals that are not empty"
    )
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        p50, p99 = quantiles(syncs(Path(folder) / "plain", chosen.seconds / 2))
        print(f"write and sync of 8 KiB in the same folder: p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms\n")
        print(
            f"{'':<44}{'rows/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'a group':>9}{'cpu us/row':>10}"
        )
        for rows in (1, 100):
            for work_us in (0, 100):
                name = f"{chosen.putters} putters of {rows} rows, {work_us} us of work each"
                measured = grouped(fresh(folder, name), chosen.putters, rows, work_us * 1e-6, chosen.seconds)
                print(measured.line(name))
        print(alone(fresh(folder, "alone"), chosen.seconds).line("a transaction per row, one writer"))
        for name, identify in (("ids that grow with time", ordered), ("random ids", random)):
            store = fresh(folder, name)
            grow(store, chosen.grown, identify)
            measured = grouped(store, chosen.putters, 1, 0.0, chosen.seconds, identify)
            print(measured.line(f"on top of {chosen.grown:,} rows, {name}"))
        if chosen.url:
            store = open_store("benchmark", chosen.url)
            name = f"PostgreSQL, {chosen.putters} putters of 1 row"
            print(grouped(store, chosen.putters, 1, 0.0, chosen.seconds).line(name))


def fresh(folder: str, name: str) -> Store:
    """An empty journal in a file of its own."""
    return open_store("benchmark", Path(folder) / f"{name}.sqlite")


def quantiles(waits: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile."""
    return statistics.median(waits), statistics.quantiles(waits, n=100)[98]


def syncs(path: Path, seconds: float) -> list[float]:
    """The seconds of each write with a sync: what any durable store on this disk must pay."""
    waits, until = [], time.perf_counter() + seconds
    with path.open("wb", buffering=0) as file:
        while (started := time.perf_counter()) < until:
            file.write(b"x" * 8192)
            os.fdatasync(file.fileno())
            waits.append(time.perf_counter() - started)
    return waits


def ordered() -> str:
    """An id as the service makes it."""
    return fresh_id(time.time_ns() // 1_000_000, os.urandom(10))


def random() -> str:
    """An id of a caller's that has no order."""
    return os.urandom(16).hex()


def grow(store: Store, rows: int, identify: Identify) -> None:
    """Fills a journal."""
    for start in range(0, rows, FILLED_AT_ONCE):
        store.insert([entry(identify) for _ in range(start, min(start + FILLED_AT_ONCE, rows))])


def grouped(
    store: Store,
    putters: int,
    rows: int,
    work_s: float,
    seconds: float,
    identify: Identify = ordered,
) -> Run:
    """Puts of `rows` rows by so many tasks of one event loop, each of which computes for `work_s` before it."""
    waits: list[float] = []
    writer = Writer(store)

    async def putter(until: float) -> None:
        while time.perf_counter() < until:
            busy(work_s)
            entries = [entry(identify) for _ in range(rows)]
            started = time.perf_counter()
            receipt = await writer.put(entries)
            waits.append(time.perf_counter() - started)
            if not receipt.written:
                raise RuntimeError(receipt.reason)

    async def run() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(putter(until) for _ in range(putters)))

    store.insert([entry()])
    writer.start()
    wall, cpu = timed(lambda: asyncio.run(run()))
    writer.stop()
    written = writer.stats.rows_written
    return Run(written, written / writer.stats.groups, wall, cpu, waits)


def alone(store: Store, seconds: float) -> Run:
    """What a transaction per prediction would do."""
    waits: list[float] = []
    store.insert([entry()])

    def run() -> None:
        until = time.perf_counter() + seconds
        while (started := time.perf_counter()) < until:
            store.insert([entry()])
            waits.append(time.perf_counter() - started)

    wall, cpu = timed(run)
    store.close()
    return Run(len(waits), 1.0, wall, cpu, waits)


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def busy(seconds: float) -> None:
    """Compute for so long, as a prediction does."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def entry(identify: Identify = ordered) -> Entry:
    """A prediction of usual size, with an id of its own."""
    return Entry(identify(), "champion", time.time_ns() // 1000, "v1", INPUTS, OUTPUT, 0.001)
