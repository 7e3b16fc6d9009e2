"""ZenML's dashboard as a user sees it: in a browser, on the runs of this folder, and gone when it is stopped."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.project import ROOT, Project
from tests.ready_homes import Homes

pytestmark = pytest.mark.slow

CHROMIUM = Path("/usr/bin/chromium")
STEPS = (
    "collect",
    "check",
    "split",
    "search",
    "fit",
    "evaluate",
    "package",
    "judge",
    "promote",
    "report",
    "track",
)
LISTEN = "0A"
PATIENCE_S = 60

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}")


def free_port(first: int = 8302) -> int:
    """The first port from `first` on that nothing listens on."""
    for port in range(first, first + 200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no free port")


def eventually(found: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """What `found` returns once it is true; fails the test where it never is."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.1)
    raise AssertionError(f"{what} never came")


def processes_of(session: int) -> list[str]:
    """The command lines of all processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_session) == session and state != "Z":
            found.append(line)
    return found


def listeners(port: int) -> set[str]:
    """The addresses, as /proc/net writes them, that a port is listened on at."""
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {
        row[1].split(":")[0] for row in rows if row[3] == LISTEN and int(row[1].split(":")[1], 16) == port
    }


@dataclass(frozen=True)
class Dashboard:
    """A running `run.py dashboard`, in a session of its own."""

    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def dashboard(project: Project, wait: bool = True) -> Iterator[Dashboard]:
    """The dashboard of a project, ready or (without `wait`) just started; killed with all its children."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "run.py", "dashboard", "--no-browser", "--port", str(port)],
        cwd=ROOT,
        env=project.environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        if wait:
            assert process.stdout is not None
            assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        yield Dashboard(port, process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


class Page:
    """A page in headless Chromium, by the DevTools protocol."""

    def __init__(self, port: int) -> None:
        self.port = port

    def visit(self, url: str, wanted: tuple[str, ...]) -> str:
        """The text of the page, once it holds all that is wanted; fails where it never does."""
        return asyncio.run(self._visit(url, wanted))

    async def _visit(self, url: str, wanted: tuple[str, ...]) -> str:
        async with aiohttp.ClientSession() as session:
            async with session.put(f"http://127.0.0.1:{self.port}/json/new?{url}") as answer:
                target = await answer.json()
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as page:
                deadline, text = time.monotonic() + PATIENCE_S, ""
                while time.monotonic() < deadline:
                    text = await self._evaluate(page, "document.body ? document.body.innerText : ''")
                    if all(word in text for word in wanted):
                        return text
                    await asyncio.sleep(0.3)
        missing = [word for word in wanted if word not in text]
        raise AssertionError(f"{url}: {missing} never came; the page says:\n{text}")

    async def _evaluate(self, page: aiohttp.ClientWebSocketResponse, expression: str) -> str:
        await page.send_json({"id": 1, "method": "Runtime.evaluate", "params": {"expression": expression}})
        while True:
            message = json.loads((await page.receive(timeout=PATIENCE_S)).data)
            if message.get("id") == 1:
                return str(message["result"]["result"].get("value", ""))


@pytest.fixture(scope="module")
def project(homes: Homes, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return homes.trained(tmp_path_factory.mktemp("home"))[0]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    profile = tmp_path_factory.mktemp("chromium")
    quiet = (
        "background-networking",
        "component-update",
        "sync",
        "gpu",
        "quic",
        "extensions",
        "dev-shm-usage",
    )
    process = subprocess.Popen(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--no-first-run",
            "--window-size=1600,1200",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            *(f"--disable-{name}" for name in quiet),
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        active = profile / "DevToolsActivePort"
        port = eventually(lambda: active.exists() and active.read_text().split()[:1], "Chromium's port")[0]
        yield Page(int(port))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_of(project: Project) -> tuple[str, str]:
    """Id and name of the newest run."""
    database = project.home / "stacks/local/zenml/local_stores/default_zen_store/zenml.db"
    with sqlite3.connect(database) as store:
        row = store.execute("select id, name from pipeline_run order by created desc").fetchone()
    return f"{row[0][:8]}-{row[0][8:12]}-{row[0][12:16]}-{row[0][16:20]}-{row[0][20:]}", row[1]


@needs_chromium
def test_a_browser_shows_the_run_and_its_steps_and_the_end_leaves_no_process(
    project: Project, page: Page
) -> None:
    run_id, run_name = run_of(project)
    with dashboard(project) as served:
        assert listeners(served.port) == {"0100007F"}, "expected loopback, and nothing else"
        runs = page.visit(f"{served.url}/projects/default/runs", (run_name, "training"))
        first = page.visit(served.url, ("Welcome back",))
        for text in (runs, first):
            assert not re.search(r"(?i)your e-?mail|how will you use|get started with zenml", text), text
        steps = page.visit(f"{served.url}/projects/default/runs/{run_id}", STEPS)
        assert run_name in steps
        session = served.process.pid
        assert len(processes_of(session)) >= 2
        served.process.send_signal(signal.SIGTERM)
        rest = served.process.communicate(timeout=PATIENCE_S)[0]
        assert served.process.returncode == 0 and "Traceback" not in rest, rest
        assert processes_of(session) == []
        assert listeners(served.port) == set()


@pytest.mark.torture
def test_control_c_ends_it_with_all_its_processes(project: Project) -> None:
    with dashboard(project) as served:
        with urllib.request.urlopen(f"{served.url}/health", timeout=10) as answer:
            assert answer.status == 200
        other = project.run("dashboard", "--no-browser", "--port", str(served.port), code=2)
        assert f"expected port {served.port} to be free" in other and other.count("\n") == 1
        os.killpg(served.process.pid, signal.SIGINT)
        rest = served.process.communicate(timeout=PATIENCE_S)[0]
        assert served.process.returncode == 0 and "Traceback" not in rest, rest
        assert processes_of(served.process.pid) == []


@pytest.mark.torture
def test_a_stop_before_it_is_up_leaves_nothing_behind_either(project: Project) -> None:
    with dashboard(project, wait=False) as served:
        eventually(lambda: len(processes_of(served.process.pid)) > 1, "the server's process")
        served.process.send_signal(signal.SIGTERM)
        rest = served.process.communicate(timeout=PATIENCE_S)[0]
        assert served.process.returncode == 0 and "Traceback" not in rest, rest
        assert processes_of(served.process.pid) == []


@pytest.mark.torture
def test_training_goes_on_while_it_is_open(project: Project) -> None:
    with dashboard(project) as served:
        assert "already serving" in project.train()
        name = run_of(project)[1]
        with urllib.request.urlopen(
            f"{served.url}/api/v1/runs?size=1&sort_by=desc:created", timeout=20
        ) as answer:
            assert json.load(answer)["items"][0]["name"] == name
