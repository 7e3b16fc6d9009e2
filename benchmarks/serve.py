"""Serving the random forest of `synthetic`: our service beside FastAPI and plain BentoML, under wrk on loopback.

All contestants of a round run at once, each under load in its turn, in alternating order; they get the same requests
and must give the same probabilities before anything is measured. A ratio is taken round by round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bento.process import command, free_port, service_environment, stop

ROOT = Path(__file__).resolve().parent.parent
POST = ROOT / "benchmarks" / "contestants" / "post.lua"
AGAINST = "FastAPI + ONNX Runtime"
BODIES = 32


@dataclass(frozen=True)
class Contestant:
    """How a server is started: its command, with `{port}` and `{workers}` to fill in, and its variables."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Running:
    """A server that answers, and how many seconds it took until its first answer."""

    url: str
    process: subprocess.Popen[bytes]
    start_s: float


@dataclass(frozen=True)
class Load:
    """One stretch of load: requests per second, milliseconds, and what all processes of the server took.

    That is megabytes after it, and microseconds of processor time per request.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    largest_ms: float
    memory_mb: float
    cpu_us: float


def main(arguments: list[str]) -> None:
    """Prints a table per number of rows and workers, or a sentence where wrk is not installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks serve")
    parser.add_argument("--seconds", type=int, default=5, help="of load, per contestant and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument(
        "--home", type=Path, help="a state folder with a release of synthetic; trained if absent"
    )
    parser.add_argument("--only", nargs="+", help="words in the names of the contestants to run")
    parser.add_argument(
        "--journal", metavar="URL", help="of a PostgreSQL; ours runs with its journal there, too"
    )
    given = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        print("skipped: expected wrk on PATH, found none; install Debian's package wrk")
        return
    with tempfile.TemporaryDirectory(prefix="perennial-benchmark-") as folder:
        home = given.home or Path(folder)
        bundle = released(home)
        chosen = {
            name: one
            for name, one in contestants(home, bundle, Path(folder), given.journal).items()
            if name == AGAINST or not given.only or any(word in name for word in given.only)
        }
        rows = json.loads((bundle / "golden.json").read_text())["rows"]
        for workers in given.workers:
            with started(chosen, workers, rows) as running:
                for size in given.rows:
                    bodies = Path(folder) / f"bodies_{size}"
                    bodies.write_text("\n".join(requests(rows, size)))
                    loads = in_turn(running, bodies, given.rounds, given.seconds, given.connections)
                    print(f"{size} rows a request, {workers} workers, {given.connections} connections")
                    print(f"{table(loads, running)}\n", flush=True)


def released(home: Path) -> Path:
    """The folder of the newest bundle of `synthetic` in a state folder; trains one where there is none."""
    bundles = home / "releases" / "synthetic" / "bundles"
    if not bundles.is_dir():
        train = [sys.executable, "run.py", "train", "--config", "configs/synthetic.yaml"]
        environment = {**os.environ, "PERENNIAL_HOME": str(home)}
        subprocess.run(train, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return max(bundles.iterdir(), key=lambda folder: int(folder.name.removeprefix("v")))


def contestants(home: Path, bundle: Path, scratch: Path, journal: str | None) -> dict[str, Contestant]:
    """Ours first, with `journal` a second time; the others serve the files of the same bundle."""
    onnx, skops = ({"CONTESTANT_MODEL": str(bundle / f"model.{kind}")} for kind in ("onnx", "skops"))
    own = service_environment(home / "releases", "synthetic", home / "keys" / "signing_key.pub.pem")
    options = {"BENTOML_CONFIG_OPTIONS": "services.perennial.workers={workers}"}
    bento = tuple(command("127.0.0.1", 0)[:-1])
    plain = (*bento[:4], "benchmarks.contestants.bentoml_onnx:Plain", *bento[5:], "{port}")
    ours: dict[str, dict[str, str]] = {"Perennial": {}} | (
        {"Perennial, PostgreSQL": {"PERENNIAL_JOURNAL": journal}} if journal else {}
    )
    return {
        **{
            name: Contestant(
                (*bento, "{port}"), {**own, **options, **kept, "BENTOML_HOME": str(scratch / name)}
            )
            for name, kept in ours.items()
        },
        AGAINST: Contestant(_uvicorn("fastapi_onnx"), onnx),
        "FastAPI + scikit-learn": Contestant(_uvicorn("fastapi_sklearn"), skops),
        "BentoML + ONNX Runtime": Contestant(
            plain,
            {
                **onnx,
                "BENTOML_CONFIG_OPTIONS": "services.plain.workers={workers}",
                "BENTOML_DO_NOT_TRACK": "True",
                "BENTOML_HOME": str(scratch / "plain"),
            },
        ),
    }


def _uvicorn(module: str) -> tuple[str, ...]:
    app = f"benchmarks.contestants.{module}:app"
    quiet = ("--no-access-log", "--log-level", "warning")
    return (sys.executable, "-m", "uvicorn", app, *quiet, "--port", "{port}", "--workers", "{workers}")


def requests(rows: Sequence[Mapping[str, Any]], size: int) -> Iterator[str]:
    """BODIES different requests of `size` rows each."""
    for start in range(BODIES):
        chosen = [rows[(start * size + place) % len(rows)] for place in range(size)]
        yield json.dumps({"rows": chosen}, separators=(",", ":"))


@contextlib.contextmanager
def started(
    contestants: Mapping[str, Contestant], workers: int, rows: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Running]]:
    """All contestants, started one after the other; raises RuntimeError where their answers differ."""
    running: dict[str, Running] = {}
    with contextlib.ExitStack() as stack:
        for name, one in contestants.items():
            running[name] = stack.enter_context(_started(one, workers, rows))
        answered = {name: _shares(one.url, rows) for name, one in running.items()}
        for name, shares in answered.items():
            off = max(abs(a - b) for a, b in zip(shares, answered[AGAINST], strict=True))
            if off > 1e-6:
                raise RuntimeError(f"{name} answers other probabilities than {AGAINST}: off by up to {off:g}")
        yield running


