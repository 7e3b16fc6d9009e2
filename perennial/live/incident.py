"""Incidents: the time from a first alert to recovery, kept so that each is told once.

The store is one SQLite database, so a process that is killed leaves it whole, and of two processes that report
the same trouble at once one opens the incident. It is also the outbox of `perennial.live.alert`: a message is
noted before it is sent and ticked off after, so a process that is killed between loses none; the next one sends
it, possibly a second time.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os import getpid
from pathlib import Path
from socket import gethostname
from typing import Any, Literal

from perennial.live.marker import left_behind, marked
from perennial.live.span import at

Kind = Literal["collection", "validation", "training", "promotion", "died", "journal"]
Event = Literal["opened", "closed"]
STORE = "incidents.db"
BUSY_S = 30.0
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS incidents (id INTEGER PRIMARY KEY, system TEXT NOT NULL, kind TEXT NOT NULL,"
    " key TEXT NOT NULL, sentence TEXT NOT NULL, opened_at TEXT NOT NULL, last_at TEXT NOT NULL,"
    " closed_at TEXT, count INTEGER NOT NULL, queued TEXT NOT NULL DEFAULT '')",
    "CREATE UNIQUE INDEX IF NOT EXISTS one_open ON incidents (system, kind, key) WHERE closed_at IS NULL",
    "CREATE TABLE IF NOT EXISTS messages (incident INTEGER NOT NULL REFERENCES incidents, event TEXT NOT NULL,"
    " address TEXT NOT NULL, sent_at TEXT, failed_at TEXT, PRIMARY KEY (incident, event, address))",
)
COLUMNS = "id, system, kind, key, sentence, opened_at, last_at, closed_at, count"


@dataclass(frozen=True)
class Incident:
    """A stretch of trouble. `count` reports came in, the newest at `last_at` with `sentence`; times are UTC.

    `kind` and `key` say what is in trouble: reports of one system, kind and key are one incident until it is
    closed (`closed_at`; None while it is open).
    """

    id: int
    system: str
    kind: Kind
    key: str
    sentence: str
    opened_at: datetime
    last_at: datetime
    closed_at: datetime | None
    count: int


@dataclass(frozen=True)
class Message:
    """What one address is still to be told: that an incident was opened, or that it was closed."""

    incident: Incident
    event: Event
    address: str


def report(folder: Path, system: str, kind: Kind, key: str, sentence: str, now: datetime) -> Incident | None:
    """The incident that this report opens; None where it is one more report of an open one."""
    stamp = _text(now)
    with _store(folder) as db:
        known = db.execute(
            "UPDATE incidents SET count = count + 1, last_at = ?, sentence = ?"
            " WHERE system = ? AND kind = ? AND key = ? AND closed_at IS NULL",
            (stamp, sentence, system, kind, key),
        )
        if known.rowcount:
            return None
        added = db.execute(
            "INSERT INTO incidents (system, kind, key, sentence, opened_at, last_at, count)"
            " VALUES (?, ?, ?, ?, ?, ?, 1)",
            (system, kind, key, sentence, stamp, stamp),
        )
        return _one(db, added.lastrowid)


def recover(folder: Path, system: str, kind: Kind, key: str, now: datetime) -> Incident | None:
    """The incident that ends now; None where none was open."""
    if not (folder / STORE).exists():
        return None
    with _store(folder) as db:
        found = db.execute(
            "SELECT id FROM incidents WHERE system = ? AND kind = ? AND key = ? AND closed_at IS NULL",
            (system, kind, key),
        ).fetchone()
        if found is None:
            return None
        db.execute("UPDATE incidents SET closed_at = ? WHERE id = ?", (_text(now), found[0]))
        return _one(db, found[0])


def incidents(folder: Path, system: str | None = None) -> list[Incident]:
    """All incidents in the order in which they were opened, of one system or of all."""
    if not (folder / STORE).exists():
        return []
    with _store(folder) as db:
        rows = db.execute(f"SELECT {COLUMNS} FROM incidents ORDER BY id").fetchall()  # noqa: S608
    return [one for one in map(_incident, rows) if system in (None, one.system)]


@contextmanager
def running(folder: Path, system: str, what: str, now: datetime) -> Iterator[None]:
    """Marks a run of `what` (such as `collection`) as alive until the block ends, with or without an exception.

    A run that is killed cannot take its mark away, and is found by `report_dead`.
    """
    facts = {"system": system, "what": what, "pid": str(getpid()), "host": gethostname()}
    name = f"{system}-{what}-{uuid.uuid4().hex}"
    with marked(folder / "running", name, {**facts, "since": _text(now)}) as path:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def report_dead(folder: Path, now: datetime) -> list[Incident]:
    """The incidents that are opened now for runs of any system that ended without a word."""
    opened = []
    for _, facts in left_behind(folder / "running"):
        began = at(datetime.fromisoformat(facts["since"]))
        sentence = (
            f"expected the run of {facts['what']} that began at {began} (process {facts['pid']} on "
            f"{facts['host']}) to end with a word, found it gone: killed, out of memory, or the machine went "
            "down; look at that machine's log, and run the same command again: it goes on from what was stored"
        )
        opened.append(report(folder, facts["system"], "died", facts["what"], sentence, now))
    return [one for one in opened if one is not None]


def due(folder: Path, system: str, addresses: Sequence[str], now: datetime, retry_s: float) -> list[Message]:
    """What is to be sent now to `addresses` about a system's incidents, oldest incident first.

    An incident's messages are addressed once: who is added to the config later is not told of the past. A
    recovery takes the place of an alert that was not sent yet. An address that failed is left alone for
    `retry_s` seconds.
    """
    if not (folder / STORE).exists():
        return []
    patience = _text(now - timedelta(seconds=retry_s))
    with _store(folder) as db:
        for event, new in (
            ("opened", "SELECT id FROM incidents WHERE system = ? AND closed_at IS NULL AND queued = ''"),
            (
                "closed",
                "SELECT id FROM incidents WHERE system = ? AND closed_at IS NOT NULL AND queued <> 'closed'",
            ),
        ):
            ids = [i for (i,) in db.execute(new, (system,)).fetchall()]
            db.executemany(
                "INSERT OR IGNORE INTO messages (incident, event, address) VALUES (?, ?, ?)",
                [(i, event, address) for i in ids for address in addresses],
            )
            db.executemany("UPDATE incidents SET queued = ? WHERE id = ?", [(event, i) for i in ids])
        db.execute(
            "DELETE FROM messages WHERE event = 'opened' AND sent_at IS NULL"
            " AND incident IN (SELECT id FROM incidents WHERE closed_at IS NOT NULL)"
        )
        rows = db.execute(
            "SELECT incident, event, address FROM messages WHERE sent_at IS NULL"
            " AND (failed_at IS NULL OR failed_at <= ?) ORDER BY incident, event, rowid",
            (patience,),
        ).fetchall()
        found = [Message(_one(db, i), event, address) for i, event, address in rows if address in addresses]
    return [message for message in found if message.incident.system == system]


def tick_off(folder: Path, sent: Sequence[Message], failed: Sequence[Message], now: datetime) -> None:
    """Notes which messages were sent, and which could not be."""
    change = "WHERE incident = ? AND event = ? AND address = ?"
    with _store(folder) as db:
        for column, messages in (("sent_at", sent), ("failed_at", failed)):
            db.executemany(
                f"UPDATE messages SET {column} = ? {change}",  # noqa: S608
                [(_text(now), m.incident.id, m.event, m.address) for m in messages],
            )


def untold(folder: Path) -> dict[int, list[str]]:
    """Incident id -> the addresses that a message could not be sent to so far."""
    found: dict[int, list[str]] = {}
    if (folder / STORE).exists():
        with _store(folder) as db:
            rows = db.execute("SELECT incident, address FROM messages WHERE sent_at IS NULL").fetchall()
        for number, address in rows:
            found.setdefault(number, []).append(address)
    return found


@contextmanager
def _store(folder: Path) -> Iterator[sqlite3.Connection]:
    """The store inside one transaction of its own, which an exception undoes."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / STORE, timeout=BUSY_S, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in SCHEMA:
                db.execute(statement)
            yield db
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")


def _one(db: sqlite3.Connection, number: int | None) -> Incident:
    query = f"SELECT {COLUMNS} FROM incidents WHERE id = ?"  # noqa: S608
    return _incident(db.execute(query, (number,)).fetchone())


def _incident(row: Sequence[Any]) -> Incident:
    number, system, kind, key, sentence, opened, last, closed, count = row
    ended = datetime.fromisoformat(closed) if closed else None
    began, newest = datetime.fromisoformat(opened), datetime.fromisoformat(last)
    return Incident(number, system, kind, key, sentence, began, newest, ended, count)


def _text(time: datetime) -> str:
    """An instant as it is stored: ISO 8601 in UTC, so that texts sort as times do."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
