"""The journal's writer: groups, receipts, and stores that fail and come back."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from perennial.live.journal.entry import Entry
from perennial.live.journal.receipt import WRITTEN, Limits, Receipt, Stats
from perennial.live.journal.store import Store, open_store
from perennial.live.journal.writer import Writer
from tests.postgres import running

ROOT = Path(__file__).resolve().parent.parent
PATIENT = Limits(max_wait_s=30.0, retry_s=0.02)
HASTY = Limits(max_wait_s=0.3, retry_s=0.02)


def entry(prediction_id: str, **fields: object) -> Entry:
    return Entry(prediction_id, "champion", 1, "v1", '{"a":1}', "1.0", 0.002)._replace(**fields)


def with_writer(store: Store, limits: Limits, use: Callable[[Writer], Awaitable[None]]) -> Stats:
    """Runs `use` in an event loop with a writer that is stopped afterwards; returns its last figures."""

    async def run() -> Stats:
        writer = Writer(store, limits)
        writer.start()
        try:
            await use(writer)
        finally:
            await asyncio.to_thread(writer.stop)
        return writer.stats

    return asyncio.run(run())


def ids(path: Path) -> set[str]:
    """The ids in a journal, read by nothing of ours."""
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT prediction_id FROM perennial_predictions")}


async def put_until(writer: Writer, written: bool, prefix: str) -> list[str]:
    """Puts one row after the other until one is answered as wished; returns the acknowledged ids."""
    acknowledged = []
    for number in range(2_000):
        receipt = await writer.put([entry(f"{prefix}{number}")])
        acknowledged += [f"{prefix}{number}"] * receipt.written
        if receipt.written == written:
            return acknowledged
        await asyncio.sleep(0.01)
    raise AssertionError(f"never answered written={written}: {writer.stats}")


def test_puts_of_the_same_time_share_transactions_and_are_on_disk_when_answered(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"

    async def use(writer: Writer) -> None:
        async def one(number: int) -> None:
            for turn in range(20):
                name = f"{number}-{turn}"
                assert await writer.put([entry(name), entry(name, arm="shadow")]) == WRITTEN
                assert name in ids(path)

        await asyncio.gather(*(one(number) for number in range(16)))

    stats = with_writer(open_store("s", path), PATIENT, use)
    assert (stats.rows_written, stats.rows_repeated, stats.rows_lost) == (640, 0, 0)
    assert stats.groups < 320, "320 puts did not share transactions"
    assert (stats.rows_waiting, stats.lag_s, stats.down, stats.rows_unconfirmed) == (0, 0.0, "", 0)


def test_a_row_that_can_never_be_written_costs_no_other_row(tmp_path: Path) -> None:
    async def use(writer: Writer) -> None:
        puts = [
            [entry("a")],
            [entry("b", quality=None)],
            [entry("c"), entry("\ud800")],
            [entry("d")],
            [entry("a")],
        ]
        receipts = await asyncio.gather(*(writer.put(one) for one in puts))
        assert [receipt.written for receipt in receipts] == [True, False, False, True, True]
        assert "NOT NULL" in receipts[1].reason and "surrogates" in receipts[2].reason

    stats = with_writer(open_store("s", tmp_path / "j.sqlite"), PATIENT, use)
    assert ids(tmp_path / "j.sqlite") == {"a", "d"}
    assert (stats.rows_written, stats.rows_repeated, stats.rows_lost, stats.down) == (2, 1, 3, "")


def test_a_locked_file_is_waited_for_no_longer_than_agreed_and_written_later(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    store = open_store("s", path, max_wait_s=0.2)
    store.insert([entry("first")])

    async def use(writer: Writer) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            receipt = await writer.put([entry("during")])
            assert not receipt.written
            assert "locked" in receipt.reason or "confirm" in receipt.reason
            while not writer.stats.down:
                await asyncio.sleep(0.01)
            down = writer.put([entry("down")])
            assert down.done() and "locked" in down.result().reason, "a store that is down is not waited for"
            assert writer.stats.lag_s > 0 and writer.stats.rows_waiting == 2
            other.execute("ROLLBACK")
        await put_until(writer, True, "after")

    stats = with_writer(store, HASTY, use)
    assert {"first", "during", "down", "after0"} <= ids(path)
    assert stats.rows_lost == 0 and stats.rows_late >= 2 and "locked" in stats.last_error and stats.down == ""


class StuckStore:
    """A real store whose disk does not answer until it is told to."""

    def __init__(self, store: Store) -> None:
        import threading

        self.system, self._store, self.answer = store.system, store, threading.Event()

    def insert(self, entries: list[Entry]) -> int:
        self.answer.wait()
        return self._store.insert(entries)

    def close(self) -> None:
        self._store.close()


def test_a_disk_that_does_not_answer_holds_no_put_for_longer_than_agreed(tmp_path: Path) -> None:
    stuck = StuckStore(open_store("s", tmp_path / "j.sqlite"))

    async def use(writer: Writer) -> None:
        puts = [writer.put([entry(str(number))]) for number in range(3)]
        receipts = await asyncio.wait_for(asyncio.gather(*puts), timeout=20)
        assert receipts == [Receipt(False, "the journal did not confirm within 0.3 s")] * 3
        assert writer.stats.rows_unconfirmed == 3 and writer.stats.rows_waiting == 3
        assert writer.put([entry("next")]).done(), "once it was silent for too long, nobody waits for it"
        stuck.answer.set()
        await put_until(writer, True, "after")

    stats = with_writer(stuck, HASTY, use)
    assert {"0", "1", "2", "next", "after0"} <= ids(tmp_path / "j.sqlite")
    assert stats.rows_late >= 3 and stats.rows_lost == 0


@pytest.mark.parametrize("limits", [Limits(rows=10), Limits(bytes=10 * entry("0").bytes)])
def test_no_more_waits_than_agreed(tmp_path: Path, limits: Limits) -> None:
    stuck = StuckStore(open_store("s", tmp_path / "j.sqlite"))

    async def use(writer: Writer) -> None:
        puts = [writer.put([entry(str(number))]) for number in range(15)]
        refused = [put.result() for put in puts if put.done()]
        assert refused == [Receipt(False, "too much waits for the journal")] * 5
        stuck.answer.set()
        assert await asyncio.gather(*puts[:10]) == [WRITTEN] * 10

    stats = with_writer(stuck, limits, use)
    assert ids(tmp_path / "j.sqlite") == {str(number) for number in range(10)}
    assert (stats.rows_written, stats.rows_lost) == (10, 5)


def test_stop_writes_what_waits_and_refuses_what_comes_after(tmp_path: Path) -> None:
    async def run() -> tuple[list[Receipt], Receipt]:
        writer = Writer(open_store("s", tmp_path / "j.sqlite"), PATIENT)
        writer.start()
        puts = [writer.put([entry(str(number))]) for number in range(500)]
        await asyncio.to_thread(writer.stop)
        after = await writer.put([entry("after")])
        return await asyncio.gather(*puts), after

    receipts, after = asyncio.run(run())
    assert receipts == [WRITTEN] * 500
    assert after == Receipt(False, "the journal's writer has stopped")
    assert len(ids(tmp_path / "j.sqlite")) == 500


def test_what_cannot_be_written_at_the_end_is_counted_as_lost(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    store = open_store("s", path, max_wait_s=0.1)
    store.insert([entry("first")])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        async def use(writer: Writer) -> None:
            assert not (await writer.put([entry("a"), entry("b")])).written

        stats = with_writer(store, HASTY, use)
    assert (stats.rows_lost, stats.rows_waiting, stats.rows_written) == (2, 0, 0)
    assert ids(path) == {"first"}


def test_a_caller_that_goes_away_disturbs_nobody(tmp_path: Path) -> None:
    async def use(writer: Writer) -> None:
        gone, other = writer.put([entry("gone")]), writer.put([entry("other")])
        gone.cancel()
        assert await other == WRITTEN

    stats = with_writer(open_store("s", tmp_path / "j.sqlite"), PATIENT, use)
    assert ids(tmp_path / "j.sqlite") == {"gone", "other"}
    assert (stats.rows_written, stats.rows_late, stats.rows_unconfirmed) == (2, 0, 0)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_said_and_over_once_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "j.sqlite"
        large = '"' + "x" * 5_000 + '"'
        acknowledged = []

        async def use(writer: Writer) -> None:
            for number in range(500):
                receipt = await writer.put([entry(f"a{number}", inputs=large)])
                if not receipt.written:
                    break
                acknowledged.append(f"a{number}")
            assert "full" in receipt.reason and "free space" in receipt.reason
            assert not (await writer.put([entry("full", inputs=large)])).written
            assert set(acknowledged) <= ids(path)
            subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
            acknowledged.extend(await put_until(writer, True, "b"))

        stats = with_writer(open_store("s", path), HASTY, use)
        assert len(acknowledged) > 10
        assert {*acknowledged, "full"} <= ids(path)
        assert stats.rows_lost == 0 and stats.groups_failed > 0 and stats.rows_late > 0


def test_a_file_size_limit_fails_groups_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    store = open_store("s", path)
    store.insert([entry("first")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    acknowledged = []

    async def use(writer: Writer) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        try:
            for number in range(200):
                if not (await writer.put([entry(f"a{number}", inputs='"' + "x" * 4_000 + '"')])).written:
                    break
                acknowledged.append(f"a{number}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        acknowledged.extend(await put_until(writer, True, "b"))

    stats = with_writer(store, HASTY, use)
    assert 0 < len(acknowledged) < 200 and stats.groups_failed > 0
    assert set(acknowledged) <= ids(path)


def test_a_removed_file_is_made_again_by_all_its_workers(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    one, other = open_store("s", path), open_store("s", path)
    for turn in range(3):
        one.insert([entry(f"one-before{turn}")])
        other.insert([entry(f"other-before{turn}")])
        for file in tmp_path.glob("*j.sqlite*"):
            file.unlink()
        one.insert([entry("one")])
        other.insert([entry("other")])
        one.insert([entry("one again")])
        assert ids(path) == {"one", "other", "one again"}
    one.close()
    other.close()
    assert ids(path) == {"one", "other", "one again"}


def test_a_database_that_crashes_and_comes_back_loses_nothing_acknowledged() -> None:
    with running() as server:
        store = open_store("s", server.url, max_wait_s=5.0)
        acknowledged = []

        async def use(writer: Writer) -> None:
            acknowledged.extend(await put_until(writer, True, "a"))
            await asyncio.to_thread(server.stop)
            acknowledged.extend(await put_until(writer, False, "gone"))
            while not writer.stats.down:
                await asyncio.sleep(0.01)
            down = writer.put([entry("down")])
            assert down.done() and "start the database" in down.result().reason
            await asyncio.to_thread(server.start)
            acknowledged.extend(await put_until(writer, True, "back"))

        stats = with_writer(store, Limits(max_wait_s=20.0, retry_s=0.02), use)
        with store.connection() as connection:
            query = "SELECT prediction_id FROM perennial_predictions"
            found = set(connection.exec_driver_sql(query).scalars())
        store.close()
        assert {*acknowledged, "down"} <= found
        assert stats.rows_lost == 0 and stats.rows_late >= 1 and "not-asked-for" not in stats.last_error


PAIR = """
import asyncio, sys
from perennial.live.journal.entry import Entry
from perennial.live.journal.store import open_store
from perennial.live.journal.writer import Writer

