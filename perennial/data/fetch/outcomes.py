"""Every way in which a request can end without an answer, and what each one means."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal

from yarl import URL

from perennial.errors import FetchError

CREDENTIALS = re.compile(r"//[^/?#@]*@")
Later = Literal["never", "later", "soon"]


class FetchOutcome(StrEnum):
    """An outcome: its name, what it means, what to do, and whether the same request may succeed later.

    `soon` is asked again by the fetcher itself, after a wait; `later` is for the next collection; `never`
    stays so until somebody changes something.
    """

    meaning: str
    remedy: str
    again: Later

    def __new__(cls, name: str, meaning: str = "", remedy: str = "", again: Later = "never") -> FetchOutcome:
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning, member.remedy, member.again = meaning, remedy, again
        return member

    BAD_ADDRESS = "bad_address", "the address is not one of http or https", "mend the address"
    PRIVATE_ADDRESS = (
        "private_address",
        "the host is in a private network and is not named by the source",
        "name it in source.private_hosts if it is meant",
    )
    ROBOTS_FORBIDS = (
        "robots_forbids",
        "robots.txt of the host forbids the address",
        "leave it out, or ask the people who run the host",
    )
    ROBOTS_UNREACHABLE = (
        "robots_unreachable",
        "robots.txt could not be read, which forbids everything until it is asked again",
        "collect again later",
        "later",
    )
    BREAKER_OPEN = (
        "breaker_open",
        "the host failed too often in a row and is left alone for a while",
        "collect again later",
        "later",
    )
    UNRESOLVED = (
        "unresolved",
        "the name of the host has no address",
        "check the name and the network",
        "later",
    )
    TLS_FAILED = "tls_failed", "the host has no valid certificate", "check the address and the clock"
    CONNECTION = (
        "connection",
        "the connection was refused, reset or closed without an answer",
        "collect again later",
        "soon",
    )
    IDLE_TIMEOUT = (
        "idle_timeout",
        "the host was silent for longer than limits.idle_s",
        "collect again later, or raise source.limits.idle_s",
        "soon",
    )
    TOTAL_TIMEOUT = (
        "total_timeout",
        "the answer took longer than limits.total_s",
        "collect again later, or raise source.limits.total_s",
        "soon",
    )
    THROTTLED = (
        "throttled",
        "the host asked for fewer requests: status 429 or 503",
        "lower source.pace.requests_per_s",
        "soon",
    )
    SERVER_ERROR = "server_error", "the host failed: status 5xx or 408", "collect again later", "soon"
    HALF_ANSWER = (
        "half_answer",
        "the body is shorter or longer than its headers say, or its compression breaks off",
        "collect again later",
        "soon",
    )
    NOT_FOUND = "not_found", "the host has no such page: status 404 or 410", "mend the address"
    DENIED = (
        "denied",
        "the host wants credentials or refuses us: status 401, 403, 407 or 451",
        "check the headers of the feed",
    )
    BAD_STATUS = (
        "bad_status",
        "a status that is neither an answer nor any of the others",
        "open the address and look",
    )
    BAD_REDIRECT = "bad_redirect", "a redirect that leads nowhere", "open the address and look"
    TOO_MANY_REDIRECTS = (
        "too_many_redirects",
        "more redirects than limits.redirects",
        "ask for the final address, or raise source.limits.redirects",
    )
    COMPRESSED_TOO_LARGE = (
        "compressed_too_large",
        "the body as it is sent is larger than limits.compressed_mb",
        "ask for less at once, or raise source.limits.compressed_mb",
    )
    INFLATED_TOO_LARGE = (
        "inflated_too_large",
        "the inflated body is larger than limits.inflated_mb",
        "ask for less at once, or raise source.limits.inflated_mb",
    )
    HEADERS_TOO_LARGE = (
        "headers_too_large",
        "the headers are longer or more than any honest answer needs",
        "leave the host out",
    )
    BAD_ENCODING = (
        "bad_encoding",
        "the body is compressed in a way that was not asked for, or wrongly",
        "open the address and look",
    )
    NOT_HTTP = "not_http", "what came back is not one HTTP answer", "check the address and its port"


def failure(outcome: FetchOutcome, url: URL | str, found: str = "") -> FetchError:
    """The error of a request that ended with `outcome`; credentials in the address are left out.

    >>> str(failure(FetchOutcome.NOT_FOUND, "http://me:secret@example.org/x", "status 404"))
    'request http://example.org/x: not_found: status 404; mend the address'
    """
    shown = CREDENTIALS.sub("//", str(url), count=1)
    sentence = f"{outcome}: {found or outcome.meaning}"
    return FetchError(shown, outcome, sentence, outcome.remedy, transient=outcome.again != "never")


def is_worth_a_retry(error: BaseException) -> bool:
    """Whether a failed request is asked again at once: only after transient failures of host or network."""
    return isinstance(error, FetchError) and FetchOutcome(error.outcome).again == "soon"
