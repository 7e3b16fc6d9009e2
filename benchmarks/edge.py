"""What the edge agent takes of a device, plain and with forecasts: size, start-up, memory, and time per answer."""

from __future__ import annotations

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "edge.txt"
FORECAST_LOCK = ROOT / "requirements" / "edge-forecast.txt"
REQUESTS, FORECASTS = 2000, 200
OBSERVED_DAYS = 160
LARGEST = 6
ROW = {"year": 2015, "mileage": 30_000, "fuel": "Petrol", "serviced": True, "tax": 145}
SHOWN_S = 30.0


def main(arguments: list[str]) -> None:
    """Prints two tables; each agent runs in a fresh environment that holds its lock alone.

    The first layer's lock may be another one, named by the only argument.
    """
    plain = Path(arguments[0]) if arguments else LOCK
    with tempfile.TemporaryDirectory() as name:
        for lock, measure in ((plain, measured), (FORECAST_LOCK, forecasting)):
            folder = Path(name) / lock.stem
            python = installed(folder / "venv", lock)
            sizes = package_sizes(folder / "venv")
            print(f"{f'installed by {lock.name}':<44}{sum(sizes.values()) / 2**20:>10.1f} MB")
            for package, size in sorted(sizes.items(), key=lambda item: -item[1])[:LARGEST]:
                print(f"  {package:<42}{size / 2**20:>10.1f} MB")
            for what, value in measure(folder, python).items():
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
    with _agent(folder, python, "prices", key.public_path) as (url, pid, start_up_s, version):
        idle = _memory(pid)
        times = sorted(_seconds(url, "/predict", ROW) for _ in range(REQUESTS))
        return {
            "from start to ready, first pull included": f"{start_up_s:>10.2f} s",
            "resident memory, ready": f"{idle['VmRSS']:>10.1f} MB",
            f"resident memory, after {REQUESTS:,} requests": f"{_memory(pid)['VmRSS']:>10.1f} MB",
            "most memory at once": f"{_memory(pid)['VmHWM']:>10.1f} MB",
            "one row, a new connection each, median": f"{statistics.median(times) * 1000:>10.2f} ms",
            "one row, 99th percentile": f"{times[int(len(times) * 0.99)] * 1000:>10.2f} ms",
            "measured": f"  {datetime.now(UTC):%Y-%m-%d}, release {version}, journal on, each answer on disk",
        }


def forecasting(folder: Path, python: Path) -> Mapping[str, str]:
    """The same for forecasts of a load, 24 hours ahead, from what was observed for 160 days of hours.

    Intervals follow the last 90 days: the model forecasts each of them again for every answer.
    """
    sys.path.insert(0, str(ROOT / "tests"))
    import forecasts
    from releases import promote

    from perennial.live import sign
    from perennial.live.answer import Recent

    key, now = sign.key_pair(folder / "keys"), forecasts.floor_hour(datetime.now(UTC))
    records = forecasts.past(now, OBSERVED_DAYS)
    made = forecasts.build(
        folder / "releases", key, forecasts.config(True), records, now, 1.0, Recent(90.0, 24.0)
    )
    promote(folder / "releases", key, made)
    told = forecasts.sent(records, load="load_mw", weather="temperature_c")
    with _agent(folder, python, "load", key.public_path) as (url, pid, _, version):
        idle = _memory(pid)
        first_s = _seconds(url, "/observe", {"feed": "load", "rows": told["load"]})
        _seconds(url, "/observe", {"feed": "weather", "rows": told["weather"]})
        times = sorted(_seconds(url, "/forecast", {}) for _ in range(FORECASTS))
        with urllib.request.urlopen(f"{url}/metrics") as reply:
            (by_model,) = re.findall(r'edge_forecasts_total{rung="champion"} (\d+)', reply.read().decode())
        return {
            "resident memory, ready": f"{idle['VmRSS']:>10.1f} MB",
            f"first {len(told['load']):,} observations, imports included": f"{first_s:>10.2f} s",
            f"resident memory, after {FORECASTS} forecasts": f"{_memory(pid)['VmRSS']:>10.1f} MB",
            "most memory at once": f"{_memory(pid)['VmHWM']:>10.1f} MB",
            "one forecast of 24 hours, median": f"{statistics.median(times) * 1000:>10.0f} ms",
            "one forecast, 99th percentile": f"{times[int(len(times) * 0.99)] * 1000:>10.0f} ms",
            "forecasts that are the model's own": f"{by_model:>10}",
            "measured": f"  {datetime.now(UTC):%Y-%m-%d}, release {version}, journal on, each answer on disk",
        }


@contextmanager
def _agent(
    folder: Path, python: Path, system: str, public_key: Path
) -> Iterator[tuple[str, int, float, str]]:
    """An agent that answers: its address, process id, seconds from start to ready, and the release's version."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(python, "-m", "bento.edge", "--source", folder / "releases", "--system", system),
        *("--port", str(port), "--public-key", public_key, "--folder", folder / "edge"),
        *("--upload", "http://127.0.0.1:9/journal"),
    ]
    url, started = f"http://127.0.0.1:{port}", time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        version = _ready(url, process, folder / "log")
        yield url, process.pid, time.perf_counter() - started, version
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


def _seconds(url: str, path: str, body: object) -> float:
    """How long a POST takes; raises HTTPError where it is refused."""
    request = urllib.request.Request(
        url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    started = time.perf_counter()
    with urllib.request.urlopen(request) as reply:
        reply.read()
    return time.perf_counter() - started
