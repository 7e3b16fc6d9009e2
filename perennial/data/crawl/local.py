"""What a crawl needs from this machine: files as answers, one process per folder, the memory of hosts."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import mimetypes
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from perennial.data.answer import Answer, Asker, Request
from perennial.data.fetch.hosts import HostState
from perennial.errors import CollectionError, FetchError, StoreError


class FileAsker:
    """Answers requests for file addresses; what ends in .gz is inflated."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes

    async def get(self, request: Request) -> Answer:
        """The file as an answer that came when it was last changed; raises FetchError."""
        return await asyncio.to_thread(self._read, request.url)

    def _read(self, url: str) -> Answer:
        path = Path(unquote(urlsplit(url).path))
        try:
            with path.open("rb") as plain:
                about = os.fstat(plain.fileno())
                inflating = gzip.GzipFile(fileobj=plain) if path.suffix == ".gz" else nullcontext(plain)
                with inflating as stream:
                    body = stream.read(self._most_bytes + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FetchError(
                url, "bad_encoding", f"expected a whole gzip file, found: {error}", "replace it"
            ) from error
        except OSError as error:
            raise FetchError(
                url, "unreadable_file", f"expected a file to read, found: {error}", "mend it"
            ) from error
        if len(body) > self._most_bytes:
            found = f"expected at most {self._most_bytes:,} bytes, found more"
            raise FetchError(url, "inflated_too_large", found, "split it, or raise source.limits.inflated_mb")
        kind, _ = mimetypes.guess_type(path.name.removesuffix(".gz"))
        changed = datetime.fromtimestamp(about.st_mtime, UTC)
        return Answer(url, url, 200, {"content-type": kind or ""}, body, about.st_size, changed, 0.0)


class FilesOrNetwork:
    """Hands requests for file addresses to one asker, all others to another."""

    def __init__(self, files: Asker, network: Asker) -> None:
        self._files, self._network = files, network

    async def get(self, request: Request) -> Answer:
        """The answer of the one whose request it is; raises its FetchError."""
        return await (self._files if request.url.startswith("file:") else self._network).get(request)

    def waiting(self) -> dict[str, str]:
        """Host -> why requests to it wait at present; empty where the network asker does not tell."""
        tell = getattr(self._network, "waiting", None)
        return tell() if tell else {}


@contextmanager
def locked(folder: Path, now: datetime) -> Iterator[None]:
    """Holds the folder for this process; the lock goes with the process, however it ends.

    Raises:
        CollectionError: another process holds it.
        StoreError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        remedy = "free space or change the owner, then run the same command again"
        raise StoreError(folder, f"expected a folder to write to, found: {error.strerror}", remedy) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(handle, 200, 0).decode(errors="replace").strip() or "an unknown process"
            found = f"expected no other collection into {folder}, found {owner}"
            raise CollectionError(folder.name, [found], "wait for it or stop it") from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} since {now:%Y-%m-%d %H:%M:%S} UTC".encode(), 0)
        yield
    finally:
        os.close(handle)


class HostFile:
    """The memory of hosts in a file of its own, so that no other writer can keep a request waiting."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / "hosts.sqlite", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS hosts (host TEXT PRIMARY KEY, state BLOB) WITHOUT ROWID")

    def load(self, host: str) -> HostState | None:
        """What is known about `host`; None where it was never asked."""
        found = self._db.execute("SELECT state FROM hosts WHERE host = ?", (host,)).fetchone()
        return HostState.from_json(found[0]) if found else None

    def save(self, host: str, state: HostState) -> None:
        """Keeps `state` in place of what was known."""
        self._db.execute("REPLACE INTO hosts VALUES (?, ?)", (host, state.to_json()))

    def close(self) -> None:
        """Closes the file."""
        self._db.close()
