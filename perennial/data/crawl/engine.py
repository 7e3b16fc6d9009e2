"""Keeps as many requests under way as hosts may be asked, and settles every answer in a thread of its own.

One thread settles about 200 pages of 100 KB in a second, far more than any host is asked politely. Worker
processes were no faster on two cores (`python -m benchmarks collect`), and would outlive a killed parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

from perennial.config_web import Feed, PagesWalk, WebSource
from perennial.data.answer import Answer, Asker, Request
from perennial.data.crawl.frontier import Frontier
from perennial.data.crawl.reading import Reader, Reading
from perennial.data.crawl.requests import Ask, Came, Known, Run
from perennial.data.crawl.walk import Ahead, Found, after, after_refusal
from perennial.errors import FetchError, StoreError

BATCH = 64  # requests that are taken from the frontier at once
AHEAD = 2  # requests that wait for their host's turn, so that it never waits for us
TICK_S = 0.2
STATUS = re.compile(r": status (\d{3})\b")  # as `perennial.data.fetch` writes it
logger = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Advance:
    """How far a run has come: requests settled (failed ones included) and known, rows, bytes as they were sent.

    `pages_per_s` is the mean over this call, `waiting` says why requests to a host wait, by host.
    """

    settled: int
    known: int
    rows: int
    sent_bytes: int
    pages_per_s: float
    waiting: Mapping[str, str]


Progress = Callable[[Advance], None]


def most_requests(feed: Feed) -> int | None:
    """The requests after which a walk of the feed is stopped as endless; None for walks that cannot be."""
    return feed.walk.most_pages if isinstance(feed.walk, PagesWalk) else None


class Engine:
    """Works off the requests of one run."""

    def __init__(
        self, source: WebSource, frontier: Frontier, run: Run, reader: Reader, progress: Progress | None
    ) -> None:
        self._source, self._frontier, self._run, self._reader = source, frontier, run, reader
        self._thread = ThreadPoolExecutor(1, "answers")
        self._totals = frontier.totals(run)
        self._pending = {name: frontier.pending(run, name) for name in source.feeds}
        self._taken: dict[str, deque[Ask]] = {name: deque() for name in source.feeds}
        self._progress = progress

    def close(self) -> None:
        """Waits for the answer that is just being settled."""
        self._thread.shutdown(cancel_futures=True)

    async def ask_all(self, asker: Asker, headers: Mapping[str, Mapping[str, str]]) -> None:
        """Asks until nothing is pending. `headers` are those of every feed."""
        most = self._source.pace.at_once + AHEAD
        under_way: dict[asyncio.Task[None], str] = {}
        room = dict.fromkeys(self._source.feeds, most)
        async with self._telling(asker):
            try:
                while True:
                    for feed in room:
                        while room[feed] and (ask := await self._next(feed)):
                            task = asyncio.create_task(self._ask(ask, asker, headers[feed]))
                            under_way[task] = feed
                            room[feed] -= 1
                    if not under_way:
                        return
                    done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        room[under_way.pop(task)] += 1
                        task.result()
            finally:
                for task in under_way:
                    task.cancel()
                await asyncio.gather(*under_way, return_exceptions=True)

    async def read_again(self, feed: str) -> None:
        """Reads the stored answers of a feed once more, by the rules of today."""
        async with self._telling(None):
            for request in await self._aside(self._frontier.answered, self._run, feed):
                await self._aside(self._reread, request, feed)

    async def _next(self, feed: str) -> Ask | None:
        if not self._taken[feed] and self._pending[feed]:
            self._taken[feed].extend(await self._aside(self._take, feed))
        return self._taken[feed].popleft() if self._taken[feed] else None

    async def _ask(self, ask: Ask, asker: Asker, headers: Mapping[str, str]) -> None:
        known = ask.known
        try:
            robots = self._source.feeds[ask.feed].robots
            answer = await asker.get(Request(ask.step.url, headers, known.etag, known.last_modified, robots))
        except FetchError as error:
            await self._aside(self._failed, ask, error)
        else:
            await self._aside(self._settle, ask, answer)

    async def _aside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work`, done in the one thread that uses frontier and raw store."""
        call = functools.partial(work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _take(self, feed: str) -> list[Ask]:
        taken = self._frontier.take(self._run, feed, BATCH)
        self._pending[feed] = self._pending[feed] - BATCH if len(taken) == BATCH else 0
        return taken

    def _settle(self, ask: Ask, answer: Answer) -> None:
        """Stores, reads and remembers an answer."""
        known = ask.known
        if answer.status == 304:
            kind = known.content_type
            body = self._stored(ask)
            if body is None:
                return
            reading = self._reader.read(ask.feed, known.digest, body, kind, answer.final_url)
            kept = known
        else:
            kind, kept = answer.headers.get("content-type", ""), Known()
            reading = self._reader.store_and_read(ask.feed, answer.body, kind, answer.final_url)
        came = Came(
            final_url=answer.final_url,
            content_type=kind,
            received_at=answer.received_at,
            seconds=answer.seconds,
            sent_bytes=answer.sent_bytes,
            saved_bytes=kept.sent_bytes,
            unchanged=reading.digest == known.digest,
            etag=answer.headers.get("etag", kept.etag),
            last_modified=answer.headers.get("last-modified", kept.last_modified),
        )
        rows = self._keep(ask, came, reading)
        self._count(settled=1, rows=rows, sent_bytes=came.sent_bytes)

    def _reread(self, request: int, feed: str) -> None:
        ask = self._frontier.stored(request, feed)
        body = self._stored(ask)
        if body is not None:
            known = ask.known
            reading = self._reader.read(feed, known.digest, body, known.content_type, known.final_url)
            self._keep(ask, None, reading)

    def _stored(self, ask: Ask) -> bytes | None:
        """The stored answer; where it is missing or damaged the request is put back and None returned."""
        try:
            return self._reader.raw.get(ask.known.digest)
        except StoreError as error:
            logger.warning("%s; %s is asked again", error, ask.step.url)
            self._frontier.ask_again(ask)
            self._pending[ask.feed] += 1
            return None

    def _keep(self, ask: Ask, came: Came | None, reading: Reading) -> int:
        feed = self._source.feeds[ask.feed]
        final_url = came.final_url if came else ask.known.final_url
        found = Found(reading.elements, reading.content, reading.links, final_url)
        ahead = Ahead() if reading.outcome else after(ask.step, found, feed, self._source.base_url)
        new, rows = self._frontier.keep(self._run, ask, came, reading, ahead, most_requests(feed))
        self._found(ask.feed, new)
        return rows

    def _failed(self, ask: Ask, error: FetchError) -> None:
        feed = self._source.feeds[ask.feed]
        ahead = after_refusal(ask.step, status_of(error), feed, self._source.base_url)
        if ahead is None:
            self._frontier.fail(ask, str(error.outcome), str(error), error.transient)
        else:
            outcome = "split" if ahead.rows == "split" else "past_end"
            most = most_requests(feed)
            self._found(ask.feed, self._frontier.refused(self._run, ask, outcome, str(error), ahead, most))
        self._count(settled=1)

    def _found(self, feed: str, new: int) -> None:
        self._pending[feed] += new
        self._count(known=new)

    def _count(self, **more: int) -> None:
        changed = {name: getattr(self._totals, name) + count for name, count in more.items()}
        self._totals = replace(self._totals, **changed)

    @contextlib.asynccontextmanager
    async def _telling(self, asker: object) -> AsyncIterator[None]:
        """Calls the progress function while something goes on, and once at its end."""
        if (progress := self._progress) is None:
            yield
            return
        clock = asyncio.get_running_loop().time
        started, before = clock(), self._totals.settled
        waiting = getattr(asker, "waiting", dict)

        def tell() -> None:
            t = self._totals
            pages_per_s = (t.settled - before) / max(clock() - started, 1e-3)
            progress(Advance(t.settled, t.known, t.rows, t.sent_bytes, pages_per_s, waiting()))

        async def tick() -> None:
            while True:
                tell()
                await asyncio.sleep(TICK_S)

        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
            tell()


def status_of(error: FetchError) -> int:
    """The HTTP status that an error tells of; 0 where it tells of none.

    >>> status_of(FetchError("http://a.example/", "bad_status", "bad_status: status 413", "look"))
    413
    """
    found = STATUS.search(error.found)
    return int(found[1]) if found else 0
