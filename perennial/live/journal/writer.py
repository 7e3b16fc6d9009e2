"""Writes what one worker answered in groups, and says of each answer whether it is on disk."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import NamedTuple

from perennial.errors import JournalError
from perennial.live.journal.entry import Entry
from perennial.live.journal.gathering import Gathering
from perennial.live.journal.receipt import WRITTEN, Limits, Receipt, Stats
from perennial.live.journal.store import Store

STOPPED = "the journal's writer has stopped"


class _Put(NamedTuple):
    entries: Sequence[Entry]
    bytes: int
    future: asyncio.Future[Receipt]
    since: float


class _Waiting(NamedTuple):
    future: asyncio.Future[Receipt]
    rows: int
    until: float


class Writer:
    """Puts of one event loop, written by one thread.

    While a group is on its way to disk the next one gathers. A group that cannot be written is answered as such and
    kept, within the limits, until the store can be written again; in the meantime puts are answered at once.
    """

    def __init__(
        self, store: Store, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._limits = limits or Limits()
        self._clock = clock
        self._puts: deque[_Put] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._gathering = Gathering(lambda: self._bell.put(None))
        self._thread = threading.Thread(target=self._run, name=f"journal {store.system}", daemon=True)
        self._stopping = threading.Event()
        self._asked: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._down = self._last_error = ""
        self._since: float | None = None
        # Each counter has one writing thread: those of the first line the event loop's, all others the writer's.
        self._in = self._in_bytes = self._refused = self._unconfirmed = 0
        self._out = self._out_bytes = self._written = self._new = self._late = self._lost = 0
        self._groups = self._failed = 0

    def start(self) -> None:
        """Start the thread; once."""
        self._thread.start()

    def put(self, entries: Sequence[Entry]) -> asyncio.Future[Receipt]:
        """Hand in the rows of one answer, from the event loop; the future never raises and never waits for ever.

        Its receipt comes when the rows are on disk, or is `written=False` at the latest after `max_wait_s`.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Receipt] = loop.create_future()
        rows, size = len(entries), sum(entry.bytes for entry in entries)
        refusal = self._refusal(rows, size)
        if refusal:
            self._refused += rows
            self._unconfirmed += rows
            future.set_result(Receipt(False, refusal))
            return future
        now = self._clock()
        self._in += rows
        self._in_bytes += size
        if self._down:
            self._unconfirmed += rows
            future.set_result(Receipt(False, self._down))
        else:
            self._await(loop, _Waiting(future, rows, now + self._limits.max_wait_s))
        self._puts.append(_Put(entries, size, future, now))
        self._gathering.came(loop)
        return future

    def stop(self) -> None:
        """Write what waits, then end the thread and close the store; blocks, so call it in a thread of its own.

        A group that fails now is not tried again: its rows and those behind it are counted as lost. Takes no longer
        than three times `max_wait_s`, even if the disk says nothing.
        """
        self._stopping.set()
        self._bell.put(None)
        self._thread.join(3 * self._limits.max_wait_s)

    @property
    def stats(self) -> Stats:
        """What was done so far."""
        since = self._since
        return Stats(
            rows_written=self._new,
            rows_repeated=self._written - self._new,
            rows_late=self._late,
            rows_lost=self._refused + self._lost,
            rows_unconfirmed=self._unconfirmed,
            rows_waiting=self._in - self._out,
            groups=self._groups,
            groups_failed=self._failed,
            lag_s=0.0 if since is None else max(0.0, self._clock() - since),
            down=self._down,
            last_error=self._last_error,
        )

    # The event loop's side.

    def _refusal(self, rows: int, size: int) -> str:
        if self._stopping.is_set() or not self._thread.is_alive():
            return self._down or STOPPED
        limits = self._limits
        full = (
            self._in - self._out + rows > limits.rows
            or self._in_bytes - self._out_bytes + size > limits.bytes
        )
        return f"too much waits for the journal{f': {self._down}' if self._down else ''}" if full else ""

    def _await(self, loop: asyncio.AbstractEventLoop, asked: _Waiting) -> None:
        while self._asked and self._asked[0].future.done():
            self._asked.popleft()
        self._asked.append(asked)
        if self._timer is None:
            self._timer = loop.call_later(self._limits.max_wait_s, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer the puts whose time is over; the timer goes on while others wait."""
        self._timer, now = None, self._clock()
        while self._asked and (self._asked[0].future.done() or self._asked[0].until <= now):
            asked = self._asked.popleft()
            if not asked.future.done():
                self._unconfirmed += asked.rows
                # Who comes next does not wait for the same silence; the next group that is written ends it.
                self._down = self._down or f"the journal did not confirm within {self._limits.max_wait_s:g} s"
                asked.future.set_result(Receipt(False, self._down))
        if self._asked:
            self._timer = loop.call_later(max(0.001, self._asked[0].until - now), self._expire, loop)

    def _resolve(self, puts: Sequence[_Put], receipt: Receipt) -> None:
        for put in puts:
            if not put.future.done():
                if not receipt.written:
                    self._unconfirmed += len(put.entries)
                put.future.set_result(receipt)

    # The thread's side.

    def _run(self) -> None:
        try:
            self._write_all()
        except BaseException as error:
            self._down = self._last_error = f"the journal's writer failed: {error!r}"
            raise
        finally:
            self._store.close()

    def _write_all(self) -> None:
        waiting: deque[_Put] = deque()
        pause = self._limits.retry_s
        while self._gather(waiting):
            group = self._group(waiting)
            self._since = group[0].since
            reason = self._attempt(group)
            if not reason:
                pause = self._limits.retry_s
                self._down, self._since = "", None
                continue
            waiting.extendleft(reversed(group))
            self._down = self._last_error = reason
            self._gather(waiting)
            self._answer(waiting, Receipt(False, reason))
            if self._stopping.is_set():
                self._give_up(waiting)
                return
            self._stopping.wait(pause)
            pause = min(2 * pause, self._limits.max_wait_s)

    def _gather(self, waiting: deque[_Put]) -> bool:
        """Add what came in the meantime, waiting for it where nothing is there; False at the end of all."""
        while True:
            if not waiting and not self._stopping.is_set():
                self._bell.get()
            while self._puts:
                waiting.append(self._puts.popleft())
            if waiting or self._stopping.is_set():
                return bool(waiting)

    def _group(self, waiting: deque[_Put]) -> list[_Put]:
        group = [waiting.popleft()]
        rows = len(group[0].entries)
        while waiting and rows + len(waiting[0].entries) <= self._limits.group_rows:
            rows += len(waiting[0].entries)
            group.append(waiting.popleft())
        return group

    def _attempt(self, group: list[_Put]) -> str:
        """Write a group; returns why it failed, or "" when nothing of it is left to write."""
        entries = [entry for put in group for entry in put.entries]
        try:
            new = self._store.insert(entries)
        except JournalError as error:
            self._failed += 1
            if error.passing:
                return str(error)
            self._last_error = str(error)
            if len(group) > 1:
                return self._attempt_apart(group)
            self._finish(group, len(entries))
            self._lost += len(entries)
            self._answer(group, Receipt(False, str(error)))
            return ""
        self._groups += 1
        self._new += new
        self._written += len(entries)
        self._late += sum(len(p.entries) for p in group if p.future.done() and not p.future.cancelled())
        self._finish(group, len(entries))
        self._answer(group, WRITTEN)
        return ""

    def _attempt_apart(self, group: list[_Put]) -> str:
        """Write puts one by one, since one of them cannot be written whatever happens; leaves the rest in `group`."""
        while group:
            reason = self._attempt(group[:1])
            if reason:
                return reason
            del group[0]
        return ""

    def _finish(self, group: Sequence[_Put], rows: int) -> None:
        self._out += rows
        self._out_bytes += sum(put.bytes for put in group)

    def _give_up(self, waiting: Sequence[_Put]) -> None:
        rows = sum(len(put.entries) for put in waiting)
        self._lost += rows
        self._finish(waiting, rows)

    def _answer(self, puts: Sequence[_Put], receipt: Receipt) -> None:
        """Have the event loop answer puts; where the loop is closed nobody waits any more."""
        loop = puts[0].future.get_loop()
        try:
            loop.call_soon_threadsafe(self._resolve, tuple(puts), receipt)
        except RuntimeError:
            if not loop.is_closed():
                raise
