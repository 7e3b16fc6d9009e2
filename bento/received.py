"""What callers tell the journal: what really happened, and what devices answered while nobody listened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, get_type_hints

import msgspec

from bento import asked
from bento.asked import Refused
from perennial.errors import JournalError, TableError
from perennial.live.journal.entry import Entry, microseconds
from perennial.live.journal.store import Store
from perennial.live.journal.truth import checked_text, read_truth, record_truth

MOST_ROWS = 10_000
FORM = 'expected {"rows": [{"truth": ..., "prediction_id": ...}, ...], "source": ...} or a list of such rows'


JournalRow = msgspec.defstruct(
    "JournalRow",
    [
        (name, kind, Entry._field_defaults[name]) if name in Entry._field_defaults else (name, kind)
        for name, kind in get_type_hints(Entry).items()
    ],
    forbid_unknown_fields=True,
    frozen=True,
)
"""An `Entry` as a device sends it: an object with the same fields."""


PLACES, INSTANTS = (0, 2**31 - 1), (0, microseconds(datetime(9999, 1, 1, tzinfo=UTC)))
"""Least and most of a row's place, and of a time in microseconds, that every reader of the journal can take."""


class Upload(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A batch of a device; `dropped` counts rows that its queue could not hold."""

    device: str
    system: str
    entries: list[JournalRow]
    dropped: int = 0


def truth(store: Store, body: bytes) -> dict[str, Any]:
    """Records truths; counts of new, revised and repeated rows, and the ids that still wait for a prediction.

    Raises:
        Refused: naming every row that cannot be used, or because the journal cannot be written.
    """
    value = asked.parse_json(body)
    rows, source = (value.get("rows"), value.get("source", "")) if isinstance(value, dict) else (value, "")
    if (
        not isinstance(rows, list)
        or not all(isinstance(row, dict) for row in rows)
        or not isinstance(source, str)
    ):
        raise asked.invalid(f"{FORM}, found something else")
    if len(rows) > MOST_ROWS:
        raise Refused(
            413, "too_large", f"expected at most {MOST_ROWS:,} rows, found {len(rows):,}; send them in parts"
        )
    try:
        done = record_truth(store, read_truth(rows, "body", source), datetime.now(UTC))
    except TableError as error:
        raise asked.from_table(error) from None
    except JournalError as error:
        raise _refused(error) from None
    return {
        "new": done.new,
        "revised": done.revised,
        "repeated": done.repeated,
        "pending": list(done.pending),
    }


def upload(store: Store, body: bytes) -> dict[str, Any]:
    """Takes the rows of a device into the journal; a row that is there already changes nothing.

    Raises:
        Refused: because the batch is no such batch, or the journal cannot be written.
    """
    try:
        batch = msgspec.json.decode(body, type=Upload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise asked.invalid(f"expected a batch of a device's journal rows, found: {error}") from None
    if batch.system != store.system:
        raise Refused(
            409, "wrong_system", f"expected rows of {store.system}, found some of {batch.system[:100]!r}"
        )
    if len(batch.entries) > MOST_ROWS:
        raise Refused(
            413, "too_large", f"expected at most {MOST_ROWS:,} entries, found {len(batch.entries):,}"
        )
    if problems := [asked.violation(n, *p) for n, one in enumerate(batch.entries) for p in _wrong(one)]:
        at, problem = "entries[{row}].{field}".format(**problems[0]), problems[0]["problem"]
        raise asked.invalid(f"expected entries that can be read again, found {at}: {problem}", *problems)
    try:
        store.insert([Entry(*msgspec.structs.astuple(one)) for one in batch.entries])
    except JournalError as error:
        raise _refused(error) from None
    return {"taken": len(batch.entries)}


def _wrong(one: Any) -> Iterator[tuple[str, str]]:
    """Field and problem of what no reader of the journal could make sense of."""
    for name in ("prediction_id", "arm", "model_version", "request_id", "unit", "about"):
        try:
            checked_text(name, getattr(one, name) or "")
        except ValueError as error:
            yield name, str(error)
    for name in ("inputs", "output"):
        try:
            msgspec.json.decode(getattr(one, name), type=dict)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            yield name, f"expected {name} to be the text of a JSON object"
    for name, (least, most) in (("row", PLACES), ("time_us", INSTANTS)):
        if not least <= getattr(one, name) <= most:
            yield name, f"expected {name} from {least} to {most}, found another"


ROUTES: dict[str, Callable[[Store, bytes], dict[str, Any]]] = {"/truth": truth, "/journal": upload}
"""What takes the body of a POST, by path."""


def nothing_kept() -> Refused:
    """The refusal of a service that keeps no journal: status 503."""
    return Refused(503, "journal_unavailable", "expected a journal, found that none is kept here")


def _refused(error: JournalError) -> Refused:
    """The refusal of rows that the journal did not take, now or ever."""
    if error.passing:
        return unavailable(error)
    return asked.invalid(f"expected rows that the journal can take, found: {error.found}")


def unavailable(error: JournalError) -> Refused:
    """The refusal for now: status 503; where the journal is stays between us and the log."""
    return Refused(
        503, "journal_unavailable", f"the journal cannot be written now ({error.found}); send it again later"
    )
