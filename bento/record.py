"""Hands every answer to the journal before it is sent, and says in a header whether it is on disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from bento.answering import Answering, Exchange
from bento.received import ROUTES
from bento.wire import Headers
from perennial.home import Home, home
from perennial.live.journal.entries import entries_of
from perennial.live.journal.entry import Entry
from perennial.live.journal.masking import Rules, rules_in
from perennial.live.journal.receipt import Stats
from perennial.live.journal.store import Store, open_store
from perennial.live.journal.writer import Writer

ADDRESS, OFF = "PERENNIAL_JOURNAL", "off"
WRITTEN: Headers = ((b"x-journal", b"written"),)
NOT_WRITTEN: Headers = ((b"x-journal", b"not-written"),)

logger = logging.getLogger("bento.service")
_encoder = msgspec.json.Encoder()


class Recorder:
    """One worker's way to the journal; awaited with every exchange and the seconds that it took.

    Nothing is opened before the first answer, when it is known whose predictions they are.

    Args:
        address: see `open_store`; "" for the system's file in the state folder.
        root: the state folder.
    """

    def __init__(self, address: str, root: Home) -> None:
        self._address, self._root = address, root
        self._system = ""
        self._writer: Writer | None = None
        self._rules: dict[Answering, Rules] = {}
        self._trouble_told = ""

    async def __call__(self, exchange: Exchange, seconds: float) -> Headers:
        """Headers that say whether the answer is on disk; waits for that no longer than the writer does."""
        receipt = await self._opened(exchange.answering).put(self.entries(exchange, seconds))
        return WRITTEN if receipt.written else NOT_WRITTEN

    def beside(self, entries: list[Entry]) -> None:
        """Has the writer take entries that no caller waits for; belongs to the event loop."""
        if self._writer is not None:
            self._writer.put(entries)

    def entries(self, exchange: Exchange, seconds: float) -> list[Entry]:
        """An exchange as the journal keeps it; may be called in any thread."""
        return entries_of(
            exchange.rows,
            exchange.predictions,
            exchange.answered.flags,
            exchange.row_ids,
            self._rules_of(exchange.answering),
            exchange.prediction_id,
            exchange.answered.model_version,
            time.time_ns() // 1000,
            seconds,
            arm=exchange.arm,
            unit=exchange.unit,
            quality=exchange.quality,
            abouts=exchange.abouts,
            encode=_text,
        )

    def received(self, system: str, path: str, body: bytes) -> dict[str, Any]:
        """What a caller tells the journal (see `bento.received`); blocks. Raises Refused."""
        store = self.store(system)
        try:
            return ROUTES[path](store, body)
        finally:
            store.close()

    @property
    def stats(self) -> Stats | None:
        """What the writer has done; None before the first answer."""
        return self._writer.stats if self._writer else None

    def trouble(self) -> tuple[str, str] | None:
        """Whose journal it is and why it cannot be written now, "" where it can; None before the first answer."""
        return (self._system, self._writer.stats.down) if self._writer else None

    def stop(self) -> None:
        """Writes what waits, then closes the journal; blocks."""
        if self._writer:
            self._writer.stop()

    def _opened(self, answering: Answering) -> Writer:
        if self._writer is None:
            self._system = answering.names["model"]
            self._writer = Writer(self.store(self._system))
            self._writer.start()
        return self._writer

    def store(self, system: str) -> Store:
        """The journal of a system, opened for the caller alone."""
        return open_store(system, self._address or self._root.journal / f"{system}.sqlite")

    def _rules_of(self, answering: Answering) -> Rules:
        rules = self._rules.get(answering)
        if rules is None:
            rules, trouble = rules_in(answering.ready.bundle.contract, self._root.journal)
            if trouble and trouble != self._trouble_told:
                logger.error("%s", trouble)
            self._trouble_told = trouble
            if trouble:
                return rules
            # Of two releases on trial each has its own; those that answered before them are forgotten.
            self._rules = {**dict(list(self._rules.items())[-1:]), answering: rules}
        return rules


def recorder(environment: Mapping[str, str]) -> Recorder | None:
    """The recorder that PERENNIAL_JOURNAL and PERENNIAL_HOME ask for; None for `off`."""
    address = environment.get(ADDRESS) or ""
    if address == OFF:
        return None
    return Recorder(address, home(environment))


def _text(value: Any) -> str:
    return _encoder.encode(value).decode()
