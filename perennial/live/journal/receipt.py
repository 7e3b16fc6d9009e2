"""What a writer promises and tells: receipts, limits and figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from perennial.live.journal.store import MAX_WAIT_S


class Receipt(NamedTuple):
    """What became of a put: `written` means on disk; else `reason` says why it is not known to be."""

    written: bool
    reason: str = ""


WRITTEN = Receipt(True)


@dataclass(frozen=True)
class Limits:
    """How much may wait, and how long.

    Attributes:
        rows: rows in memory that are not on disk yet; more are refused.
        bytes: about as many bytes of these.
        group_rows: rows of one transaction, but for a put that is larger by itself.
        max_wait_s: after so long a put is answered as not written, though it may be later.
        retry_s: pause after a first failed group; doubled with each further one up to `max_wait_s`.
    """

    rows: int = 50_000
    bytes: int = 64 * 2**20
    group_rows: int = 2_000
    max_wait_s: float = MAX_WAIT_S
    retry_s: float = 0.1


@dataclass(frozen=True)
class Stats:
    """What a writer has done since it started.

    Attributes:
        rows_written: new rows on disk, `rows_late` included.
        rows_repeated: rows whose id was on disk before; nothing was changed.
        rows_late: rows that came to disk after their put had been answered as not written.
        rows_lost: rows that never came to disk: refused when too much waited, or given up at the end.
        rows_unconfirmed: rows whose put was answered as not written, whatever became of them.
        rows_waiting: rows in memory now.
        groups: transactions that were committed.
        groups_failed: transactions that were not.
        lag_s: how long the oldest row in the group at hand has waited.
        down: why the last group failed, or that it takes too long; "" once one was written.
        last_error: why a group failed last, ever.
    """

    rows_written: int
    rows_repeated: int
    rows_late: int
    rows_lost: int
    rows_unconfirmed: int
    rows_waiting: int
    groups: int
    groups_failed: int
    lag_s: float
    down: str
    last_error: str
