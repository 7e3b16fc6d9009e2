"""The service as a process of its own: started, waited for, and stopped."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bento.guard import tokens_in
from bento.tls import Pair
from perennial.errors import PerennialError

ROOT = Path(__file__).resolve().parent.parent
SERVICE = "bento.service:Predictor"


@dataclass(frozen=True)
class Serving:
    """A running service: its address, its supervising process and its log file."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


def command(host: str, port: int, python: str = sys.executable, tls: Pair | None = None) -> list[str]:
    """The command that serves `SERVICE`, over TLS where a pair is given; to be run in `ROOT`."""
    pair = ["--ssl-certfile", str(tls.certificate), "--ssl-keyfile", str(tls.key)] if tls else []
    return [python, "-m", "bentoml", "serve", SERVICE, "--host", host, "--port", str(port), *pair]


def service_environment(
    releases: Path,
    system: str,
    public_key: Path,
    max_rows: int = 1000,
    workers: int = 1,
    root: Path | None = None,
) -> dict[str, str]:
    """The variables that the service reads; `root` is the state folder, by default that of the releases."""
    return {
        "PERENNIAL_HOME": str(root.absolute() if root else releases.absolute().parent),
        "PERENNIAL_RELEASES": str(releases.absolute()),
        "PERENNIAL_SYSTEM": system,
        "PERENNIAL_PUBLIC_KEY": str(public_key.absolute()),
        "PERENNIAL_MAX_ROWS": str(max_rows),
        "BENTOML_CONFIG_OPTIONS": f"services.perennial.workers={workers}",
        "BENTOML_DO_NOT_TRACK": "True",
    }


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_taken(host: str, port: int) -> bool:
    """Whether something listens on a port already; raises OSError where this process may not listen there at all."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return True
    return False


@contextlib.contextmanager
def serving(environment: Mapping[str, str], port: int, timeout_s: float = 60.0) -> Iterator[str]:
    """The address of a service that is ready, on loopback; stopped with all its workers at the end.

    `environment` is laid over this process's own.

    Raises:
        PerennialError: it ended, is not ready, or does not answer within `timeout_s`; the log's end is told.
    """
    with started(environment, port, timeout_s) as served:
        yield served.url


@contextlib.contextmanager
def started(
    environment: Mapping[str, str],
    port: int,
    timeout_s: float = 60.0,
    ready: bool = True,
    python: str = sys.executable,
) -> Iterator[Serving]:
    """As `serving`, with the process and its log; `ready=False` waits for `/livez` only."""
    with tempfile.TemporaryDirectory(prefix="perennial-serve-") as folder:
        log = Path(folder) / "serve.log"
        # BentoML empties the metrics folder of its home when it starts: each server needs a home of its own.
        own = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(Path(folder) / "bentoml")}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command("127.0.0.1", port, python),
                cwd=ROOT,
                env={**os.environ, **own, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        served = Serving(f"http://127.0.0.1:{port}", process, log)
        try:
            token = tokens_in({**os.environ, **environment}).get("admin", "")
            _wait(served, "/readyz" if ready else "/livez", timeout_s, token)
            yield served
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes], patience_s: float = 10.0) -> int:
    """The exit code of a service that was asked to end, and is killed with its workers if it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _wait(served: Serving, path: str, timeout_s: float, token: str = "") -> None:
    deadline = time.monotonic() + timeout_s
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(served.url + path, headers=headers)
    while True:
        if served.process.poll() is not None:
            raise _failure(served, f"it ended with exit code {served.process.returncode}")
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except urllib.error.HTTPError as answer:
            if answer.code == 503:
                raise _failure(served, json.load(answer)["message"]) from None
            raise _failure(served, f"{path} answered {answer.code}") from None
        except OSError:
            if time.monotonic() > deadline:
                raise _failure(served, f"no answer within {timeout_s:g} s") from None
        time.sleep(0.05)


def _failure(served: Serving, found: str) -> PerennialError:
    lines = served.log.read_text(errors="replace").splitlines()[-15:]
    shown = "; its log ends with:\n" + "\n".join(lines) if lines else ""
    return PerennialError(f"expected the service to answer at {served.url}, found: {found}{shown}")