@contextlib.contextmanager
def _started(contestant: Contestant, workers: int, rows: Sequence[Mapping[str, Any]]) -> Iterator[Running]:
    port = free_port()
    filled = [part.format(port=port, workers=workers) for part in contestant.command]
    own = {name: value.format(workers=workers) for name, value in contestant.environment.items()}
    with tempfile.TemporaryFile() as log:
        begun = time.perf_counter()
        process = subprocess.Popen(
            filled,
            cwd=ROOT,
            env={**os.environ, **own, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            while not _answers(url, rows):
                if process.poll() is not None or time.perf_counter() - begun > 60:
                    log.seek(0)
                    raise RuntimeError(f"{' '.join(filled)} does not answer:\n{log.read().decode()[-2000:]}")
                time.sleep(0.02)
            yield Running(url, process, time.perf_counter() - begun)
        finally:
            stop(process)


def _answers(url: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    try:
        return bool(_shares(url, rows[:1]))
    except OSError:
        return False


def _shares(url: str, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    asked = urllib.request.Request(
        f"{url}/predict",
        json.dumps({"rows": rows}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return [one["probabilities"]["class_1"] for one in json.load(answer)["predictions"]]


def in_turn(
    running: Mapping[str, Running], bodies: Path, rounds: int, seconds: int, connections: int
) -> dict[str, list[Load]]:
    """The loads of every contestant; a short warm-up, then rounds whose order alternates."""
    loads: dict[str, list[Load]] = {name: [] for name in running}
    for number in range(rounds + 1):
        order = list(running) if number % 2 else list(reversed(running))
        for name in order:
            found = under_load(running[name], bodies, seconds if number else 1, connections)
            if number:
                loads[name].append(found)
    return loads


def under_load(server: Running, bodies: Path, seconds: int, connections: int) -> Load:
    """What wrk measured; raises RuntimeError where an answer failed."""
    wrk = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    wrk += ["--timeout", "30s", "--script", str(POST), server.url, "--", str(bodies)]
    _, before = _taken(server)
    done = subprocess.run(wrk, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if found["failed"]:
        raise RuntimeError(f"{found['failed']} of {found['requests']} requests failed:\n{done.stdout}")
    memory, after = _taken(server)
    return Load(
        found["requests"] / found["seconds"],
        found["p50_ms"],
        found["p99_ms"],
        found["largest_ms"],
        memory,
        1e6 * (after - before) / found["requests"],
    )


def _taken(server: Running) -> tuple[float, float]:
    """Megabytes of memory and seconds of processor time of a server's processes."""
    own = psutil.Process(server.process.pid)
    processes = (own, *own.children(recursive=True))
    memory = sum(process.memory_info().rss for process in processes) / 1e6
    return memory, sum(sum(process.cpu_times()[:2]) for process in processes)


def table(loads: Mapping[str, Sequence[Load]], running: Mapping[str, Running]) -> str:
    """Per contestant the medians over rounds, the largest answer of all, and the ratio to FastAPI + ONNX Runtime."""
    heads = ("requests/s", "x", "p50 ms", "p99 ms", "p99/p50", "largest ms", "cpu us", "MB", "start s")
    lines = [" " * 24 + "".join(f"{head:>11}" for head in heads)]
    for name, own in loads.items():
        middle = {field: statistics.median(getattr(one, field) for one in own) for field in own[0].__dict__}
        ratio = statistics.median(a.rate / b.rate for a, b in zip(own, loads[AGAINST], strict=True))
        lines.append(
            f"{name:<24}{middle['rate']:>11,.0f}{ratio:>11.2f}{middle['p50_ms']:>11.2f}{middle['p99_ms']:>11.2f}"
            f"{middle['p99_ms'] / middle['p50_ms']:>11.1f}{max(one.largest_ms for one in own):>11.1f}"
            f"{middle['cpu_us']:>11,.0f}{middle['memory_mb']:>11,.0f}{running[name].start_s:>11.1f}"
        )
    return "\n".join(lines)
