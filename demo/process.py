"""The world as a process of its own: started, waited for, and stopped."""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from pathlib import Path

from bento.process import ROOT, stop
from demo.world import World
from perennial.errors import PerennialError

FLAGS = {"crawl_delay_s": "crawl-delay"}


@contextlib.contextmanager
def running(world: World | None = None, port: int = 0, timeout_s: float = 30.0) -> Iterator[str]:
    """The base address of a server that answers, on loopback; stopped at the end. Port 0 picks a free one.

    Raises:
        PerennialError: it ended or said nothing within `timeout_s`; what it complained of is told.
    """
    with tempfile.NamedTemporaryFile(prefix="perennial-demo-", suffix=".log") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo", "--port", str(port), *arguments(world or World())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield _address(process, Path(log.name), timeout_s)
        finally:
            stop(process)
            if process.stdout is not None:
                process.stdout.close()


def arguments(world: World) -> list[str]:
    """The command line of a world; what is at its default is left out.

    >>> arguments(World(seed=3, faults="some"))
    ['--seed', '3', '--faults', 'some']
    """
    given: list[str] = []
    for f in fields(World):
        value = getattr(world, f.name)
        if value != f.default:
            text = value.isoformat() if isinstance(value, datetime) else str(value)
            given += [f"--{FLAGS.get(f.name, f.name.replace('_', '-'))}", text]
    return given


def _address(process: subprocess.Popen[bytes], log: Path, timeout_s: float) -> str:
    if process.stdout is not None and select.select([process.stdout], [], [], timeout_s)[0]:
        words = process.stdout.readline().decode().split()
        if words:
            return words[0]
    complaint = log.read_text(errors="replace").strip()[-2_000:]
    said = f": {complaint}" if complaint else ""
    raise PerennialError(
        f"expected the demo server to print its address within {timeout_s:g} s, found nothing{said}"
    )
