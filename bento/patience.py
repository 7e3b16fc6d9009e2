"""How many connections a worker holds, and what it puts up with of a request that never ends."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.auto import AutoHTTPProtocol

PATIENCE_S = 60.0
MOST_FILES = 65_536
MOST_HEAD_BYTES, MOST_BESIDE_BYTES = 64 * 2**10, 2**20
"""Of a request's line and headers, as h11 has it, and of all that is not its body. Without a limit httptools gathers
a header, or a trailer, for as long as it is sent, and ever more slowly, while nobody else is answered."""


class Patience(asyncio.Protocol):
    """Beside one of uvicorn's protocols: cuts a connection whose request takes too long to arrive.

    That is longer than `PATIENCE_S`, and at the most twice that. One timer per connection looks at it every
    `PATIENCE_S`; a request costs nothing. Between two requests uvicorn's own limit for idle connections holds,
    and the time that an answer takes does not count.
    """

    _looking: asyncio.TimerHandle
    _awaited: object = None
    _in_head: bool | None = None
    _beside = 0

    def connection_made(self: Any, transport: Any) -> None:
        """Begin to look."""
        super().connection_made(transport)
        self._looking = self.loop.call_later(PATIENCE_S, self._look)

    def connection_lost(self: Any, exc: Exception | None) -> None:
        """Look no more."""
        self._looking.cancel()
        super().connection_lost(exc)

    def data_received(self: Any, data: bytes) -> None:
        """Read on, but for a request that is too large whatever it says."""
        self._beside += len(data)
        super().data_received(data)
        most = MOST_HEAD_BYTES if self._in_head else MOST_BESIDE_BYTES
        knows = self._in_head is not None and not self.transport.is_closing()
        if knows and self._beside > most:
            self.send_400_response("Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        """A request begins; httptools says so, and h11 has limits of its own."""
        self._in_head, self._beside = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body, whose limit is another's business."""
        self._beside -= len(body)
        super().on_body(body)

    def _look(self: Any) -> None:
        awaited = self._awaits()
        if awaited is not None and awaited == self._awaited:
            self.transport.abort()
            return
        self._awaited = awaited
        self._looking = self.loop.call_later(PATIENCE_S, self._look)

    def _awaits(self: Any) -> object:
        """The request whose rest has not arrived, as something equal to itself alone; None where there is none."""
        cycle = self.cycle
        if cycle is None:
            return "the first"
        if cycle.response_complete:
            return None if self.timeout_keep_alive_task else ("behind", cycle)
        return ("body of", cycle) if cycle.more_body else None


class Patient(Patience, AutoHTTPProtocol):
    """The protocol that uvicorn finds, with patience."""


def be_patient() -> None:
    """Have BentoML's workers hold connections so; to be called before a worker's server is made."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{Patient.__name__}"


def hold_many() -> None:
    """Let this process hold as many connections as its limit can be raised to, up to `MOST_FILES`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
