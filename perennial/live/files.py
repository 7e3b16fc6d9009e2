"""Files that are whole or not there at all, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def digest(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical(value: Any) -> bytes:
    """JSON that is the same for equal values: sorted keys, no spaces; raises ValueError on NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` durably as `path`; a reader sees the old content or the new, never a part."""
    with _written(path, data, mode) as temporary:
        temporary.replace(path)


def write_exclusive(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` durably as a new file `path`; raises FileExistsError where one is there already.

    Of several writers exactly one succeeds, and a reader never sees a part.
    """
    with _written(path, data, mode) as temporary:
        os.link(temporary, path)


@contextlib.contextmanager
def _written(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """A durable temporary file beside `path` that holds `data`; afterwards the folder is made durable.

    The file is private (0600) from its first byte, and gets `mode` once it is complete.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        yield temporary
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
