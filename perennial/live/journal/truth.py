"""What really happened: read from rows, recorded late, repeated or revised, and never forgotten."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from perennial.errors import TableError, Violation
from perennial.live.journal.entry import about, microseconds
from perennial.live.journal.store import Store
from perennial.live.journal.tables import tables

if TYPE_CHECKING:
    import sqlalchemy as sa

VALUE = "truth"
FIELDS = frozenset((VALUE, "prediction_id", "row", "time", "known_at", "source"))
CHUNK = 500
FORMS = "prediction_id, or time with key columns"
PLACE = re.compile(r"[0-9]{1,9}")
LONGEST = 1000
"""Bytes of a text of a row: what PostgreSQL can have an index of ends at 2,704."""


@dataclass(frozen=True)
class Truth:
    """One value that really came about.

    Attributes:
        value: the number or the class; None to withdraw what the same source said of it before.
        prediction_id: the row's id as it was answered; None where `about` says what is meant.
        about: what `perennial.live.journal.entry.about` makes of the time and the key; meets every prediction of it.
        known_us: when the source knew it, in microseconds since 1970; None for when it is recorded.
        source: who says so, such as `file` or `review`.
    """

    value: float | str | bool | None
    prediction_id: str | None = None
    about: str | None = None
    known_us: int | None = None
    source: str = ""

    @property
    def target(self) -> tuple[str | None, str | None]:
        """What the value belongs to."""
        return self.prediction_id, self.about


@dataclass(frozen=True)
class Recorded:
    """What became of truths, in rows; `pending` names the targets without a prediction so far."""

    new: int
    revised: int
    repeated: int
    pending: tuple[str, ...]


def read_truth(rows: Iterable[Mapping[str, Any]], subject: str, source: str = "") -> list[Truth]:
    """The truths that rows hold; a row's own `source` comes before the given one.

    A row has `truth` and either `prediction_id` (of a request with several rows, its id and `row` from 0 will do) or
    `time` (ISO 8601 with a zone), and then every other column is part of the key. `known_at` says when this was
    known, so that an old value that is sent again does not replace a newer one.

    Raises:
        TableError: naming every row that cannot be used.
    """
    found, problems = [], []
    for place, row in enumerate(rows):
        try:
            found.append(_read_row({k: v for k, v in row.items() if v is not None and v != ""}, source))
        except ValueError as error:
            problems.append(Violation(f"rows[{place}]", str(error)))
    if problems:
        raise TableError(subject, problems)
    return found


def _read_row(row: Mapping[str, Any], source: str) -> Truth:
    if VALUE not in row:
        raise ValueError(f"expected a {VALUE}, found none")
    value = row[VALUE]
    if not _is_value(value):
        raise ValueError(f"expected {VALUE} to be a number or a text, found {json.dumps(value)[:100]}")
    key = {name: row[name] for name in row if name not in FIELDS}
    prediction_id, time = row.get("prediction_id"), row.get("time")
    if (prediction_id is None) == (time is None):
        raise ValueError(f"expected {FORMS}, found {'both' if time is not None else 'neither'}")
    if prediction_id is not None and key:
        raise ValueError(f"expected no key beside prediction_id, found the column {min(key)!r}")
    if prediction_id is None and "row" in row:
        raise ValueError("expected row beside prediction_id only")
    known = row.get("known_at")
    return Truth(
        value=value,
        prediction_id=None if prediction_id is None else _row_id(prediction_id, row.get("row")),
        about=None if time is None else checked_text("the key", about(_moment("time", time), key)),
        known_us=None if known is None else microseconds(_moment("known_at", known)),
        source=checked_text("source", str(row.get("source", source))),
    )


def checked_text(name: str, text: str) -> str:
    """A text that every database can hold and look up; raises ValueError."""
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError(f"expected {name} in Unicode without zeros, found {text[:100]!r}")
    if len(text.encode()) > LONGEST:
        raise ValueError(f"expected {name} of at most {LONGEST:,} bytes, found {len(text.encode()):,}")
    return text


def _is_value(value: Any) -> bool:
    """Whether a value is a number that a float can hold, a boolean, or a text that is no essay."""
    if isinstance(value, str):
        return len(value) <= LONGEST
    return isinstance(value, (int, float)) and abs(value) <= sys.float_info.max


def _row_id(prediction_id: Any, row: Any) -> str:
    if not isinstance(prediction_id, str):
        raise ValueError(f"expected prediction_id to be text, found {json.dumps(prediction_id)[:100]}")
    checked_text("prediction_id", prediction_id)
    if row is None:
        return prediction_id
    if not PLACE.fullmatch(str(row)):
        raise ValueError(f"expected row to be a whole number from 0, found {str(row)[:100]!r}")
    return f"{prediction_id}-{int(row)}"


def _moment(name: str, value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"expected {name} as 2026-01-31T10:00:00+00:00, found {str(value)[:100]!r}"
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f"expected {name} with a zone, such as 2026-01-31T10:00:00Z, found {value!r}")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"expected {name} in the years 1 to 9999 of UTC, found {value!r}") from None


def record_truth(store: Store, truths: Sequence[Truth], now: datetime) -> Recorded:
    """Add truths to the journal, all or none; on disk when this returns.

    A value that its source said before (at the same `known_us`, or without one as its newest) is a repetition and
    changes nothing. Any other is a revision: it is added, and the newest counts. Truth whose prediction is not there
    is kept and meets it when it comes.

    Raises:
        JournalError: the journal cannot be written.
    """
    now_us = microseconds(now)
    new = revised = repeated = 0
    with store.connection(write=True) as connection:
        for start in range(0, len(truths), CHUNK):
            chunk = truths[start : start + CHUNK]
            told = _told(connection, store.system, chunk)
            fresh: list[dict[str, Any]] = []
            for one in chunk:
                known = told.setdefault((*one.target, one.source), [])
                text = json.dumps(one.value)
                if _is_repeated(known, text, one.known_us):
                    repeated += 1
                    continue
                new, revised = new + (not known), revised + bool(known)
                known.append((now_us if one.known_us is None else one.known_us, text))
                known.sort(key=lambda k: k[0])
                fresh.append(_values(store.system, one, text, now_us))
            if fresh:
                connection.execute(tables().truth.insert(), fresh)
        pending = _pending(connection, store.system, truths)
    return Recorded(new, revised, repeated, pending)


def _values(system: str, one: Truth, text: str, now_us: int) -> dict[str, Any]:
    return {
        "system": system,
        "prediction_id": one.prediction_id,
        "about": one.about,
        "value": text,
        "source": one.source,
        "known_us": now_us if one.known_us is None else one.known_us,
        "recorded_us": now_us,
    }


def _is_repeated(known: Sequence[tuple[int, str]], text: str, known_us: int | None) -> bool:
    if known_us is None:
        return bool(known) and known[-1][1] == text
    return (known_us, text) in known


def _told(
    connection: sa.Connection, system: str, chunk: Sequence[Truth]
) -> dict[tuple[str | None, str | None, str], list[tuple[int, str]]]:
    """What is recorded for the targets of a chunk: by target and source, when known and value, oldest first."""
    import sqlalchemy as sa

    t = tables().truth
    told: dict[tuple[str | None, str | None, str], list[tuple[int, str]]] = {}
    for column in (t.c.prediction_id, t.c.about):
        wanted = {getattr(one, column.name) for one in chunk} - {None}
        query = (
            sa.select(t.c.prediction_id, t.c.about, t.c.source, t.c.known_us, t.c.value)
            .where(t.c.system == system, column.in_(sorted(wanted)))
            .order_by(t.c.known_us, t.c.seq)
        )
        for prediction_id, about_text, source, known_us, value in connection.execute(query) if wanted else ():
            told.setdefault((prediction_id, about_text, source), []).append((known_us, value))
    return told


def _pending(connection: sa.Connection, system: str, truths: Sequence[Truth]) -> tuple[str, ...]:
    """The targets, each once, that no prediction has."""
    import sqlalchemy as sa

    p = tables().predictions
    missing: list[str] = []
    for column in (p.c.prediction_id, p.c.about):
        wanted = list(dict.fromkeys(v for one in truths if (v := getattr(one, column.name)) is not None))
        for start in range(0, len(wanted), CHUNK):
            part = wanted[start : start + CHUNK]
            found = connection.execute(
                sa.select(column).distinct().where(p.c.system == system, column.in_(part))
            )
            there = set(found.scalars())
            missing += [target for target in part if target not in there]
    return tuple(missing)
