"""What robots.txt allows, read by the rules of RFC 9309."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from protego import Protego
from yarl import URL

from perennial.data.fetch.addresses import parse_address
from perennial.data.fetch.exchange import PRODUCT, REDIRECTS, Reply
from perennial.data.fetch.hosts import RobotsFile
from perennial.data.fetch.outcomes import FetchOutcome, failure
from perennial.data.fetch.pace import HostPace
from perennial.errors import FetchError

KEPT = timedelta(hours=24)  # RFC 9309, 2.4
RECHECK = timedelta(minutes=10)
MOST_BYTES = 500 * 1024  # RFC 9309, 2.5
MOST_REDIRECTS = 5  # RFC 9309, 2.3.1.2
NOT_ABOUT_ROBOTS = {
    FetchOutcome.PRIVATE_ADDRESS,
    FetchOutcome.BAD_ADDRESS,
    FetchOutcome.UNRESOLVED,
    FetchOutcome.TLS_FAILED,
    FetchOutcome.BREAKER_OPEN,
}


class Rules(NamedTuple):
    """A robots.txt, read; `parsed` is None where it forbids everything because it could not be read."""

    file: RobotsFile
    parsed: Protego | None


class Robots:
    """The robots.txt of every origin that is asked.

    A missing file (4xx) allows everything. One that cannot be read (5xx, time-outs, broken connections, and 429,
    with which a host asks for fewer requests and not for more) forbids everything for `RECHECK`. A file holds
    for `KEPT`; only its first `MOST_BYTES` count; more than `MOST_REDIRECTS` redirects count as missing.
    `ask` sends one request without following redirects, and raises FetchError.
    """

    def __init__(self, clock: Callable[[], datetime], ask: Callable[[URL], Awaitable[Reply]]) -> None:
        self._clock, self._ask = clock, ask
        self._rules: dict[URL, Rules] = {}
        self._locks: dict[URL, asyncio.Lock] = {}

    async def check(self, url: URL, host: HostPace) -> None:
        """Raises FetchError where robots.txt forbids `url` or cannot be read."""
        origin = url.origin()
        rules = self._rules.get(origin)
        if rules is None or rules.file.until <= self._clock():
            async with self._locks.setdefault(origin, asyncio.Lock()):
                rules = await self._current(origin, host)
        if rules.parsed is None:
            until = f"{rules.file.until:%Y-%m-%d %H:%M:%S} UTC"
            found = f"robots.txt could not be read ({rules.file.trouble}), asked again after {until}"
            raise failure(FetchOutcome.ROBOTS_UNREACHABLE, url, found)
        if not rules.parsed.can_fetch(str(url), PRODUCT):
            raise failure(FetchOutcome.ROBOTS_FORBIDS, url)

    async def _current(self, origin: URL, host: HostPace) -> Rules:
        rules = self._rules.get(origin)
        if rules is not None and rules.file.until > self._clock():
            return rules
        file = host.state.robots.get(str(origin))
        if file is None or file.until <= self._clock():
            file = await self._fetched(origin)
            host.keep_robots(str(origin), file)
        parsed = None if file.text is None else Protego.parse(file.text)
        if parsed is not None:
            host.obey_crawl_delay(parsed.crawl_delay(PRODUCT) or 0.0)
        self._rules[origin] = Rules(file, parsed)
        return self._rules[origin]

    async def _fetched(self, origin: URL) -> RobotsFile:
        url = origin / "robots.txt"
        for _ in range(1 + MOST_REDIRECTS):
            try:
                reply = await self._ask(url)
                if reply.status in REDIRECTS and reply.location:
                    url = parse_address(reply.location, url)
                    continue
            except FetchError as error:
                if url.origin() == origin and error.outcome in NOT_ABOUT_ROBOTS:
                    raise
                return RobotsFile(None, self._clock() + RECHECK, str(error.outcome))
            text = reply.body.decode("utf-8-sig", "replace") if reply.status == 200 else ""
            return RobotsFile(text, self._clock() + KEPT)
        return RobotsFile("", self._clock() + KEPT)
