"""What the edge agent takes of a device: installed size, start-up, memory, and time per answer."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "edge.txt"
REQUESTS = 2000
LARGEST = 6
ROW = {"year": 2015, "mileage": 30_000, "fuel": "Petrol", "serviced": True, "tax": 145}
SHOWN_S = 30.0


def main(arguments: list[str]) -> None:
    """Prints the table; the agent runs in a fresh environment that holds the edge lock (or the named one) alone."""
    lock = Path(arguments[0]) if arguments else LOCK
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = installed(folder / "venv", lock)
        sizes = package_sizes(folder / "venv")
        print(f"{f'installed by {lock.name}':<44}{sum(sizes.values()) / 2**20:>10.1f} MB")
        for package, size in sorted(sizes.items(), key=lambda item: -item[1])[:LARGEST]:
            print(f"  {package:<42}{size / 2**20:>10.1f} MB")
        for what, value in measured(folder, python).items():
            print(f"{what:<44}{value}")


def installed(venv: Path, lock: Path) -> Path:
    """The interpreter of a new environment with a lock in it, every hash checked."""
    uv = Path(sys.executable).with_name("uv")
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, venv], **quiet)
    python = venv / "bin" / "python"
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock], **quiet
    )
    return python


def package_sizes(venv: Path) -> dict[str, int]:
    """Bytes on disk of everything in the environment's site-packages, by its top folder or file."""
    (site,) = venv.glob("lib/python*/site-packages")
    return {
        path.name: sum(p.lstat().st_blocks * 512 for p in (path, *path.rglob("*")) if not p.is_symlink())
        for path in site.iterdir()
    }


def measured(folder: Path, python: Path) -> Mapping[str, str]:
    """Start-up, memory and answer times of the agent with a small release and its journal on."""
    from perennial.live import sign
    from tests import releases

    key = sign.key_pair(folder / "keys")
    releases.promote(folder / "releases", key, releases.build(folder / "releases", key, "prices", 1.0))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(
            python,
            "-m",
            "bento.edge",
            "--source",
            folder / "releases",
            "--system",
            "prices",
            "--port",
            str(port),
        ),
        *(
            "--public-key",
            key.public_path,
            "--folder",
            folder / "edge",
            "--upload",
            "http://127.0.0.1:9/journal",
        ),
    ]
    url, started = f"http://127.0.0.1:{port}", time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        version = _ready(url, process, folder / "log")
        start_up_s = time.perf_counter() - started
        idle = _memory(process.pid)
        times = sorted(_predicted(url) for _ in range(REQUESTS))
        return {
            "from start to ready, first pull included": f"{start_up_s:>10.2f} s",
            "resident memory, ready": f"{idle['VmRSS']:>10.1f} MB",
            f"resident memory, after {REQUESTS:,} requests": f"{_memory(process.pid)['VmRSS']:>10.1f} MB",
            "most memory at once": f"{_memory(process.pid)['VmHWM']:>10.1f} MB",
            "one row, a new connection each, median": f"{statistics.median(times) * 1000:>10.2f} ms",
            "one row, 99th percentile": f"{times[int(len(times) * 0.99)] * 1000:>10.2f} ms",
            "measured": f"  {datetime.now(UTC):%Y-%m-%d}, release {version}, journal on, each answer on disk",
        }
    finally:
        process.terminate()
        process.wait()


def _ready(url: str, process: subprocess.Popen[Any], log: Path) -> str:
    end = time.monotonic() + SHOWN_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/readyz") as reply:
                return str(json.loads(reply.read())["version"])
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"the agent was not ready within {SHOWN_S:.0f} s:\n{log.read_text()[-2000:]}")


def _memory(pid: int) -> dict[str, float]:
    """Megabytes by the names of /proc/<pid>/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.endswith(" kB")}


def _predicted(url: str) -> float:
    request = urllib.request.Request(
        f"{url}/predict", json.dumps(ROW).encode(), {"Content-Type": "application/json"}
    )
    started = time.perf_counter()
    with urllib.request.urlopen(request) as reply:
        reply.read()
    return time.perf_counter() - started
