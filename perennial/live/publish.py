"""Putting a folder among the bundles: whole or not at all, under a number of its own."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from perennial.live.files import sync_file, sync_folder

VERSION = re.compile(r"v([1-9]\d*)")
STAGING = ".staging-"


def newest(bundles: Path) -> int:
    """The highest number among the published bundles; 0 where there is none."""
    numbers = (VERSION.fullmatch(path.name) for path in bundles.iterdir())
    return max((int(found[1]) for found in numbers if found), default=0)


@contextlib.contextmanager
def staging(bundles: Path) -> Iterator[Path]:
    """An empty folder to build in, removed afterwards unless it was published.

    Its lock file is held by this process and released by the kernel when the process dies, which is how the
    next builder knows that a staging folder has no owner any more, and removes it.
    """
    bundles.mkdir(parents=True, exist_ok=True)
    remove_abandoned(bundles)
    name = f"{STAGING}{secrets.token_hex(8)}"
    lock_path, folder = bundles / f"{name}.lock", bundles / name
    with _locked(lock_path):
        try:
            folder.mkdir()
            yield folder
        finally:
            if folder.exists():
                shutil.rmtree(folder)
            lock_path.unlink(missing_ok=True)


def remove_abandoned(bundles: Path) -> list[str]:
    """Remove the staging folders of dead builders; returns their names."""
    removed = []
    for lock_path in sorted(bundles.glob(f"{STAGING}*.lock")):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), lock_path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder = lock_path.with_suffix("")
            if folder.exists():
                shutil.rmtree(folder)
                removed.append(folder.name)
            lock_path.unlink(missing_ok=True)
    return removed


def publish(folder: Path, target: Path) -> bool:
    """Make `folder` visible as `target` in one step, durably; False where `target` is taken."""
    for path in sorted(folder.iterdir()):
        sync_file(path)
    sync_folder(folder)
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    sync_folder(target.parent)
    return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """A new file that is locked until the end; made again where a cleaner took it before the lock."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
                yield
                return
        finally:
            os.close(handle)
