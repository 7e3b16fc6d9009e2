"""When a group is whole: a transaction costs more than a row, so rows that come together are written together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

QUIET_TURNS = 2
"""Turns of the event loop in which nothing came, after which nothing more is about to come."""
LONGEST_S = 0.002
"""How long what keeps coming is gathered."""


class Gathering:
    """Calls `whole` once nothing more is coming; belongs to one event loop.

    Nobody waits for a clock: what comes alone is whole two turns of the loop later.
    """

    def __init__(self, whole: Callable[[], None]) -> None:
        self._whole = whole
        self._is_open = False
        self._came = self._seen = self._quiet = 0
        self._until = 0.0

    def came(self, loop: asyncio.AbstractEventLoop) -> None:
        """To be called for everything that comes."""
        self._came += 1
        if not self._is_open:
            self._is_open, self._quiet, self._seen = True, 0, self._came
            self._until = loop.time() + LONGEST_S
            loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._quiet = self._quiet + 1 if self._came == self._seen else 0
        self._seen = self._came
        if self._quiet < QUIET_TURNS and loop.time() < self._until:
            loop.call_soon(self._turn, loop)
        else:
            self._is_open = False
            self._whole()
