"""Where the entries of a ledger are kept: one file each, created once and never written again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from perennial.live.files import write_exclusive

NAME = re.compile(r"\d{6,}\.json")


class Store(Protocol):
    """Where entries are kept: anything that can create a name once and for all."""

    def list(self) -> list[str]:
        """The names of all entries, in any order; names that are no entry's are left out."""
        ...

    def read(self, name: str) -> bytes:
        """The content under a name; raises FileNotFoundError."""
        ...

    def create_exclusive(self, name: str, data: bytes) -> None:
        """Create `name` with all of `data`, or nothing at all; raises FileExistsError where it exists."""
        ...


@dataclass(frozen=True)
class FolderStore:
    """Entries as files of a folder, which the first entry creates."""

    folder: Path

    def list(self) -> list[str]:
        """The names of all entries; none where the folder does not exist."""
        if not self.folder.exists():
            return []
        return [path.name for path in self.folder.iterdir() if NAME.fullmatch(path.name)]

    def read(self, name: str) -> bytes:
        """The content of the file called `name`."""
        return (self.folder / name).read_bytes()

    def create_exclusive(self, name: str, data: bytes) -> None:
        """Write the file `name` durably; raises FileExistsError where it exists."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_exclusive(self.folder / name, data)
