"""Workers that share a listening socket, with real sockets."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from certificates import made

from bento import listening
from bento.listening import Listener
from bento.process import ROOT, free_port, service_environment, started
from perennial.live.sign import PUBLIC, key_pair
from tests.edge_site import post, until
from tests.releases import build, promote

ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}


class Greeter(asyncio.Protocol):
    """Counts its connections, and greets each."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._seen.append("connection")
        transport.write(b"hello")  # type: ignore[attr-defined]


@contextmanager
def shared(callers: int) -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    """A listening socket and so many connections that wait for it."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as one:
        waiting = [socket.create_connection(one.getsockname(), timeout=5) for _ in range(callers)]
        try:
            yield one, waiting
        finally:
            for caller in waiting:
                caller.close()


async def taken(seen: list[list[str]], count: int) -> None:
    """Returns when so many connections were taken."""
    async with asyncio.timeout(10):
        while sum(map(len, seen)) < count:
            await asyncio.sleep(0.001)


def test_two_workers_share_a_burst() -> None:
    seen: list[list[str]] = [[], []]

    async def scenario(one: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with one.dup() as other:
            listeners = [
                Listener(s, lambda own=own: Greeter(own), None, loop)
                for s, own in zip((one, other), seen, strict=True)
            ]
            await taken(seen, 16)
            for listener in listeners:
                listener.close()

    with shared(16) as (one, waiting):
        asyncio.run(scenario(one))
        assert [caller.recv(5) for caller in waiting] == [b"hello"] * 16
    assert [len(own) for own in seen] == [8, 8]


def test_who_has_closed_takes_no_more() -> None:
    seen: list[list[str]] = [[]]

    async def scenario(one: socket.socket) -> None:
        listener = Listener(one, lambda: Greeter(seen[0]), None, asyncio.get_running_loop())
        await taken(seen, 1)
        listener.close()
        await asyncio.sleep(20 * listening.HEAD_START_S)

    with shared(3) as (one, _):
        asyncio.run(scenario(one))
    assert len(seen[0]) == 1


def test_a_process_out_of_file_handles_goes_on_when_it_has_some(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "PAUSE_S", 0.05)
    seen: list[list[str]] = [[]]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def scenario(one: socket.socket) -> None:
        listener = Listener(one, lambda: Greeter(seen[0]), None, asyncio.get_running_loop())
        next_one = os.dup(one.fileno())
        os.close(next_one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_one, hard))
        await asyncio.sleep(0.2)
        assert not seen[0]
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await taken(seen, 2)
        listener.close()

    try:
        with shared(2) as (one, _):
            asyncio.run(scenario(one))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "no connection can be taken" in caplog.text


def test_a_caller_that_speaks_no_tls_ends_alone(tmp_path: Path) -> None:
    files = made(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    trusting = ssl.create_default_context(cafile=str(files.authority))
    seen: list[list[str]] = [[]]

    async def scenario(one: socket.socket) -> bytes:
        listener = Listener(one, lambda: Greeter(seen[0]), context, asyncio.get_running_loop())
        address = one.getsockname()
        plain, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionError):
            await plain.read()
        reader, writer = await asyncio.open_connection(*address, ssl=trusting, server_hostname="localhost")
        greeting = await reader.readexactly(5)
        writer.close()
        listener.close()
        return greeting

    with shared(0) as (one, _):
        assert asyncio.run(scenario(one)) == b"hello"


@pytest.mark.parametrize(("settings", "server"), [("", "Server"), ("services.perennial.workers=2", "Evenly")])
def test_several_workers_listen_so_and_one_does_not(settings: str, server: str) -> None:
    code = "import uvicorn; from bento.service import Predictor; Predictor.to_asgi(); print(uvicorn.Server.__name__)"
    usual = {name: value for name, value in os.environ.items() if name != "BENTOML_CONFIG_OPTIONS"}
    own = {"BENTOML_CONFIG_OPTIONS": settings} if settings else {}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**usual, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == [server], done.stderr


def test_both_workers_of_a_service_get_connections(tmp_path: Path) -> None:
    key = key_pair(tmp_path / "keys")
    releases = tmp_path / "releases"
    promote(releases, key, build(releases, key, "prices", 1.0))
    environment = service_environment(
        releases, "prices", tmp_path / "keys" / PUBLIC, workers=2, root=tmp_path
    )
    port = free_port()
    with started(environment, port) as served:
        workers = [
            one for one in psutil.Process(served.process.pid).children() if one.memory_info().rss > 2**26
        ]

        def held() -> list[int]:
            both = [[c for c in one.net_connections() if c.status == "ESTABLISHED"] for one in workers]
            return [sum(c.laddr.port == port for c in own) for own in both]

        def shares() -> list[int]:
            """How many of 40 connections that come together each worker gets."""
            until(lambda: sum(held()) == 0)
            burst = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
            until(lambda: sum(held()) == 40)
            found = held()
            for one in burst:
                one.close()
            return found

        assert len(workers) == 2
        until(lambda: min(shares()) > 0)  # the second worker may start after the first
        assert post(served.url + "/predict", {"rows": [ROW]})[0] == 200
