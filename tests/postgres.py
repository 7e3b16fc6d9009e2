"""A PostgreSQL server of the tests' own, in a temporary folder, reached by a socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER = "journal"


def programs() -> Path | None:
    """The folder of initdb and postgres; None where PostgreSQL is not installed."""
    beside = shutil.which("initdb")
    found = [Path(beside).parent] if beside else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in reversed(found) if (folder / "initdb").exists()), None)


class Server:
    """A server that can be stopped as a power cut does, and started again on the same data and socket."""

    def __init__(self, folder: Path, tools: Path) -> None:
        self._folder, self._tools = folder, tools
        self._runs = False

    @property
    def url(self) -> str:
        """Its address, with a user and a password that nobody asks for."""
        return f"postgresql://{USER}:not-asked-for@/postgres?host={self._folder}"

    def create(self) -> None:
        """Make an empty database, and start."""
        self._run(
            "initdb", "--auth=trust", f"--username={USER}", "--no-sync", "-D", str(self._folder / "data")
        )
        self.start()

    def start(self) -> None:
        """Start and wait until it answers."""
        settings = ("listen_addresses=", f"unix_socket_directories={self._folder}", "max_connections=30")
        options = " ".join(f"-c {setting}" for setting in settings)
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "-w", "-s", "-D", str(self._folder / "data"), "-l", log, "-o", options)
        self._runs = True

    def stop(self, mode: str = "immediate") -> None:
        """Stop where it runs; `immediate` is a crash: nothing is written any more."""
        if not self._runs:
            return
        self._runs = False
        self._run("pg_ctl", "stop", "-w", "-s", "-m", mode, "-D", str(self._folder / "data"))

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_as_somebody(self._folder), str(self._tools / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60, cwd=self._folder)


def _as_somebody(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root, so that root lends it a user without rights."""
    if os.geteuid() != 0:
        return []
    names = {entry.pw_name for entry in pwd.getpwall()}
    name = "postgres" if "postgres" in names else "nobody"
    user = pwd.getpwnam(name)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@contextmanager
def running() -> Iterator[Server]:
    """A running server; skips the test where there is no PostgreSQL."""
    tools = programs()
    if tools is None:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:  # a socket's path must be short
        server = Server(Path(folder), tools)
        server.create()
        try:
            yield server
        finally:
            server.stop()
