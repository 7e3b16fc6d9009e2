"""Hands every answer to the journal before it is sent, and says in a header whether it is on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from bento.answering import Answering, Exchange
from bento.received import ROUTES
from bento.wire import Headers
from perennial.home import Home, home
from perennial.live.journal.entries import entries_of
from perennial.live.journal.masking import Rules, hash_key, rules_of
from perennial.live.journal.receipt import Stats
from perennial.live.journal.store import Store, open_store
from perennial.live.journal.writer import Writer

ADDRESS, OFF = "PERENNIAL_JOURNAL", "off"
WRITTEN: Headers = ((b"x-journal", b"written"),)
NOT_WRITTEN: Headers = ((b"x-journal", b"not-written"),)

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
        self._writer: Writer | None = None
        self._rules: tuple[Answering, Rules] | None = None

    async def __call__(self, exchange: Exchange, seconds: float) -> Headers:
        """Headers that say whether the answer is on disk; waits for that no longer than the writer does."""
        entries = entries_of(
            exchange.rows,
            exchange.predictions,
            exchange.answered.flags,
            exchange.row_ids,
            self._rules_of(exchange.answering),
            exchange.prediction_id,
            exchange.answered.model_version,
            time.time_ns() // 1000,
            seconds,
            encode=_text,
        )
        receipt = await self._opened(exchange.answering).put(entries)
        return WRITTEN if receipt.written else NOT_WRITTEN

    def received(self, system: str, path: str, body: bytes) -> dict[str, Any]:
        """What a caller tells the journal (see `bento.received`); blocks. Raises Refused."""
        store = self._store(system)
        try:
            return ROUTES[path](store, body)
        finally:
            store.close()

    @property
    def stats(self) -> Stats | None:
        """What the writer has done; None before the first answer."""
        return self._writer.stats if self._writer else None

    def stop(self) -> None:
        """Writes what waits, then closes the journal; blocks."""
        if self._writer:
            self._writer.stop()

    def _opened(self, answering: Answering) -> Writer:
        if self._writer is None:
            self._writer = Writer(self._store(answering.names["model"]))
            self._writer.start()
        return self._writer

    def _store(self, system: str) -> Store:
        return open_store(system, self._address or self._root.journal / f"{system}.sqlite")

    def _rules_of(self, answering: Answering) -> Rules:
        if self._rules is None or self._rules[0] is not answering:
            contract = answering.ready.bundle.contract
            private = any(column.privacy for column in contract.columns)
            key = hash_key(self._root.journal / "hash.key") if private else b""
            self._rules = answering, rules_of(contract, key)
        return self._rules[1]


def recorder(environment: Mapping[str, str]) -> Recorder | None:
    """The recorder that PERENNIAL_JOURNAL and PERENNIAL_HOME ask for; None for `off`."""
    address = environment.get(ADDRESS) or ""
    if address == OFF:
        return None
    return Recorder(address, home(environment))


def _text(value: Any) -> str:
    return _encoder.encode(value).decode()
