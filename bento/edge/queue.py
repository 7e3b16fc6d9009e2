"""What a device has answered and not yet sent: a bounded queue on disk. Full, it drops the oldest and counts them."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from perennial.live.files import sync_folder
from perennial.live.journal.entry import Entry

SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
  number INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, bytes INTEGER NOT NULL, time_us INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT OR IGNORE INTO counts VALUES ('dropped', 0), ('refused', 0), ('sent', 0), ('rows', 0), ('bytes', 0);
"""


@dataclass(frozen=True)
class Waiting:
    """A row that waits: its number, and the journal entry as the text of a JSON object."""

    number: int
    body: str


@dataclass(frozen=True)
class Counts:
    """What became of the rows, since the queue was made.

    Attributes:
        rows: waiting now.
        bytes: about as many of them.
        oldest_us: when the oldest of them was answered, in microseconds since 1970; None where none waits.
        sent: taken by the receiver.
        refused: turned away by the receiver, one by one, and left out.
        dropped: given up because the queue was full.
    """

    rows: int
    bytes: int
    oldest_us: int | None
    sent: int
    refused: int
    dropped: int


class Queue:
    """Journal rows in the order in which they were answered; may be shared between threads.

    A file that is no queue any more is set aside and a new one begun: rows can be lost to a broken disk, answers
    cannot.
    """

    def __init__(self, path: Path, max_rows: int, max_bytes: int) -> None:
        self._path, self._max_rows, self._max_bytes = path, max_rows, max_bytes
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None

    def put(self, entries: Sequence[Entry]) -> None:
        """Keeps rows on disk; the oldest go where there are too many. Raises OSError or sqlite3.Error."""
        bodies = [json.dumps(entry._asdict(), separators=(",", ":")) for entry in entries]
        rows = [(body, len(body), entry.time_us) for body, entry in zip(bodies, entries, strict=True)]
        with self._transaction() as connection:
            connection.executemany("INSERT INTO rows (body, bytes, time_us) VALUES (?, ?, ?)", rows)
            _add(connection, "rows", len(rows))
            _add(connection, "bytes", sum(size for _, size, _ in rows))
            self._trim(connection)

    def first(self, count: int, max_bytes: int) -> tuple[Waiting, ...]:
        """The oldest rows, at least one where there is one, else as many as fit into `max_bytes`."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT number, body FROM rows ORDER BY number LIMIT ?", (count,)
            ).fetchall()
        taken: list[Waiting] = []
        total = 0
        for number, body in rows:
            total += len(body)
            if taken and total > max_bytes:
                break
            taken.append(Waiting(number, body))
        return tuple(taken)

    def done(self, rows: Sequence[Waiting], outcome: str) -> None:
        """Removes rows that were `sent` or `refused`, and counts those that are still there."""
        with self._transaction() as connection:
            gone = [
                found[0]
                for row in rows
                if (
                    found := connection.execute(
                        "DELETE FROM rows WHERE number = ? RETURNING bytes", (row.number,)
                    ).fetchone()
                )
            ]
            _add(connection, outcome, len(gone))
            _add(connection, "rows", -len(gone))
            _add(connection, "bytes", -sum(gone))

    def counts(self) -> Counts:
        """How things stand."""
        with self._transaction() as connection:
            told = dict(connection.execute("SELECT name, value FROM counts").fetchall())
            oldest = connection.execute("SELECT time_us FROM rows ORDER BY number LIMIT 1").fetchone()
        return Counts(
            told["rows"], told["bytes"], oldest and oldest[0], told["sent"], told["refused"], told["dropped"]
        )

    def close(self) -> None:
        """Closes the file; a later call opens it again."""
        with self._lock:
            self._close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on disk at its end. After an error the file is opened, and so looked at, again."""
        with self._lock:
            try:
                with self._connected() as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    yield connection
            except sqlite3.Error:
                self._close()
                raise

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _trim(self, connection: sqlite3.Connection) -> None:
        told = dict(connection.execute("SELECT name, value FROM counts").fetchall())
        while told["rows"] > 1 and (told["rows"] > self._max_rows or told["bytes"] > self._max_bytes):
            (size,) = connection.execute(
                "DELETE FROM rows WHERE number = (SELECT min(number) FROM rows) RETURNING bytes"
            ).fetchone()
            for name, change in (("rows", -1), ("bytes", -size), ("dropped", 1)):
                told[name] += change
                _add(connection, name, change)

    def _connected(self) -> sqlite3.Connection:
        if self._open is None:
            try:
                self._open = _opened(self._path)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                set_aside(self._path)
                self._open = _opened(self._path)
        return self._open


def _opened(path: Path) -> sqlite3.Connection:
    is_new = not path.exists()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(SCHEMA)
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    except sqlite3.Error:
        connection.close()
        raise
    if is_new:
        sync_folder(path.parent)
    return connection


def set_aside(path: Path) -> None:
    """Keeps a database under the name `FILE.damaged`, so that a new one can be begun."""
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}{ending}").replace(path.with_name(f"{path.name}.damaged{ending}"))


def _add(connection: sqlite3.Connection, name: str, change: int) -> None:
    connection.execute("UPDATE counts SET value = value + ? WHERE name = ?", (change, name))
