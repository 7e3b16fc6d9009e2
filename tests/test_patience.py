"""Who sends in drops loses the connection; who waits, for an answer or between two requests, does not."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bento import patience
from bento.patience import Patience
from bento.process import ROOT

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
SLOWER_THAN_PATIENCE_S = 1.0


class OnH11(Patience, H11Protocol):
    """What a service without httptools speaks."""


class OnHttptools(Patience, HttpToolsProtocol):
    """What a service with httptools speaks."""


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """An application that takes its time once it has the whole body."""
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    if message["type"] == "http.disconnect":
        return
    await asyncio.sleep(SLOWER_THAN_PATIENCE_S)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.asynccontextmanager
async def serving(protocol: Any) -> AsyncIterator[int]:
    config = uvicorn.Config(
        slow, port=0, http=protocol, lifespan="off", log_config=None, timeout_keep_alive=30
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


Caller = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    return await reader.read(100)


async def half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(HEAD[:20])
    return await reader.read(100)


async def half_a_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(HEAD + b"12")
    return await reader.read(100)


async def body_in_drops(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(HEAD.replace(b" 4", b" 999"))
    with contextlib.suppress(OSError):
        for _ in range(50):
            writer.write(b"x")
            await asyncio.sleep(0.1)
    return await reader.read(100)


async def half_a_head_behind_an_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    await whole(reader, writer)
    writer.write(HEAD[:20])
    return await reader.read(100)


async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(HEAD + b"1234")
    return (await reader.readuntil(b"\r\n\r\nok"))[:15]


async def large_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    size = 3 * patience.MOST_BESIDE_BYTES
    writer.write(HEAD.replace(b" 4", f" {size}".encode()) + b"x" * size)
    return (await reader.readuntil(b"\r\n\r\nok"))[:15]


async def idle_between_two(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    await whole(reader, writer)
    await asyncio.sleep(SLOWER_THAN_PATIENCE_S)
    return await whole(reader, writer)


async def endless(writer: asyncio.StreamWriter, begun: bytes) -> bytes:
    """What a server says to a request that goes on and on."""
    writer.write(begun)
    sent = 0
    while sent < 20 * patience.MOST_BESIDE_BYTES:
        writer.write(b"y" * 65_536)
        sent += 65_536
        await writer.drain()
    raise AssertionError("expected the server to close the connection")


async def endless_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    return await endless(writer, b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")


async def endless_address(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    return await endless(writer, b"GET /")


async def endless_trailer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    return await endless(
        writer, HEAD.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked") + b"0\r\nX: "
    )


async def endless_header_behind_an_answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes:
    await whole(reader, writer)
    return await endless_header(reader, writer)


CUT, ANSWERED = b"", b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("protocol", [OnH11, OnHttptools])
def test_who_is_cut_and_who_is_not(protocol: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.4)
    callers: dict[Caller, bytes] = {
        silent: CUT, half_a_head: CUT, half_a_body: CUT, body_in_drops: CUT,
        half_a_head_behind_an_answer: CUT, endless_header: CUT, endless_address: CUT, endless_trailer: CUT,
        endless_header_behind_an_answer: CUT, whole: ANSWERED, idle_between_two: ANSWERED, large_body: ANSWERED,
    }  # fmt: skip

    async def call(port: int, caller: Caller) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await asyncio.wait_for(caller(reader, writer), 20)
        except ConnectionError:
            return CUT
        finally:
            writer.close()

    async def call_all() -> list[bytes]:
        async with serving(protocol) as port:
            return await asyncio.gather(*(call(port, caller) for caller in callers))

    assert asyncio.run(call_all()) == list(callers.values())


def test_a_process_holds_as_many_files_as_it_may() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    code = (
        "import resource; from bento.patience import hold_many; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (128, {hard})); hold_many(); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(told.stdout) == min(hard, patience.MOST_FILES)
