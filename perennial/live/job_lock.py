"""One run of a job at a time: a file lock that says who holds it.

The kernel drops the lock when the last process that holds it ends in any way, SIGKILL included. The scheduler
takes it and hands it on to the process that it starts, so that it outlives a scheduler that is killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from perennial.errors import BusyError

HANDED = "PERENNIAL_LOCK"
TRIES, PAUSE_S = 5, 0.02  # a look at the holder takes the lock for a moment: no reason to call it busy


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: process id, host, and since when (ISO 8601, UTC)."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


UNKNOWN = Holder(0, "an unknown host", "a moment ago")


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds; `close` gives it back."""

    path: Path
    handle: int

    def tell(self, pid: int, now: datetime) -> None:
        """Writes into the file who holds the lock."""
        data = json.dumps(asdict(Holder(pid, socket.gethostname(), _moment(now)))).encode()
        os.ftruncate(self.handle, 0)
        os.pwrite(self.handle, data, 0)

    def environment(self) -> dict[str, str]:
        """What a child must find in its environment to know that it was handed this lock."""
        return {HANDED: f"{self.handle} {self.path}"}

    def close(self) -> None:
        """Gives the lock back, as far as no child holds it still."""
        os.close(self.handle)


def path_of(folder: Path, system: str, job: str) -> Path:
    """Where the lock of a system's job is; `folder` is `Home.schedules`."""
    return folder / system / f"{job}.lock"


def take(path: Path, now: datetime) -> Lock | None:
    """The lock, held from now on; None where another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    for attempt in range(TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE_S if attempt < TRIES - 1 else 0)
            continue
        lock = Lock(path, handle)
        lock.tell(os.getpid(), now)
        return lock
    os.close(handle)
    return None


def holder(path: Path) -> Holder | None:
    """Who holds the lock at this moment; None where nobody does."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(handle)
    finally:
        os.close(handle)
    return None


@contextmanager
def holding(
    folder: Path, system: str, job: str, now: datetime, environment: Mapping[str, str] = os.environ
) -> Iterator[None]:
    """Holds the lock of a system's job for the block: taken here, or handed down by the scheduler.

    Raises:
        BusyError: another process is at it, by hand or by a schedule.
    """
    path = path_of(folder, system, job).absolute()
    handed = _handed(path, environment)
    if handed is not None:
        os.set_inheritable(handed, False)  # what the job leaves behind must not keep the lock
        yield
        return
    lock = take(path, now)
    if lock is None:
        raise BusyError(f"{job} of {system}", str(holder(path) or UNKNOWN))
    try:
        yield
    finally:
        lock.close()


def _handed(path: Path, environment: Mapping[str, str]) -> int | None:
    """The handle of this very lock that the parent process passed on; None where it passed none."""
    number, _, named = environment.get(HANDED, "").partition(" ")
    if named != str(path) or not number.isdigit():
        return None
    try:
        ours, there = os.fstat(int(number)), path.stat()
    except OSError:  # a process further down inherits the variable, not the handle
        return None
    return int(number) if (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino) else None


def _read(handle: int) -> Holder:
    try:
        return Holder(**json.loads(os.pread(handle, 4096, 0)))
    except (ValueError, TypeError):  # taken, but not yet signed
        return UNKNOWN


def _moment(now: datetime) -> str:
    return f"{now:%Y-%m-%d %H:%M:%S} UTC"
