"""The shadow of a trial: what the challenger would have answered, worked out when the answer is on its way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import perf_counter
from typing import NamedTuple

from bento.answering import Answering, Exchange

logger = logging.getLogger("bento.service")

MOST_ROWS = 2_000
"""Rows that may wait for the shadow in one worker; what comes on top is dropped."""
MOST_HISTORY_ROWS = 100_000
"""The same of the rows of histories, where forecasts are on trial."""
PATIENCE_S = 2.0

Keep = Callable[[Exchange, float], None]


class Waiting(NamedTuple):
    """An exchange of the champion's, and who is to answer it again."""

    exchange: Exchange
    challenger: Answering


class Shadow:
    """One worker's background thread for the challenger's answers; it holds nothing up, and fails alone.

    `offer` belongs to the event loop.

    Args:
        keep: is given every answer of the challenger's with the seconds that it took, in the thread.
        failed: is called in the thread for every request that the challenger could not answer.
    """

    def __init__(self, keep: Keep, failed: Callable[[], None]) -> None:
        self._keep, self._failed = keep, failed
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._rows_in = self._rows_out = 0
        self._told = ""
        self._is_over = False
        self._thread = threading.Thread(target=self._answer_all, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, exchange: Exchange, challenger: Answering) -> bool:
        """Whether the challenger will answer, too; False where too much waits for it already."""
        rows = _rows(exchange)
        most = MOST_ROWS if exchange.again is None else MOST_HISTORY_ROWS
        if self._rows_in - self._rows_out + rows > most:
            return False
        self._rows_in += rows
        self._queue.put(Waiting(exchange, challenger))
        return True

    def stop(self) -> None:
        """Ends the thread behind the answer that it is at, which is waited for no longer than `PATIENCE_S`."""
        self._is_over = True
        self._queue.put(None)
        self._thread.join(PATIENCE_S)

    def _answer_all(self) -> None:
        while (waiting := self._queue.get()) is not None and not self._is_over:
            self._answer(*waiting)
            self._rows_out += _rows(waiting.exchange)

    def _answer(self, exchange: Exchange, challenger: Answering) -> None:
        started = perf_counter()
        try:
            answered = challenger.beside(exchange)
            if answered is not None:
                self._keep(answered, perf_counter() - started)
        except Exception as error:
            # Whatever the challenger raises: the caller was answered, and the next request is another chance.
            self._failed()
            told = f"{type(error).__name__}: {error}"
            if told != self._told:
                logger.exception("the challenger %s failed in shadow", challenger.names["version"])
            self._told = told


def _rows(exchange: Exchange) -> int:
    """How many rows are kept until the shadow has answered."""
    return len(exchange.row_ids) if exchange.again is None else exchange.again.rows
