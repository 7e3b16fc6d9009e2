"""One request and its answer over the wire, with every way of failing brought to its named outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from types import SimpleNamespace

import aiohttp
from aiohttp.http_exceptions import LineTooLong
from yarl import URL

from perennial import __version__
from perennial.config_web import Limits
from perennial.data.fetch.addresses import AddressRules, PrivateAddressError, PublicResolver
from perennial.data.fetch.body import ACCEPTED, read_body
from perennial.data.fetch.outcomes import FetchOutcome, failure
from perennial.data.fetch.pace import Turn
from perennial.errors import FetchError

PRODUCT = "Perennial"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEADER_BYTES = 16_384
READ_AHEAD_BYTES = 1 << 18
NAMES_KEPT_S = 300


@dataclass(frozen=True)
class Reply:
    """What one request brought. `body` is empty unless the status is 200; header names are in lower case."""

    url: URL
    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_bytes: int
    seconds: float

    @property
    def location(self) -> str:
        """Where a redirect leads; "" where it does not say."""
        return self.headers.get("location", "")


def user_agent(contact: str) -> str:
    """The name under which hosts are asked.

    >>> user_agent("mailto:data@example.org").partition(" ")[2]
    '(+mailto:data@example.org)'
    """
    return f"{PRODUCT}/{__version__}" + (f" (+{contact})" if contact else "")


def open_session(contact: str, limits: Limits, addresses: AddressRules) -> aiohttp.ClientSession:
    """A session that keeps connections but no cookies, follows nothing and inflates nothing."""
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_headers_sent)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, resolver=PublicResolver(addresses), ttl_dns_cache=NAMES_KEPT_S
        ),
        headers={"User-Agent": user_agent(contact), "Accept-Encoding": ACCEPTED},
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=limits.total_s, sock_connect=limits.idle_s, sock_read=limits.idle_s
        ),
        auto_decompress=False,
        read_bufsize=READ_AHEAD_BYTES,
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        trace_configs=[trace],
        middlewares=(_never_twice,),
    )


async def exchange(
    session: aiohttp.ClientSession,
    url: URL,
    headers: Mapping[str, str],
    limits: Limits,
    turn: Turn,
    cut_bytes: int | None = None,
) -> Reply:
    """Asks once and reads the answer; raises FetchError where none came or it breaks a limit."""
    started = monotonic()
    try:
        async with session.get(
            url, headers=headers, allow_redirects=False, trace_request_ctx=turn
        ) as response:
            turn.answered()
            body, sent_bytes = b"", 0
            if response.status == 200:
                body, sent_bytes = await read_body(response, limits, cut_bytes)
            seconds = monotonic() - started
            return Reply(url, response.status, _plain(response), body, sent_bytes, seconds)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _named(url, error, limits) from error


async def _headers_sent(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _facts: aiohttp.TraceRequestHeadersSentParams
) -> None:
    context.trace_request_ctx.sent()


class _ConnectionBrokenError(aiohttp.ClientConnectionError):
    """A connection that broke before the answer."""


async def _never_twice(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keeps aiohttp from asking again by itself, without a turn, when a kept connection breaks."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        raise _ConnectionBrokenError(str(error) or type(error).__name__) from error


def _plain(response: aiohttp.ClientResponse) -> dict[str, str]:
    """The headers as texts that can be stored: bytes that are not UTF-8 are read as Latin-1."""
    headers: dict[str, str] = {}
    for key, value in response.headers.items():
        name, text = key.lower(), value
        if not text.isascii():
            raw = text.encode("utf-8", "surrogateescape")
            text = raw.decode("latin-1") if _is_escaped(value) else value
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


def _is_escaped(text: str) -> bool:
    return any("\ud800" <= sign <= "\udfff" for sign in text)


def _named(url: URL, error: Exception, limits: Limits) -> FetchError:
    """The named outcome of an error of aiohttp."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        if isinstance(error.os_error, PrivateAddressError):
            return failure(FetchOutcome.PRIVATE_ADDRESS, url, str(error.os_error))
        return failure(FetchOutcome.UNRESOLVED, url, f"the name {url.raw_host} has no address")
    if isinstance(error, aiohttp.ClientSSLError):
        return failure(FetchOutcome.TLS_FAILED, url, str(error))
    if isinstance(error, aiohttp.ServerTimeoutError):
        return failure(FetchOutcome.IDLE_TIMEOUT, url, f"silent for {limits.idle_s:g} s")
    if isinstance(error, TimeoutError):
        return failure(FetchOutcome.TOTAL_TIMEOUT, url, f"not finished after {limits.total_s:g} s")
    if isinstance(error, aiohttp.InvalidURL):
        return failure(FetchOutcome.BAD_ADDRESS, url)
    if isinstance(error, aiohttp.ClientPayloadError):
        return failure(FetchOutcome.HALF_ANSWER, url, f"the body breaks off ({error})")
    if isinstance(error, aiohttp.ClientConnectionError):
        return failure(FetchOutcome.CONNECTION, url, str(error) or type(error).__name__)
    if _is_about_size(error):
        return failure(FetchOutcome.HEADERS_TOO_LARGE, url)
    return failure(FetchOutcome.NOT_HTTP, url, " ".join(str(error).split())[:300])


def _is_about_size(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, LineTooLong) or "Too many headers" in str(error):
            return True
        error = error.__cause__
    return False
