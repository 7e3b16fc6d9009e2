"""Real HTTP servers on 127.0.0.1 for the tests of fetching: they count what arrives, and answer as they are told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import monotonic
from typing import Any

from aiohttp import web

from perennial.config_web import WebSource
from perennial.data.answer import Answer, Request
from perennial.data.fetch.fetcher import Fetcher
from perennial.data.fetch.hosts import BriefHostMemory, HostMemory
from perennial.errors import FetchError

OFF = {"robots": False, "requests_per_s": 0, "retries": 0, "backoff_s": 0.01}
FEED = {
    "walk": {"kind": "once", "urls": ["/"]},
    "read": {"kind": "json"},
    "fields": {"a": {"path": "a"}},
    "key": ["a"],
}
NOON = datetime(2030, 5, 6, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def move(self, **delta: float) -> None:
        self.now += timedelta(**delta)


@dataclass
class Host:
    """A server, and everything that reached it."""

    url: str
    requests: list[tuple[float, str, Mapping[str, str]]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.requests]

    @property
    def gaps(self) -> list[float]:
        times = [time for time, _, _ in self.requests]
        return [b - a for a, b in pairwise(times)]


Handler = Callable[[web.Request], web.StreamResponse | Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Host]:
    """An aiohttp server whose every request is answered by `handler`."""
    host = Host("")

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        host.requests.append((monotonic(), request.path_qs, dict(request.headers)))
        reply = handler(request)  # type: ignore[arg-type]
        return await reply if isinstance(reply, Awaitable) else reply

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield host
    finally:
        await runner.cleanup()


@asynccontextmanager
async def saying(*pieces: bytes, then: str = "close") -> AsyncIterator[Host]:
    """A server that writes these bytes piece by piece to whoever asks; then closes, resets or hangs."""
    host = Host("")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(65_536)
            host.requests.append((monotonic(), "", {}))
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            if then == "hang":
                await reader.read()
            if then == "reset":
                linger = struct.pack("ii", 1, 0)  # closing sends RST
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        except (ConnectionError, asyncio.CancelledError):
            return  # the client has left, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield host
    finally:
        server.close()


def source(base_url: str, **sections: Any) -> WebSource:
    """A web source that asks `base_url`; without politeness unless `pace` says otherwise."""
    pace = {**OFF, **sections.pop("pace", {})}
    return WebSource.model_validate(
        {"kind": "web", "base_url": base_url, "feeds": {"f": FEED}, **sections, "pace": pace}
    )


def fetching(
    base_url: str,
    clock: Callable[[], datetime] | None = None,
    memory: HostMemory | None = None,
    **sections: Any,
) -> Fetcher:
    """A fetcher for that source."""
    return Fetcher(source(base_url, **sections), clock or Clock(), memory or BriefHostMemory())


async def ended(asked: Coroutine[Any, Any, Answer]) -> str:
    """The outcome of a request that has no answer, or the status of one that has."""
    try:
        return str((await asked).status)
    except FetchError as error:
        return str(error.outcome)


async def once(url: str, base_url: str = "", **sections: Any) -> str:
    """How one request by a fetcher of its own ends."""
    async with fetching(base_url or url, **sections) as fetcher:
        return await ended(fetcher.get(Request(url)))
