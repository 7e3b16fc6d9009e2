"""How a worker takes connections from the socket that it shares with others: one, then it is their turn."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import socket
import ssl
from collections.abc import Callable

import uvicorn

logger = logging.getLogger("bento.service")

EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
PAUSE_S = 1.0
HEAD_START_S = 0.0005
"""What the others have before a worker takes one more."""


class Listener:
    """Takes one connection, and the next one `HEAD_START_S` later.

    asyncio and uvloop take all that wait: of 16 connections that came together all went to one of two workers every
    other time. A busy worker is late, so that it gets fewer. A server in the sense of `asyncio.Server` as far as
    uvicorn needs it.

    Args:
        listening: the socket, bound and listening.
        make: gives the protocol of a connection.
        tls: what connections are encrypted with; None for plain ones.
        loop: the worker's event loop.
    """

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._listening, self._make, self._tls, self._loop = listening, make, tls, loop
        self._opening: set[asyncio.Task[object]] = set()
        self._is_closed = False
        listening.setblocking(False)
        self._resume()

    def close(self) -> None:
        """Take no more; connections that there are go on."""
        self._is_closed = True
        self._loop.remove_reader(self._listening)

    async def wait_closed(self) -> None:
        """Nothing is left to wait for: uvicorn itself waits for the connections."""

    def _resume(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listening, self._take)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._loop.call_later(seconds, self._resume)

    def _take(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker took it, or the caller went away
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            logger.warning("no connection can be taken for %g s: %s", PAUSE_S, error.strerror)
            self._pause(PAUSE_S)
            return
        connection.setblocking(False)
        opening = self._loop.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        self._pause(HEAD_START_S)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, connection, ssl=self._tls)
        except OSError as error:
            logger.debug("a connection ended before its first request: %s", error)


class Evenly(uvicorn.Server):
    """A server of uvicorn's whose workers share connections evenly."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then take connections from the sockets that are given."""
        if sockets is None:
            await super().startup()
            return
        await super().startup(sockets=[])
        config = self.config
        make = functools.partial(
            config.http_protocol_class,
            config=config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        loop = asyncio.get_running_loop()
        self.servers = [Listener(one, make, config.ssl, loop) for one in sockets]


def share_evenly() -> None:
    """Have BentoML's workers listen so; to be called before a worker's server is made."""
    uvicorn.Server = Evenly
