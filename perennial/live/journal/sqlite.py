"""The journal in a SQLite file with a write-ahead log; a commit is on disk."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.errors import JournalError
from perennial.live.files import sync_folder
from perennial.live.journal.entry import Entry
from perennial.live.journal.tables import SCHEMA, statements

if TYPE_CHECKING:
    import sqlalchemy as sa

ROWS_AT_ONCE = 500
LOG_PAGES = 4_000
PAGES_AT_ONCE = 1_000
POLL_S = 0.01
REMEDY = "free space, mend the file's owner, or stop what holds it; predictions go on without the journal"
ROWS_REMEDY = "leave these rows out"
OF_THE_ROWS = (
    *(sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.IntegrityError),
    *(ValueError, TypeError, OverflowError),
)


class SqliteStore:
    """The journal of one system in `path`; see `Store`."""

    def __init__(self, system: str, path: Path, max_wait_s: float) -> None:
        self.system = system
        self.place = str(path)
        self._path = path
        self._max_wait_s = max_wait_s
        self._writing: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._turn: int | None = None
        self._leading: int | None = None

    def insert(self, entries: Sequence[Entry]) -> int:
        """Write entries in one transaction; returns how many were new, once all are on disk."""
        try:
            return self._insert_in_turn(entries)
        except OF_THE_ROWS as error:
            self.close()
            raise JournalError(self.place, str(error), ROWS_REMEDY, passing=False) from error
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise JournalError(self.place, _told(error), REMEDY) from error

    @contextmanager
    def connection(self, write: bool = False, in_turn: bool = False) -> Iterator[sa.Connection]:
        """One transaction, committed at its end; with `write`, no other writer runs beside it."""
        import sqlalchemy as sa
        from sqlalchemy.pool import NullPool

        engine = sa.create_engine("sqlite://", creator=self._connect, poolclass=NullPool)
        try:
            with engine.connect() as connection, self._my_turn() if in_turn else nullcontext():
                connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
                yield connection
                connection.commit()
        except sa.exc.DBAPIError as error:
            raise JournalError(self.place, str(error.orig), REMEDY) from error
        except (sqlite3.Error, OSError) as error:
            raise JournalError(self.place, _told(error), REMEDY) from error

    def size_bytes(self) -> int:
        """The pages in use; a file is one system's."""
        with self.connection() as connection:
            pages, free, size = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * size)

    def give_back(self) -> None:
        """Cut free pages off the file, and bring the log into it; writers get their turns in between."""
        try:
            with closing(self._connect()) as connection:
                while connection.execute("PRAGMA freelist_count").fetchone()[0]:
                    with self._my_turn():
                        connection.executescript(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                with self._my_turn():
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except (sqlite3.Error, OSError) as error:
            raise JournalError(self.place, _told(error), REMEDY) from error

    def lead(self) -> bool:
        """Whether this store holds the lock file of those who look after the journal; held until `close`."""
        if self._leading is not None:
            return True
        handle = -1
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._beside("lead"), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        except OSError as error:
            raise JournalError(self.place, _told(error), REMEDY) from error
        self._leading = handle
        return True

    def close(self) -> None:
        """Close the writing connection, and let another lead."""
        if self._turn is not None:
            os.close(self._turn)
        if self._writing is not None:
            self._writing.close()
        if self._leading is not None:
            os.close(self._leading)
        self._writing = self._file = self._turn = self._leading = None

    def _insert_in_turn(self, entries: Sequence[Entry]) -> int:
        """Insert when the other workers of this file have had their turn.

        The lock only makes it fair: SQLite sleeps up to 100 ms between two looks at its own, so that one of two busy
        workers would hardly write at all. Waiting for it ends when its holder does.
        """
        connection, turn = self._connected()
        fcntl.flock(turn, fcntl.LOCK_EX)
        try:
            return _insert(connection, self.system, entries)
        finally:
            fcntl.flock(turn, fcntl.LOCK_UN)

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        """A turn among the workers of this file, waited for as long as they take theirs."""
        handle = os.open(self._beside("turn"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _connected(self) -> tuple[sqlite3.Connection, int]:
        """The writing connection and the handle of the turns.

        They belong to the file that is there now: a removed one would take rows and lose them.
        """
        if self._file != _identity(self._path):
            self.close()
        if self._writing is None or self._turn is None:
            self._writing = self._connect()
            self._turn = os.open(self._beside("turn"), os.O_RDWR | os.O_CREAT, 0o600)
            self._file = _identity(self._path)
        return self._writing, self._turn

    def _beside(self, what: str) -> Path:
        return self._path.with_name(f".{self._path.name}.{what}")

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._set_up_alone():
            made = sqlite3.connect(
                self._path, timeout=self._max_wait_s, isolation_level=None, check_same_thread=False
            )
            try:
                _set_up(made)
                sync_folder(self._path.parent)
            except BaseException:
                made.close()
                raise
        return made

    @contextmanager
    def _set_up_alone(self) -> Iterator[None]:
        """Several workers start at once, and SQLite does not wait while another turns on the log."""
        until = time.monotonic() + self._max_wait_s
        handle = os.open(self._beside("lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(POLL_S)
            yield
        finally:
            os.close(handle)


def _set_up(connection: sqlite3.Connection) -> None:
    """Tables, and the settings that make a commit durable; raises sqlite3.DatabaseError for another schema."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, SCHEMA):
        raise sqlite3.DatabaseError(f"expected the journal's schema {SCHEMA}, found {version}")
    if version == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    if version == 0:
        import sqlalchemy  # noqa: F401  (whole before its parts, or two threads that import it trip each other up)
        from sqlalchemy.dialects import sqlite

        connection.execute("BEGIN IMMEDIATE")
        for statement in statements(sqlite.dialect()):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, system: str, entries: Sequence[Entry]) -> int:
    """A single statement commits by itself: one wait for the disk, during which Python is free for others."""
    parts = [entries[start : start + ROWS_AT_ONCE] for start in range(0, len(entries), ROWS_AT_ONCE)]
    if len(parts) == 1:
        return _insert_part(connection, system, parts[0])
    connection.execute("BEGIN IMMEDIATE")
    new = sum(_insert_part(connection, system, part) for part in parts)
    connection.execute("COMMIT")
    return new


def _insert_part(connection: sqlite3.Connection, system: str, entries: Sequence[Entry]) -> int:
    values = [value for entry in entries for value in (system, *entry)]
    return connection.execute(_statement(len(entries)), values).rowcount


@cache
def _statement(rows: int) -> str:
    names = ", ".join(("system", *(f'"{name}"' for name in Entry._fields)))
    row = f"({', '.join('?' * (len(Entry._fields) + 1))})"
    values = ", ".join([row] * rows)
    return f"INSERT INTO perennial_predictions ({names}) VALUES {values} ON CONFLICT DO NOTHING"  # noqa: S608 (names of our own)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from a later one of the same name; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _told(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
