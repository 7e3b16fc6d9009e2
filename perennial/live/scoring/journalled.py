"""Scores as predictions of the journal, so that reviews and other truth meet them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec

from perennial.home import home
from perennial.live.journal.address import open_journal
from perennial.live.journal.entries import entries_of
from perennial.live.journal.entry import Entry, about, microseconds
from perennial.live.journal.masking import Rules, key_for, rules_of
from perennial.live.journal.receipt import Limits
from perennial.live.journal.store import Store
from perennial.live.predict import Answered, json_rows
from perennial.live.scoring.batches import Batch
from perennial.live.scoring.reviews import key_text
from perennial.table import Contract

GROUP_ROWS = Limits().group_rows
QUALITY = "score"


@dataclass(frozen=True)
class Journalling:
    """Where scores are journalled, and which inputs are private."""

    store: Store
    rules: Rules


@contextmanager
def journalling(system: str, address: str, contract: Contract) -> Iterator[Journalling]:
    """The journal that a config's `journal.address` names, closed at the block's end; raises InputError."""
    store = open_journal(system, address)
    try:
        yield Journalling(store, rules_of(contract, key_for(contract, home().journal)))
    finally:
        store.close()


def journal_scores(
    kept: Journalling,
    stock: str,
    key: Sequence[str],
    batch: Batch,
    chosen: Sequence[int],
    answered: Answered,
    now: datetime,
) -> None:
    """Write the scores of a batch's chosen rows to the journal, on disk when this returns.

    A group of them is a transaction, so that whoever serves from the same journal waits no longer than for its own.
    Raises JournalError.
    """
    entries = score_entries(kept.rules, stock, key, batch, chosen, answered, now)
    for start in range(0, len(entries), GROUP_ROWS):
        kept.store.insert(entries[start : start + GROUP_ROWS])


def score_entries(
    rules: Rules,
    stock: str,
    key: Sequence[str],
    batch: Batch,
    chosen: Sequence[int],
    answered: Answered,
    now: datetime,
) -> list[Entry]:
    """One entry per chosen row, in their order; what it is about is the row's key at the time of the score.

    Args:
        rules: which inputs are private.
        stock: the table.
        key: its columns that tell rows apart.
        batch: rows of it.
        chosen: places in the batch.
        answered: the answers, in the order of `chosen`.
        now: when they are scored, UTC.
    """
    keys = [{name: _told(value) for name, value in zip(key, batch.keys[i], strict=True)} for i in chosen]
    columns = {
        name: [_plain(v) for v in values[list(chosen)].tolist()] for name, values in batch.columns.items()
    }
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return entries_of(
        rows,
        json_rows(answered),
        answered.flags,
        [score_id(stock, one, answered.model_version, microseconds(now)) for one in keys],
        rules,
        request_id="",
        model_version=answered.model_version,
        time_us=microseconds(now),
        latency_s=0.0,
        quality=QUALITY,
        abouts=[about(now, one) for one in keys],
        encode=_json,
    )


def score_id(stock: str, key: dict[str, str], version: str, time_us: int) -> str:
    """The prediction id of a score made at `time_us`, which follows from what its review knows too.

    It grows with time, so that the rows of a run lie together in the journal's index.

    >>> score_id("cars", {"id": "7"}, "v1", 1_767_225_600_000_000)
    'score-06474846204000-64f815c5c4d26e12'
    """
    text = "\n".join((stock, key_text(key), version))
    digest = blake2b(text.encode("utf-8", "replace"), digest_size=8)
    return f"score-{time_us:014x}-{digest.hexdigest()}"


def _told(value: Any) -> str:
    """A key's value as a file of reviews writes it."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) and value.tzinfo else str(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
