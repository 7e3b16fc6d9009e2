"""Every answer as it came, named by the digest of its content, before anybody reads it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from threading import get_ident

import zstandard

from perennial.errors import StoreError

LEVEL = 1  # of zstd: a third of a page's size at a fifth of the time that reading the page takes


class RawStore:
    """Bodies of answers, compressed, one file `ab/cdef...zst` each; equal bodies are stored once.

    A file is written under another name and moved, so that a kill leaves it whole or absent. Nothing waits
    for the disk: what a power cut tears is found by `get`, which checks every body against its name. An
    instance belongs to one thread; several instances and processes may share a folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._compress = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False).compress
        self._inflate = zstandard.ZstdDecompressor().decompress

    def put(self, body: bytes) -> str:
        """The digest (SHA-256, hex) of `body`, which is stored when this returns.

        Raises:
            StoreError: where it cannot be written, as on a full disk; nothing is left behind.
        """
        digest = hashlib.sha256(body).hexdigest()
        path = self._path(digest)
        if not os.path.exists(path) or not self.has(digest):  # noqa: PTH110  (pathlib costs more than the call)
            self._write(path, self._compress(body))
        return digest

    def get(self, digest: str) -> bytes:
        """The body with this digest; raises StoreError where it is missing or damaged."""
        path = self._path(digest)
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                body = self._inflate(file.read())
        except FileNotFoundError as error:
            raise StoreError(path, "expected a stored answer, found none", "collect again") from error
        except OSError as error:
            raise StoreError(path, f"expected a readable file, found: {error}", "mend the disk") from error
        except (zstandard.ZstdError, MemoryError) as error:
            raise StoreError(path, f"expected a stored answer, found: {error}", "collect again") from error
        if hashlib.sha256(body).hexdigest() != digest:
            raise StoreError(path, "expected content that fits its name, found other", "collect again")
        return body

    def has(self, digest: str) -> bool:
        """Whether the body with this digest is there and whole."""
        try:
            self.get(digest)
        except StoreError:
            return False
        return True

    def sweep(self) -> None:
        """Removes what writers that were killed left half-written; only while nobody writes."""
        for left in Path(self._folder).glob("*/.*.part"):
            left.unlink(missing_ok=True)

    def _path(self, digest: str) -> str:
        return f"{self._folder}/{digest[:2]}/{digest[2:]}.zst"

    def _write(self, path: str, data: bytes) -> None:
        folder, name = path.rsplit("/", 1)
        part = f"{folder}/.{name}.{os.getpid()}.{get_ident()}.part"
        try:
            try:
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            except FileNotFoundError:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(handle, left) :]
            finally:
                os.close(handle)
            os.replace(part, path)  # noqa: PTH105
        except OSError as error:
            Path(part).unlink(missing_ok=True)
            raise StoreError(
                self._folder,
                f"expected room and leave to write {len(data):,} bytes, found: {error.strerror}",
                "free space or change the owner, then run the same command again",
            ) from error
