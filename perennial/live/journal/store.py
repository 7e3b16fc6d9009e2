"""Where the journal is kept: one SQLite file per system, or PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from perennial.errors import InputError
from perennial.home import home

if TYPE_CHECKING:
    import sqlalchemy as sa

    from perennial.live.journal.entry import Entry

MAX_WAIT_S = 2.0
SCHEMES = ("sqlite", "postgresql", "postgres", "postgresql+psycopg")


class Store(Protocol):
    """The journal of one system.

    `insert` belongs to one thread at a time, everything else may be called beside it; several processes may open the
    same journal.
    """

    system: str
    place: str

    def insert(self, entries: Sequence[Entry]) -> int:
        """Write entries in one transaction; returns how many were new, once all are on disk.

        An id that is there already keeps what was written first. Raises JournalError.
        """
        ...

    def connection(self, write: bool = False, in_turn: bool = False) -> AbstractContextManager[sa.Connection]:
        """One transaction, committed at its end; with `write`, no other such transaction runs beside it.

        With `in_turn` it first waits behind the groups of all writers, however long these take. Raises JournalError
        for whatever the database raises inside.
        """
        ...

    def size_bytes(self) -> int:
        """How much the system's predictions and truth take, without space that is free again."""
        ...

    def give_back(self) -> None:
        """Return the space of deleted rows to the disk, where the database does not do so by itself."""
        ...

    def lead(self) -> bool:
        """Whether this store, of all that are open on the journal, is the one to look after it.

        It stays so until it is closed, its process ends or the database lets go of it. Raises JournalError.
        """
        ...

    def close(self) -> None:
        """Close all connections; a later call opens them again."""
        ...


def open_store(system: str, address: str | Path | None = None, max_wait_s: float = MAX_WAIT_S) -> Store:
    """The journal of a system; nothing is opened or made before it is first used.

    Args:
        system: whose predictions.
        address: a file, `sqlite:///FILE`, or `postgresql://...` with one database for all systems. Default: the
            system's file in the state folder.
        max_wait_s: how long one statement may wait for a lock or an answer.

    Raises:
        InputError: the address is of another kind.
    """
    address = address or home().journal / f"{system}.sqlite"
    scheme, colon, rest = str(address).partition("://")
    if isinstance(address, Path) or not colon:
        return _sqlite(system, Path(address), max_wait_s)
    if scheme not in SCHEMES:
        raise InputError(
            f"expected a journal in a file, at sqlite:///FILE or at postgresql://HOST/DATABASE, found {scheme}://"
        )
    if scheme == "sqlite":
        file = rest.removeprefix("/")
        if not file or "?" in file or file == ":memory:":
            raise InputError(
                f"expected a journal in a file, such as sqlite:////srv/journal.sqlite, found {address}"
            )
        return _sqlite(system, Path(file), max_wait_s)
    from perennial.live.journal.postgres import PostgresStore

    return PostgresStore(system, f"postgresql+psycopg://{rest}", max_wait_s)


def _sqlite(system: str, path: Path, max_wait_s: float) -> Store:
    from perennial.live.journal.sqlite import SqliteStore

    return SqliteStore(system, path.absolute(), max_wait_s)
