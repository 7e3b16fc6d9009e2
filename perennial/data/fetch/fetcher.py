"""Asks the hosts of one source: politely, within limits, and with a named outcome for every request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import aiohttp
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)
from yarl import URL

from perennial.config_web import WebSource
from perennial.data.answer import Answer, Request
from perennial.data.fetch.addresses import AddressRules, parse_address
from perennial.data.fetch.exchange import REDIRECTS, Reply, exchange, open_session
from perennial.data.fetch.hosts import HostMemory
from perennial.data.fetch.outcomes import FetchOutcome, failure, is_worth_a_retry
from perennial.data.fetch.pace import HostPace
from perennial.data.fetch.robots import MOST_BYTES, Robots
from perennial.errors import FetchError, SourceError

logger = logging.getLogger(__name__)

OURS = frozenset({"user-agent", "accept-encoding", "host"})
FOR_ANY_HOST = frozenset({"accept", "accept-language", "if-none-match", "if-modified-since"})
STATUSES = {
    404: FetchOutcome.NOT_FOUND,
    410: FetchOutcome.NOT_FOUND,
    401: FetchOutcome.DENIED,
    403: FetchOutcome.DENIED,
    407: FetchOutcome.DENIED,
    451: FetchOutcome.DENIED,
}


class Fetcher:
    """Answers requests from the network; an `Asker`.

    `async with Fetcher(source, clock, memory) as fetcher: answer = await fetcher.get(Request(url))`. `clock`
    gives dates (UTC); waits are measured in real time. What is learnt about hosts is kept in `memory`. Cookies
    are not kept, so that every request stands for itself.
    """

    def __init__(self, source: WebSource, clock: Callable[[], datetime], memory: HostMemory) -> None:
        _check_headers("contact", {"contact": source.contact})
        for name, feed in source.feeds.items():
            _check_headers(f"feeds.{name}.headers", feed.headers)
        self._pace, self._limits, self._contact = source.pace, source.limits, source.contact
        self._clock, self._memory = clock, memory
        self._addresses = AddressRules(source)
        self._hosts: dict[str, HostPace] = {}
        self._robots = Robots(clock, self._ask_robots) if source.pace.robots else None
        self._session: aiohttp.ClientSession | None = None
        self._retrying = AsyncRetrying(
            retry=retry_if_exception(is_worth_a_retry),
            stop=stop_after_attempt(1 + source.pace.retries),
            wait=wait_exponential_jitter(
                multiplier=source.pace.backoff_s,
                max=source.pace.longest_wait_s,
                jitter=source.pace.backoff_s,
            ),
            before_sleep=_say_retry,
            reraise=True,
        )

    async def __aenter__(self) -> Self:
        self._session = open_session(self._contact, self._limits, self._addresses)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, request: Request) -> Answer:
        """The answer to `request`, after redirects; raises FetchError with a named outcome."""
        url, headers = _prepared(request)
        asked, seconds = url, 0.0
        self._addresses.check(url)
        for _ in range(1 + self._limits.redirects):
            excused = not request.robots and url.host == asked.host
            if self._robots is not None and not excused:
                await self._robots.check(url, self._host(url))
            reply = await self._ask(url, headers)
            seconds += reply.seconds
            if reply.status not in REDIRECTS:
                return self._answer(request, reply, headers, seconds)
            target = _target(reply)
            self._addresses.check(target)
            if not _same_site(url, target):
                headers = {k: v for k, v in headers.items() if k.lower() in FOR_ANY_HOST}
            url = target
        raise failure(FetchOutcome.TOO_MANY_REDIRECTS, asked, f"more than {self._limits.redirects} redirects")

    def waiting(self) -> dict[str, str]:
        """Host -> why requests to it wait at present, such as `1.2 s between requests`."""
        reasons = {name: host.reason() for name, host in self._hosts.items()}
        return {name: reason for name, reason in reasons.items() if reason}

    def _answer(self, request: Request, reply: Reply, headers: Mapping[str, str], seconds: float) -> Answer:
        conditional = bool(request.etag or request.last_modified)
        if reply.status != 200 and not (reply.status == 304 and conditional):
            outcome = STATUSES.get(reply.status, FetchOutcome.BAD_STATUS)
            raise failure(outcome, reply.url, f"status {reply.status}")
        return Answer(
            url=request.url,
            final_url=str(reply.url),
            status=reply.status,
            headers=reply.headers,
            body=reply.body,
            sent_bytes=reply.sent_bytes,
            received_at=self._clock(),
            seconds=seconds,
        )

    async def _ask_robots(self, url: URL) -> Reply:
        self._addresses.check(url)
        return await self._ask(url, {}, MOST_BYTES)

    async def _ask(self, url: URL, headers: Mapping[str, str], cut_bytes: int | None = None) -> Reply:
        """One request without redirects, asked again after transient failures.

        Tenacity starts with the first failure: it costs as much CPU as the rest of a request put together.
        """
        try:
            return await self._try(url, headers, cut_bytes)
        except FetchError as error:
            first = [error]

        async def again() -> Reply:
            if first:
                raise first.pop()
            return await self._try(url, headers, cut_bytes)

        reply: Reply = await self._retrying.copy()(again)
        return reply

    async def _try(self, url: URL, headers: Mapping[str, str], cut_bytes: int | None) -> Reply:
        if self._session is None:
            raise RuntimeError("expected a Fetcher inside `async with`, found a closed one")
        host = self._host(url)
        async with host.turn(url) as turn:
            try:
                reply = await exchange(self._session, url, headers, self._limits, turn, cut_bytes)
            except FetchError as error:
                if is_worth_a_retry(error):
                    host.failed(turn)
                raise
            if reply.status in (429, 503):
                wait_s = retry_after_s(reply.headers.get("retry-after", ""), self._clock())
                host.throttled(turn, wait_s)
                raise failure(FetchOutcome.THROTTLED, url, f"status {reply.status}")
            if reply.status >= 500 or reply.status == 408:
                host.failed(turn)
                raise failure(FetchOutcome.SERVER_ERROR, url, f"status {reply.status}")
            host.succeeded(turn)
            return reply

    def _host(self, url: URL) -> HostPace:
        name = host_name(url)
        if (host := self._hosts.get(name)) is None:
            host = HostPace(name, self._pace, self._clock, self._memory, self._limits.total_s)
            self._hosts[name] = host
        return host


def host_name(url: URL) -> str:
    """The name under which a host is remembered: with its port unless that is 80 or 443.

    >>> host_name(URL("https://example.org/x")), host_name(URL("http://127.0.0.1:8080/"))
    ('example.org', '127.0.0.1:8080')
    """
    return f"{url.raw_host}" if url.is_default_port() else f"{url.raw_host}:{url.port}"


def retry_after_s(value: str, now: datetime) -> float | None:
    """The wait that a Retry-After header asks for, in seconds or as a date; None where it is unreadable."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max((parsedate_to_datetime(value) - now).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None


