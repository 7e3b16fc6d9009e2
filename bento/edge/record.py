"""Puts what a device answered into the queue of what it tells the journal, without anything private."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bento.edge.queue import Queue
from perennial.live.bundle import Bundle
from perennial.live.journal.entries import entries_of
from perennial.live.journal.masking import Rules, rules_in

logger = logging.getLogger("bento.edge")


class Record:
    """Belongs to one thread.

    Args:
        queue: where rows wait; None where no rows are kept.
        folder: where the device's own key for hashed columns lies; made where it is missing.
        clock: seconds since 1970.
    """

    def __init__(self, queue: Queue | None, folder: Path, clock: Callable[[], float]) -> None:
        self._queue, self._folder, self._clock = queue, folder, clock
        self._rules: tuple[str, Rules] | None = None
        self._trouble_told = ""
        self.lost = 0

    def put(
        self,
        bundle: Bundle,
        rows: Sequence[Mapping[str, Any]],
        answers: Sequence[Mapping[str, Any]],
        flags: Sequence[Sequence[str]],
        ids: Sequence[str],
        request_id: str,
        latency_s: float,
        quality: str,
        abouts: Sequence[str | None] | None = None,
    ) -> bool:
        """Whether the rows of a request (see `entries_of`) are on disk where any are kept; those lost are counted."""
        if self._queue is None:
            return True
        try:
            self._queue.put(
                entries_of(
                    rows,
                    answers,
                    flags,
                    ids,
                    self._rules_of(bundle),
                    request_id,
                    bundle.manifest.version,
                    round(self._clock() * 1e6),
                    latency_s,
                    quality=quality,
                    abouts=abouts,
                )
            )
        except (OSError, sqlite3.Error) as error:
            self.lost += len(answers)
            logger.error("%s rows are not in the queue: %s", len(answers), error)
            return False
        return True

    def _rules_of(self, bundle: Bundle) -> Rules:
        if self._rules is None or self._rules[0] != bundle.digest:
            rules, trouble = rules_in(bundle.contract, self._folder)
            if trouble and trouble != self._trouble_told:
                logger.error("%s", trouble)
            self._trouble_told = trouble
            if trouble:
                return rules
            self._rules = bundle.digest, rules
        return self._rules[1]