async def run(address, name):
    writer = Writer(open_store("s", address, 20.0))
    writer.start()
    async def one(task):
        for turn in range(25):
            shared, own = f"shared-{task}-{turn}", f"{name}-{task}-{turn}"
            rows = [Entry(i, "champion", 1, "v1", "{}", "1", 0.0) for i in (shared, own)]
            receipt = await writer.put(rows)
            assert receipt.written, receipt
    await asyncio.gather(*(one(task) for task in range(8)))
    await asyncio.to_thread(writer.stop)
    print(writer.stats.rows_written, writer.stats.rows_repeated, writer.stats.rows_lost)

asyncio.run(run(*sys.argv[1:]))
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_workers_make_one_journal_at_once_and_share_it(kind: str, tmp_path: Path) -> None:
    if kind == "sqlite":
        _check_pair(str(tmp_path / "new" / "j.sqlite"))
    else:
        with running() as server:
            _check_pair(server.url)


def _check_pair(address: str) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", PAIR, address, name], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    figures = [[int(n) for n in worker.communicate(timeout=120)[0].split()] for worker in workers]
    new, repeated, lost = map(sum, zip(*figures, strict=True))
    assert (new, repeated, lost) == (600, 200, 0)
    store = open_store("s", address)
    with store.connection() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM perennial_predictions").scalar_one()
    store.close()
    assert count == 600
