"""Reviews told to the journal: they count as truth of a source of their own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from perennial.live.journal.entry import about, microseconds
from perennial.live.journal.store import open_store
from perennial.live.journal.truth import Truth, record_truth
from perennial.live.scoring.reviews import Reviewed


def tell_journal(system: str, reviews: Iterable[Reviewed], now: datetime, address: str | None) -> None:
    """Record reviews as truth; what the journal knows already changes nothing, and a rejection withdraws it.

    `address` is that of `perennial.live.journal.store.open_store`. Raises JournalError.
    """
    truths = [
        Truth(r.value, about=about(r.time, r.key), known_us=microseconds(r.known_at), source=r.source)
        for r in reviews
    ]
    store = open_store(system, address)
    try:
        record_truth(store, truths, now)
    finally:
        store.close()
