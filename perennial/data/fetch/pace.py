"""How one host is asked: one turn at a time, more slowly when it says so, not at all while it is broken."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from yarl import URL

from perennial.config_web import Pace
from perennial.data.fetch.hosts import HostMemory, HostState, RobotsFile
from perennial.data.fetch.outcomes import FetchOutcome, failure

logger = logging.getLogger(__name__)

SLOWER, FASTER = 2.0, 0.9  # what the delay is multiplied by after a 429 or 503, and after a success
RECOVERY_HALF_LIFE_S = 3600.0  # an added delay halves in this time without requests
MARGIN, LEAST_MARGIN_S = (
    0.1,
    0.05,
)  # how far a late answer puts off the next request: share of the delay, least
LEAST_DELAY_S = 0.001


@dataclass
class Turn:
    """The permission for one request. `probe` says that it tests whether a broken host has come back."""

    started: float
    probe: bool = False
    sent: Callable[[], None] = lambda: None
    answered: Callable[[], None] = lambda: None


class HostPace:
    """The turns of one host.

    Two requests are `delay` apart when they reach the host: a turn ends the wait of the next one only once its
    request was written to the socket, and a late answer (the host may have seen the request late) adds up to
    `MARGIN`. The delay is multiplied by `SLOWER` with 429 and 503, and by `FASTER` with each success, down to
    what the config and Crawl-delay allow.

    The breaker opens after `breaker_failures` failed tries in a row, for `backoff_s * 2 ** failures`. Whoever
    comes then waits, and one request tests the host. If that fails too, the breaker opens for twice as long
    and refuses at once.
    """

    def __init__(
        self,
        host: str,
        pace: Pace,
        clock: Callable[[], datetime],
        memory: HostMemory,
        longest_request_s: float,
    ) -> None:
        self.host = host
        self._pace, self._clock, self._memory = pace, clock, memory
        self._slots, self._lock = asyncio.Semaphore(pace.at_once), asyncio.Lock()
        self._floor_s = 1 / pace.requests_per_s if pace.requests_per_s else 0.0
        self._seen_at = self._blocked_until = self._open_until = self._slowed_at = -math.inf
        self._queue = 0
        self.state = state = memory.load(host) or HostState()
        now, delay = clock(), self._floor_s
        if state.asked_at:
            idle_s = max((now - state.asked_at).total_seconds(), 0.0)
            delay = max(
                delay, min(state.delay_s, pace.longest_wait_s) * 0.5 ** (idle_s / RECOVERY_HALF_LIFE_S)
            )
            if idle_s < delay + longest_request_s:
                self._seen_at = monotonic()
        self._delay_s = delay if delay >= LEAST_DELAY_S else 0.0
        if state.blocked_until:
            wait_s = min((state.blocked_until - now).total_seconds(), pace.longest_wait_s)
            self._blocked_until = monotonic() + wait_s
            if self._broken:
                self._blocked_until, self._open_until = -math.inf, self._blocked_until

    @asynccontextmanager
    async def turn(self, url: URL) -> AsyncIterator[Turn]:
        """Waits for the host's turn; raises FetchError where the breaker is open."""
        async with self._slots:
            gate = _Gate(self._lock)
            if not (self._delay_s or self._broken or self._blocked_until > monotonic()):
                yield self._begin(gate)
                return
            try:
                self._queue += 1
                try:
                    await gate.shut()
                    await self._wait(url)
                finally:
                    self._queue -= 1
                self._remember()
                yield self._begin(gate)
            finally:
                gate.open()

    def _begin(self, gate: _Gate) -> Turn:
        self._seen_at = monotonic()
        turn = Turn(self._seen_at, self._broken)

        def sent() -> None:
            turn.started = self._seen_at = monotonic()
            if not turn.probe:
                gate.open()

        def answered() -> None:
            latest = turn.started + max(MARGIN * self._delay_s, LEAST_MARGIN_S)
            self._seen_at = max(self._seen_at, min(monotonic(), latest))

        turn.sent, turn.answered = sent, answered
        return turn

    async def _wait(self, url: URL) -> None:
        while True:
            now = monotonic()
            if self.state.failures > self._pace.breaker_failures and now < self._open_until:
                raise failure(FetchOutcome.BREAKER_OPEN, url, self._breaker())
            due = max(self._seen_at + self._delay_s, self._blocked_until, self._open_until)
            if due <= now:
                return
            await asyncio.sleep(due - now)

    def succeeded(self, turn: Turn) -> None:
        """The host gave an answer that is not its failure."""
        failures, delay = self.state.failures, self._delay_s
        if failures >= self._pace.breaker_failures:
            logger.info("host %s answers again", self.host)
            self._open_until = -math.inf
        if turn.started > self._slowed_at:
            delay = max(self._floor_s, delay * FASTER)
            delay = delay if delay >= LEAST_DELAY_S else 0.0
        if failures or delay != self._delay_s:
            self._delay_s = delay
            self._remember(failures=0)

    def failed(self, turn: Turn) -> None:
        """The host or the way to it failed: counts towards the breaker."""
        if self._broken and not turn.probe:
            return
        self._remember(failures=self.state.failures + 1)
        if self._broken:
            doublings = min(self.state.failures, 64)
            self._open_until = monotonic() + min(
                self._pace.backoff_s * 2**doublings, self._pace.longest_wait_s
            )
            logger.warning("host %s: %s", self.host, self._breaker())
            self._remember()

    def throttled(self, turn: Turn, retry_after_s: float | None) -> None:
        """The host answered 429 or 503; answers to requests that were already under way count as one."""
        if turn.started > self._slowed_at:
            self._slowed_at = self._seen_at = monotonic()
            slower = self._delay_s * SLOWER or self._pace.backoff_s
            self._delay_s = max(self._delay_s, min(slower, self._pace.longest_wait_s))
            logger.info("host %s asks for fewer requests: %s", self.host, self._delay_text())
            self.failed(turn)
        if retry_after_s:
            self._blocked_until = max(
                self._blocked_until, monotonic() + self._capped(retry_after_s, "Retry-After")
            )
        self._remember()

    def keep_robots(self, origin: str, robots: RobotsFile) -> None:
        """Remembers the robots.txt of one origin of this host."""
        self._remember(robots={**self.state.robots, origin: robots})

    def obey_crawl_delay(self, delay_s: float) -> None:
        """Never asks faster than robots.txt says."""
        self._floor_s = max(self._floor_s, self._capped(delay_s, "Crawl-delay"))
        self._delay_s = max(self._delay_s, self._floor_s)

    def reason(self) -> str:
        """Why requests to this host wait at present; "" where none does."""
        now = monotonic()
        if self._broken and now < self._open_until:
            return self._breaker()
        if not self._queue:
            return ""
        if now < self._blocked_until:
            return f"Retry-After until {self._time_of(self._blocked_until)}"
        return self._delay_text()

    @property
    def _broken(self) -> bool:
        return self.state.failures >= self._pace.breaker_failures

    def _breaker(self) -> str:
        until = self._time_of(self._open_until)
        return f"breaker open: {self.state.failures} failures in a row, asked again at {until}"

    def _delay_text(self) -> str:
        return f"{self._delay_s:.3g} s between requests"

    def _capped(self, wait_s: float, name: str) -> float:
        if wait_s > (cap := self._pace.longest_wait_s):
            logger.warning(
                "host %s: %s of %.0f s cut to pace.longest_wait_s, %.0f s", self.host, name, wait_s, cap
            )
        return min(wait_s, cap)

    def _time_of(self, moment: float) -> str:
        return f"{self._clock() + timedelta(seconds=moment - monotonic()):%H:%M:%S} UTC"

    def _remember(self, **changes: Any) -> None:
        blocked_s = max(self._blocked_until, self._open_until) - monotonic()
        now = self._clock()
        until = now + timedelta(seconds=blocked_s) if blocked_s > 0 else None
        self.state = replace(self.state, delay_s=self._delay_s, asked_at=now, blocked_until=until, **changes)
        self._memory.save(self.host, self.state)


class _Gate:
    """Keeps the next request of a host back until it is opened, or never shut."""

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock, self._is_shut = lock, False

    async def shut(self) -> None:
        self._is_shut = await self._lock.acquire()

    def open(self) -> None:
        if self._is_shut:
            self._is_shut = False
            self._lock.release()