def _prepared(request: Request) -> tuple[URL, dict[str, str]]:
    """The address without credentials, and the headers with them."""
    url, headers = parse_address(request.url), dict(request.headers)
    _check_headers(request.url, headers)
    if url.user is not None:
        try:
            headers.setdefault("Authorization", aiohttp.encode_basic_auth(url.user, url.password or ""))
        except ValueError as error:
            raise failure(FetchOutcome.BAD_ADDRESS, url, "a colon in the user name") from error
        url = url.with_user(None)
    if request.etag:
        headers["If-None-Match"] = request.etag
    if request.last_modified:
        headers["If-Modified-Since"] = request.last_modified
    return url, headers


def _target(reply: Reply) -> URL:
    if not reply.location:
        raise failure(FetchOutcome.BAD_REDIRECT, reply.url, f"status {reply.status} without Location")
    target = parse_address(reply.location, reply.url)
    return target.with_user(None) if target.raw_host else target


def _same_site(old: URL, new: URL) -> bool:
    """Whether headers may be sent on: the same origin, or the same host reached by https instead of http."""
    upgraded = (
        old.scheme == "http" and new.scheme == "https" and old.is_default_port() and new.is_default_port()
    )
    return old.origin() == new.origin() or (upgraded and old.raw_host == new.raw_host)


def _check_headers(where: str, headers: Mapping[str, object]) -> None:
    for name, value in headers.items():
        if name.lower() in OURS:
            raise SourceError(where, f"the fetcher sets the header {name} itself", "leave it out")
        if isinstance(value, str) and not value.isprintable():
            raise SourceError(where, f"the header {name} holds a line break or the like", "take it out")


def _say_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.info("%s; asked again in %.1f s", error, state.upcoming_sleep)
