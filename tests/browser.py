"""Headless Chromium, driven by the DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import websocket

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_S = 60
QUIET = ("background-networking", "component-update", "sync", "gpu", "quic", "extensions", "dev-shm-usage")


class Page:
    """One open page."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket
        self._calls = 0
        self.thrown: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to a method of the protocol."""
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("method") == "Runtime.exceptionThrown":
                self.thrown.append(message["params"]["exceptionDetails"]["text"])
            if message.get("id") == self._calls:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found

    def run(self, script: str) -> Any:
        """The value of an expression."""
        return self.call("Runtime.evaluate", expression=script, awaitPromise=True)["result"].get("value")

    def text(self) -> str:
        """All text that is to be seen."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def visit(
        self, url: str, *wanted: str, width: int = 1400, height: int = 1600, scheme: str = "light"
    ) -> str:
        """The page's text once it holds all that is wanted; fails where it never does."""
        self.call("Runtime.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=url)
        return self.await_text(*wanted)

    def await_text(self, *wanted: str) -> str:
        """The page's text once it holds all that is wanted; fails where it never does."""
        deadline, text = time.monotonic() + PATIENCE_S, ""
        while time.monotonic() < deadline:
            text = self.text()
            if all(word in text for word in wanted):
                return text
            time.sleep(0.2)
        missing = [word for word in wanted if word not in text]
        raise AssertionError(f"{missing} never came; the page says:\n{text}")

    def click(self, label: str) -> None:
        """Presses the button or link of that text, as a mouse would; waits until it is there."""
        place = self._awaited(
            "(() => { const found = [...document.querySelectorAll('button, a')].filter("
            f"e => e.innerText.trim() === {json.dumps(label)} && e.offsetParent)[0]; if (!found) return null;"
            "found.scrollIntoView({block: 'center'}); const r = found.getBoundingClientRect();"
            "return JSON.stringify([r.x + r.width / 2, r.y + r.height / 2]) })()",
            label,
        )
        self._press(*json.loads(place))

    def fill(self, label: str, text: str) -> None:
        """Writes a text over what stands in the field of that label; waits until it is there."""
        self._awaited(
            f"(() => {{ const found = document.querySelector('[aria-label={json.dumps(label)}]');"
            "if (!found) return null; found.scrollIntoView({block: 'center'}); found.focus(); found.select();"
            "return 'found' })()",
            label,
        )
        self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Tab", windowsVirtualKeyCode=9)

    def _awaited(self, script: str, what: str) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if found := self.run(script):
                return str(found)
            time.sleep(0.2)
        raise AssertionError(f"{what!r} never came; the page says:\n{self.text()}")

    def _press(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path: Path) -> Path:
        """A PNG of what the window shows."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
        return path


@contextmanager
def browsing(profile: Path) -> Iterator[Page]:
    """A page of a browser of its own, which keeps its profile in a folder and ends with the block."""
    switches = [f"--disable-{name}" for name in QUIET]
    process = subprocess.Popen(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--no-first-run", "--remote-debugging-port=0"),
            *(f"--user-data-dir={profile}", *switches, "about:blank"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        port = _port(profile / "DevToolsActivePort")
        with urlopen(Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")) as answer:
            address = json.load(answer)["webSocketDebuggerUrl"]
        socket = websocket.create_connection(address, timeout=PATIENCE_S, suppress_origin=True)
        try:
            yield Page(socket)
        finally:
            socket.close()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _port(file: Path) -> int:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if file.exists() and (lines := file.read_text().split()):
            return int(lines[0])
        time.sleep(0.05)
    raise AssertionError("Chromium named no port")
