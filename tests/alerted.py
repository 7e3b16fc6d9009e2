"""What the tests of incidents and alerts share."""

from __future__ import annotations

import http.server
import json
import multiprocessing
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from perennial.config import Alerts
from perennial.live import alert

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "T0K3N-that-nobody-may-see"
FORK = multiprocessing.get_context("fork")
TROUBLE = ("used_cars", "collection", "contract", "cars.price: `css: .prix` < found & nothing")


def after(**span: float) -> datetime:
    return NOON + timedelta(**span)


@dataclass
class Hook:
    """A webhook on localhost that keeps what it got; `status` is its answer, `on_message` runs before it."""

    port: int = 0
    status: int = 200
    got: list[dict[str, Any]] = field(default_factory=list)
    on_message: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/{SECRET}"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.got]


def to(*names: str) -> Alerts:
    return Alerts(to=tuple(f"env:{name}" for name in names))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / alert.LINES).read_text().splitlines()]


def killed(work: Callable[[Path], None], folder: Path) -> None:
    """Runs `work` in a process that has to die of SIGKILL."""
    process = FORK.Process(target=work, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    found = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == f"/{SECRET}"
            found.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            found.on_message()
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("TEST_HOOK", found.url)
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An address in TEST_SILENT whose host takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv(
            "TEST_SILENT", f"json://127.0.0.1:{server.getsockname()[1]}/{SECRET}?rto=60&cto=60"
        )
        yield


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The mails that an SMTP server at the address in TEST_MAIL got."""
    got: list[Any] = []

    class Inbox:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            got.append(message_from_bytes(envelope.content, policy=policy.default))
            return "250 OK"

    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    controller = Controller(Inbox(), hostname="127.0.0.1", port=port)
    controller.start()
    monkeypatch.setenv(
        "TEST_MAIL", f"mailto://127.0.0.1:{port}/?from=loop@cars.example&to=team@cars.example&mode=insecure"
    )
    yield got
    controller.stop()
