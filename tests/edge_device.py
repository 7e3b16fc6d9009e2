"""A real agent in a process of its own, for the tests of forecasts on a device."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_site import until

from bento.process import free_port

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Running:
    """An agent that answers at `url`."""

    url: str
    process: subprocess.Popen[bytes]

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON body of a POST, refusals included; raises OSError where nobody answers."""
        return self.asked(path, json.dumps(body).encode())[:2]

    def asked(self, path: str, body: bytes | None = None) -> tuple[int, Any, dict[str, str]]:
        """The same with the headers; a GET without a body."""
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, json.load(reply), dict(reply.headers)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), dict(error.headers)

    def figures(self) -> dict[str, float]:
        """The values at `/metrics`."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as reply:
            lines = [line for line in reply.read().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@contextmanager
def device(
    folder: Path, source: str, public_key: Path, system: str, *more: str, without: Sequence[str] = ()
) -> Iterator[Running]:
    """An agent over `folder`, killed at the end.

    Args:
        folder: keeps what the device keeps, and its log.
        source: where releases come from, and rows go.
        public_key: the pinned key.
        system: whose champion answers.
        more: further options.
        without: packages that the process is not to find.
    """
    port = free_port()
    hidden = f"import sys; sys.modules.update(dict.fromkeys({list(without)!r}))"
    code = f"{hidden}; from bento.edge.__main__ import main; sys.exit(main(sys.argv[1:]))"
    command = [
        *(sys.executable, "-c", code, "--source", source, "--system", system, "--port", str(port)),
        *("--public-key", str(public_key), "--folder", str(folder / "edge"), "--device", "meter-3"),
        *("--upload", f"{source}/journal", "--every", "0.2", "--confirm-after", "2", *more),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    running = Running(f"http://127.0.0.1:{port}", process)
    try:
        until(lambda: process.poll() is not None or is_ready(running))
        yield running
    finally:
        process.kill()
        process.wait()


def is_ready(running: Running) -> bool:
    """Whether a release answers."""
    try:
        return running.asked("/readyz")[0] == 200
    except OSError:
        return False
