"""Sends what waits in the queue to where the journal is kept: in order, at least once, with ids that show repeats."""

from __future__ import annotations

import http.client
import json
import logging
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bento.edge.queue import Queue, Waiting
from bento.edge.source import opener, send

logger = logging.getLogger("bento.edge")

BATCH_ROWS, BATCH_BYTES = 200, 256 * 2**10
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 600.0
OF_THE_ROWS = frozenset((400, 413, 422))
ANSWER_BYTES = 2000


class Uploader:
    """The way home. `step` belongs to one thread.

    A batch is `{"device", "system", "dropped", "entries": [...]}`; an entry holds the columns of the journal. Its
    `prediction_id` and `arm` are the same however often it is sent, which lets the receiver leave repeats out. A
    batch is taken where the answer is 2xx with the JSON object `{"taken": <number of entries>}`: a network's log-in
    page says 200 to everything. 400, 413 and 422 turn it away, and its rows are sent one by one, so that one bad
    row cannot keep the others; whatever else happens, redirects included, the batch is sent again later.
    """

    def __init__(self, queue: Queue, url: str, device: str, system: str, token: str, ca: Path | None) -> None:
        self._queue, self._url, self._token = queue, url, token
        self._device, self._system = device, system
        self._opener = opener(ca, follows=False)
        self._count = BATCH_ROWS
        self.failures = 0
        self.trouble = ""

    def step(self) -> bool:
        """Sends one batch; returns whether something moved, so that another step may follow at once."""
        try:
            rows = self._queue.first(self._count, BATCH_BYTES)
            return bool(rows) and self._settled(rows)
        except (sqlite3.Error, OSError) as error:
            self._failed(f"the queue cannot be read: {error}")
            return False

    def pause_s(self) -> float:
        """How long to wait after a step that moved nothing: longer with every failure in a row, up to ten minutes."""
        return min(FIRST_RETRY_S * 2.0 ** min(self.failures, 20), LAST_RETRY_S)

    def _settled(self, rows: Sequence[Waiting]) -> bool:
        status = self._sent(rows)
        if status is None:
            return False
        if status in OF_THE_ROWS and len(rows) > 1:
            self._count = 1
            return True
        self._queue.done(rows, "refused" if status in OF_THE_ROWS else "sent")
        self._count = min(2 * self._count, BATCH_ROWS)
        self.failures, self.trouble = 0, ""
        return True

    def _sent(self, rows: Sequence[Waiting]) -> int | None:
        """The status of an answer that settles the batch; None where it must be sent again."""
        head = {"device": self._device, "system": self._system, "dropped": self._queue.counts().dropped}
        body = f'{json.dumps(head)[:-1]}, "entries": [{",".join(row.body for row in rows)}]}}'
        request = urllib.request.Request(
            self._url, body.encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            status, said = self._reply(request)
        except (OSError, http.client.HTTPException) as error:
            self._failed(f"{self._url}: {str(error) or type(error).__name__}; it is tried again")
            return None
        if status in OF_THE_ROWS:
            if len(rows) == 1:
                logger.error("row %s was turned away with %s: %s", rows[0].number, status, said[:500])
            return status
        if 200 <= status < 300 and _taken(said) == len(rows):
            return status
        expected = f'expected 2xx with {{"taken": {len(rows)}}}'
        self._failed(f"{self._url}: {expected}, found {status} with {said[:60]!r}; it is tried again")
        return None

    def _reply(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            reply = send(self._opener, request, self._token)
        except urllib.error.HTTPError as error:
            reply = error
        with closing(reply):
            return int(reply.status), reply.read(ANSWER_BYTES)

    def _failed(self, why: str) -> None:
        self.failures += 1
        self.trouble = why
        if self.failures == 1:
            logger.warning("%s", why)


def _taken(said: bytes) -> int | None:
    try:
        told = json.loads(said)
    except ValueError:
        return None
    return told.get("taken") if isinstance(told, dict) else None
