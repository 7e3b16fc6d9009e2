"""Files that say that a process is at work, and that tell on it when it dies.

A process holds a lock on its marker for as long as the work lasts. The kernel drops the lock when the process
ends in any way, SIGKILL and power cuts included, so a marker whose lock can be taken was left behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from perennial.live.files import sync_folder


@contextmanager
def marked(folder: Path, name: str, facts: Mapping[str, str]) -> Iterator[Path]:
    """The marker `<name>.lock` in `folder`, which holds `facts` and is locked until the block ends.

    The marker is removed at a clean end alone: after an exception it is the caller's to remove, or it counts
    as left behind. It appears whole and locked. Forked children let go of it, so they cannot keep it alive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.lock"
    handle, temporary = tempfile.mkstemp(prefix=".", dir=folder)
    with os.fdopen(handle, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(dict(facts)))
        file.flush()
        os.fsync(handle)
        os.register_at_fork(after_in_child=file.close)
        Path(temporary).replace(path)
        sync_folder(folder)
        yield path
        path.unlink(missing_ok=True)


def left_behind(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The name and facts of every marker in `folder` whose process has died; each is removed once handled.

    Of several readers at once each marker goes to one. A reader that dies before it asks for the next marker
    leaves the present one to somebody else.
    """
    for path in sorted(folder.glob("*.lock")):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    continue
            except (BlockingIOError, FileNotFoundError):
                continue
            content = file.read()
            yield path.stem, json.loads(content) if content else {}
            path.unlink(missing_ok=True)
