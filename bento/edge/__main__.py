"""`python -m bento.edge`: runs the agent of one system on a device."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from bento import tls
from bento.edge.agent import Agent
from bento.edge.desk import Desk, Limits
from bento.edge.queue import Queue
from bento.edge.slots import Device
from bento.edge.source import open_source
from bento.edge.upload import Uploader
from bento.edge.web import Front
from bento.renewal import Renewal
from perennial.errors import BusyError, InputError, PerennialError

logger = logging.getLogger("bento.edge")

LOOPBACK = ("127.0.0.1", "::1", "localhost")
STOP_S = 5.0
AFTER_FAULT_S = 60.0
GOOD = ("current", "new")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m bento.edge", description=__doc__)
    add = made.add_argument
    add("--source", required=True, help="the releases: a folder, http(s)://..., or s3://bucket/prefix")
    add("--system", required=True, help="whose champion answers")
    add("--public-key", required=True, type=Path, help="the pinned key that every bundle must be signed with")
    add("--folder", type=Path, default=Path("edge"), help="where the device keeps slots and queue")
    add("--upload", default="", help="http(s) address that takes journal rows; none are kept without it")
    add("--device", default=socket.gethostname(), help="the name under which rows are sent")
    add("--token-file", type=Path, help="a file with the bearer token for --source and --upload")
    add("--ca", type=Path, help="certificates to trust instead of the system's, in PEM")
    add("--host", default="127.0.0.1", help="the address to listen on")
    add("--port", type=int, default=3100)
    add("--tls-certificate", metavar="FILE", help="speak TLS with this certificate, in PEM")
    add("--tls-key", metavar="FILE", help="the certificate's private key, in PEM and without a password")
    add(
        "--allow-remote", action="store_true", help="listen beyond loopback, though nobody is asked who he is"
    )
    add("--every", type=float, default=300.0, metavar="S", help="seconds between two looks at the source")
    add(
        "--confirm-after",
        type=int,
        default=20,
        metavar="N",
        help="predictions that a release on trial must make",
    )
    add(
        "--stale-after",
        type=float,
        default=168.0,
        metavar="H",
        help="hours offline after which answers are stale",
    )
    add(
        "--late-hours",
        type=float,
        default=6.0,
        metavar="H",
        help="hours that a history may be older than usual and still be forecast from",
    )
    add("--queue-rows", type=int, default=100_000, help="journal rows to keep at most")
    add("--queue-mb", type=float, default=64.0, help="megabytes of journal rows to keep at most")
    add("--max-rows", type=int, default=1000, help="rows that one request may hold")
    add("--once", action="store_true", help="look at the source once, print the outcome, and end")
    return made


def main(arguments: list[str]) -> int:
    """Runs the agent until it is told to stop; returns the exit code."""
    chosen = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        return _run(chosen)
    except PerennialError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code


def _run(chosen: argparse.Namespace) -> int:
    if chosen.host not in LOOPBACK and not chosen.allow_remote:
        raise InputError(
            f"expected --host to be a loopback address, found {chosen.host}; add --allow-remote to mean it"
        )
    pair = tls.checked(chosen.tls_certificate, chosen.tls_key, datetime.now(UTC))
    token = _token(chosen.token_file)
    source = open_source(chosen.source, token, chosen.ca, os.environ)
    device = Device(chosen.folder / chosen.system, chosen.system, chosen.public_key)
    device.root.mkdir(parents=True, exist_ok=True)
    with (device.root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError("agent", str(device.root)) from None
        agent = Agent(device, source, chosen.confirm_after, time.time)
        agent.start()
        if chosen.once:
            outcome = agent.look()
            print(f"{outcome}{': ' if agent.trouble else ''}{agent.trouble}")  # noqa: T201
            return 0 if outcome in GOOD else 1
        _serve(chosen, agent, device, token, pair)
    return 0


def _serve(
    chosen: argparse.Namespace, agent: Agent, device: Device, token: str, pair: tls.Pair | None
) -> None:
    queue = Queue(device.root / "queue.sqlite", chosen.queue_rows, int(chosen.queue_mb * 2**20))
    sender = (
        Uploader(queue, chosen.upload, chosen.device, chosen.system, token, chosen.ca)
        if chosen.upload
        else None
    )
    limits = Limits(chosen.max_rows, chosen.stale_after * 3600, timedelta(hours=chosen.late_hours))
    desk = Desk(agent, device, queue if sender else None, sender, limits, time.time)
    stopped = threading.Event()
    chance = random.Random(chosen.device)

    def look() -> float:
        agent.look()
        return float(chosen.every) * chance.uniform(0.9, 1.1)

    def upload() -> float:
        return 0.0 if sender is None or sender.step() else sender.pause_s()

    threads = [_repeated("look", look, stopped)] + ([_repeated("upload", upload, stopped)] if sender else [])
    try:
        web.run_app(
            Front(desk).app(),
            host=chosen.host,
            port=chosen.port,
            ssl_context=Renewal(pair.context, pair.certificate, pair.key).context if pair else None,
            print=None,
            access_log=None,
        )
    finally:
        stopped.set()
        for thread in threads:
            thread.join(STOP_S)
        queue.close()


def _repeated(name: str, work: Callable[[], float], stopped: threading.Event) -> threading.Thread:
    """A thread that works, waits for as many seconds as the work says, and begins again."""

    def run() -> None:
        pause_s = 0.0
        while not stopped.wait(pause_s):
            try:
                pause_s = work()
            except Exception:
                logger.exception("%s failed; it is tried again", name)
                pause_s = AFTER_FAULT_S

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"expected a token in {path}, found none ({error.strerror})") from error
    if not token or not token.isprintable() or " " in token:
        raise InputError(f"expected one token in {path}, found none or several")
    return token


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
