"""Which request fails, and how: a pure function of the seed and the request's number."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler

from demo.world import Level

Kind = Literal["slow", "error", "unavailable", "busy_seconds", "busy_date", "dropped", "truncated"]
KINDS: tuple[Kind, ...] = (
    "slow",
    "error",
    "unavailable",
    "busy_seconds",
    "busy_date",
    "dropped",
    "truncated",
)
RATES: dict[Level, float] = {"none": 0.0, "some": 0.1, "many": 0.4}
CLEAN_EVERY = 4
SLOW_S = 0.4
RETRY_AFTER_S = 1
NO_ANSWER = 444  # what the books say of a cut connection; nginx writes the same


def fault(seed: int, level: Level, number: int) -> Kind | None:
    """What befalls request `number`; every fourth request is spared, so that no host fails for ever.

    >>> [fault(7, "many", n) for n in (4, 8, 12)]
    [None, None, None]
    """
    if number % CLEAN_EVERY == 0:
        return None
    digest = hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=8).digest()
    draw = int.from_bytes(digest[:4]) / 2**32
    return KINDS[digest[4] % len(KINDS)] if draw < RATES[level] else None


def refusal(kind: Kind, now: datetime) -> web.Response | None:
    """The answer that stands in for the real one; none where the kind does not refuse."""
    if kind == "error":
        return web.Response(status=500, text="Internal Server Error")
    if kind == "unavailable":
        return web.Response(status=503, text="Service Unavailable")
    if kind == "busy_seconds":
        return web.Response(status=429, text="Too Many Requests", headers={"Retry-After": str(RETRY_AFTER_S)})
    if kind == "busy_date":
        until = format_datetime(now + timedelta(seconds=1 + RETRY_AFTER_S), usegmt=True)
        return web.Response(status=429, text="Too Many Requests", headers={"Retry-After": until})
    return None


def drop(request: web.Request) -> web.Response:
    """Nothing that reaches anybody: the connection is cut without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=NO_ANSWER)


async def slowly(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The real answer, late."""
    await asyncio.sleep(SLOW_S)
    return await handler(request)


async def truncate(request: web.Request, body: bytes, content_type: str) -> web.StreamResponse:
    """Half of a body whose whole length was announced."""
    answer = web.StreamResponse(headers={"Content-Type": content_type, "Content-Length": str(len(body))})
    answer.force_close()
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    await asyncio.sleep(0)
    return answer
