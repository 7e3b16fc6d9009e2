"""Pulls the plug at every file operation of a swap on a device, in turn, and looks at what answers afterwards.

`python -m tests.edge_crash SHELF DEVICE KEY MODE EVERY`: DEVICE answers with one release, SHELF holds a newer one.
For every k a copy of the device takes the newer release in a child process that dies at the k-th operation. In the
mode `loses` everything is lost that was not made durable before, as in a power cut: bytes since the last fsync of
their file, and names since the last fsync of their folder. Prints a JSON object per
k; whether the device then takes the newer release is tried after every EVERY-th.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from bento.edge.agent import Agent
from bento.edge.slots import Device
from bento.edge.source import FolderSource

ROW = {"year": 2015, "mileage": 30_000, "fuel": "Petrol", "serviced": True, "tax": 145}
NAMES = ("replace", "rename", "link", "unlink", "rmdir", "mkdir", "fsync")
REAL = {name: getattr(os, name) for name in NAMES}
REAL_OPEN = io.open


class Plug:
    """Counts file operations, and ends the process at the k-th."""

    def __init__(self, at: int, loses: bool) -> None:
        self.at, self.loses, self.count = at, loses, 0
        self.sizes: dict[tuple[int, int], tuple[int, int]] = {}  # file -> a descriptor, and its durable size
        self.names: list[tuple[Path, Any]] = []  # folder of a new name, and what takes it back

    def tick(self) -> bool:
        """Whether this is the moment."""
        self.count += 1
        return self.count == self.at

    def pull(self) -> None:
        """Loses what is not durable, and dies."""
        if self.loses:
            for _, undo in reversed(self.names):
                undo()
            for handle, size in self.sizes.values():
                os.ftruncate(handle, size)
        os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """From now on every operation counts."""
        io.open = self.open  # type: ignore[assignment]
        for name in NAMES:
            setattr(os, name, self.counted(name))

    def counted(self, name: str) -> Any:
        """An operation of `os` that counts."""

        def operation(*arguments: Any, **named: Any) -> Any:
            if self.tick():
                self.pull()
            undo = self.undo(name, *arguments) if name in ("replace", "rename", "link") else None
            result = REAL[name](*arguments, **named)
            if undo is not None:
                self.names.append((Path(arguments[1]).parent.absolute(), undo))
            if name == "fsync":
                self.synced(arguments[0])
            return result

        return operation

    def undo(self, name: str, source: Any, target: Any) -> Any:
        """What takes a new name back, and the old content with it."""
        if name == "link":
            return lambda: REAL["unlink"](target)
        backup = Path(f"{target}.before")
        if Path(target).is_file():
            REAL["link"](target, backup)

        def back() -> None:
            REAL["rename"](target, source)
            if backup.exists():
                REAL["rename"](backup, target)

        return back

    def synced(self, handle: int) -> None:
        """Notes what an fsync made durable."""
        facts = os.fstat(handle)
        key = (facts.st_dev, facts.st_ino)
        if key in self.sizes:
            self.sizes[key] = (self.sizes[key][0], facts.st_size)
        folder = Path(f"/proc/self/fd/{handle}").readlink()
        for parent, _ in self.names:
            for backup in parent.glob("*.before") if parent == folder else ():
                REAL["unlink"](backup)
        self.names = [(parent, undo) for parent, undo in self.names if parent != folder]

    def open(self, file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        """`io.open`, whose written files count their writes and can be torn in the middle of one."""
        if "w" not in mode or "b" not in mode:
            return REAL_OPEN(file, mode, *arguments, **named)
        if self.tick():
            self.pull()
        plug = self

        class Torn(io.FileIO):
            def write(self, data: Any) -> int:
                facts = os.fstat(self.fileno())
                plug.sizes.setdefault((facts.st_dev, facts.st_ino), (os.dup(self.fileno()), 0))
                if plug.tick():
                    super().write(bytes(data)[: len(data) // 2])
                    plug.pull()
                return super().write(data)

        return io.BufferedWriter(Torn(file, mode), 1 << 20)


def swap(shelf: Path, device: Device) -> None:
    """Takes the newest release, and confirms it by one prediction."""
    agent = Agent(device, FolderSource(shelf), 1, lambda: 2e9)
    agent.start()
    agent.look()
    agent.answer([ROW], 1)


def answered(shelf: Path, device: Device) -> tuple[str, float, str, bool]:
    """Version, prediction, outcome of a look, and whether anything was given up."""
    agent = Agent(device, FolderSource(shelf), 1, lambda: 2e9)
    agent.start()
    outcome = agent.look()
    reply = agent.answer([ROW], 1)
    return reply.answered.model_version, reply.rows[0]["prediction"], outcome, bool(agent.state.refused)


def crash(k: int, loses: bool, shelf: Path, copy: Device) -> bool:
    """Whether the swap was ended at operation k; False where it has fewer."""
    child = os.fork()
    if child == 0:
        plug = Plug(k, loses)
        plug.install()
        swap(shelf, copy)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status)


def main() -> None:
    """Prints a line per operation."""
    shelf, template, key = map(Path, sys.argv[1:4])
    every = int(sys.argv[5])
    quick = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=quick if quick.is_dir() else None) as folder:
        k, died = 0, True
        while died:
            k += 1
            root = Path(folder) / str(k)
            shutil.copytree(template, root)
            device = Device(root, "prices", key)
            died = crash(k, sys.argv[4] == "loses", shelf, device)
            offline = answered(Path("/nowhere"), device)
            online = answered(shelf, device) if k % every == 0 or not died else None
            print(json.dumps({"k": k, "died": died, "offline": offline, "online": online}), flush=True)
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
