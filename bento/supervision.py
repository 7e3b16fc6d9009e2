"""How BentoML's supervisor treats its workers: how soon it starts one again, and where they count together."""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import functools
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import bentoml.serving
from bentoml._internal.utils import circus

logger = logging.getLogger("bento.service")

LOOK_S = 1.0
MEMORY = Path("/dev/shm")
PREFIX = "perennial-metrics-"


def look_often() -> None:
    """Have the supervisor look after its workers every `LOOK_S` seconds; BentoML's own 10 s are not for setting.

    With one worker that is how long nobody answers. To be called before the supervisor is made.
    """
    make = circus.create_standalone_arbiter
    if not isinstance(make, functools.partial):
        circus.create_standalone_arbiter = functools.partial(make, check_delay=LOOK_S)


def end_without(supervisor: int, loop: asyncio.AbstractEventLoop) -> None:
    """End this worker, as a SIGTERM does, when its supervisor was killed: else it would hold the port for ever.

    To be called in the event loop, with the parent's process id.
    """
    if os.getppid() != supervisor:
        logger.error("the supervisor %d is gone: this worker ends", supervisor)
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        loop.call_later(LOOK_S, end_without, supervisor, loop)


def count_in_memory() -> None:
    """Have the workers count in files that lie in memory; where there is no `MEMORY`, BentoML's home holds them.

    These files are mapped, and a page of one that a full disk has no room for kills its worker (SIGBUS), at every
    start anew. To be called before the supervisor is made.
    """
    make = bentoml.serving.ensure_prometheus_dir
    if not isinstance(make, functools.partial):
        bentoml.serving.ensure_prometheus_dir = functools.partial(counting_folder, make)


def counting_folder(otherwise: Callable[[], str]) -> str:
    """A folder in memory, removed when this process ends; where there can be none, what `otherwise` gives."""
    forget_ended(MEMORY)
    try:
        folder = held_folder(MEMORY)
    except OSError:
        return otherwise()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(folder)


def held_folder(memory: Path) -> Path:
    """A new folder, locked until this process ends, however it does; raises OSError.

    By the lock a later server sees whether somebody still counts there.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=memory))
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        os.close(handle)  # another server that starts took it for one that was left


def forget_ended(memory: Path) -> None:
    """Remove the folders of this user's servers that ended without a chance to do so."""
    for folder in memory.glob(f"{PREFIX}*"):
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # another user's, or gone in the meantime
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue  # its server runs
        finally:
            os.close(handle)
