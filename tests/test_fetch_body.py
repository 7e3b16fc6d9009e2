"""Bodies: inflated right, stopped at the limits, and never half an answer for a whole one."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from itertools import pairwise

import pytest
from aiohttp import web
from fetch_host import ended, fetching, once, saying, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.data.answer import Request
from perennial.data.fetch.body import STEP_BYTES, Inflater

OK = b"HTTP/1.1 200 OK\r\n"
ZEROS = bytes(4_000_000)


def raw_deflate(data: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeezer.compress(data) + squeezer.flush()


PACKINGS = {
    "gzip": (True, gzip.compress),
    "two members": (True, lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:])),
    "padded": (True, lambda data: gzip.compress(data) + bytes(7)),
    "deflate": (False, zlib.compress),
    "raw deflate": (False, raw_deflate),
}


@pytest.mark.parametrize("packing", PACKINGS)
@settings(max_examples=12, deadline=None)
@given(data=st.binary(max_size=3000), cuts=st.lists(st.integers(0, 3000), max_size=4), blow=st.booleans())
def test_inflating_piece_by_piece_gives_back_the_whole(
    packing: str, data: bytes, cuts: list[int], blow: bool
) -> None:
    is_gzip, pack = PACKINGS[packing]
    data = data + bytes(STEP_BYTES * 2) if blow else data
    packed = pack(data)
    places = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    pieces = [packed[a:b] for a, b in pairwise(places)]

    inflater = Inflater("http://example.org/", is_gzip)
    out = [part for piece in pieces for part in inflater.feed(piece)]

    assert b"".join(out) == data
    assert max(map(len, out), default=0) <= STEP_BYTES
    assert inflater.is_complete

    short = Inflater("http://example.org/", is_gzip)
    missing = 10 if packing == "padded" else 1
    list(short.feed(packed[:-missing]))
    assert not short.is_complete


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", raw_deflate)])
def test_a_compressed_answer_arrives_inflated(encoding: str, pack: object) -> None:
    body = pack(b"hello " * 1000)  # type: ignore[operator]

    async def scene() -> None:
        async with serving(lambda _: web.Response(body=body, headers={"Content-Encoding": encoding})) as host:
            async with fetching(host.url) as fetcher:
                answer = await fetcher.get(Request(host.url))
            assert answer.body == b"hello " * 1000
            assert answer.sent_bytes == len(body)
            assert host.requests[0][2]["Accept-Encoding"] == "gzip, deflate"

    asyncio.run(scene())


def test_a_bomb_stops_at_the_limit_with_bounded_memory() -> None:
    bomb = gzip.compress(ZEROS) * 100

    async def scene() -> int:
        async with serving(lambda _: web.Response(body=bomb, headers={"Content-Encoding": "gzip"})) as host:
            tracemalloc.start()
            try:
                assert await once(host.url, limits={"inflated_mb": 3}) == "inflated_too_large"
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert asyncio.run(scene()) < 12_000_000


def test_an_endless_body_stops_at_the_limit() -> None:
    written = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        reply = web.StreamResponse()
        await reply.prepare(request)
        while written < 200_000_000:
            await reply.write(ZEROS[:100_000])
            written += 100_000
        return reply

    async def scene() -> None:
        async with serving(endless) as host:
            assert await once(host.url, limits={"compressed_mb": 1}) == "compressed_too_large"

    asyncio.run(scene())
    assert written < 30_000_000


def test_a_body_that_is_announced_too_large_is_not_read() -> None:
    async def scene() -> None:
        async with saying(OK + b"Content-Length: 2000001\r\n\r\n", then="hang") as host:
            assert await once(host.url, limits={"compressed_mb": 2}) == "compressed_too_large"

    asyncio.run(scene())


PACKED = gzip.compress(b"hello" * 100)
CASES: dict[str, tuple[str, tuple[bytes, ...], str]] = {
    "shorter than announced": ("half_answer", (OK + b"Content-Length: 10\r\n\r\nhello",), "close"),
    "longer than announced": (
        "half_answer",
        (OK + b"Content-Length: 10\r\n\r\n01234", b"56789<more>"),
        "hang",
    ),
    "longer, in one piece": ("not_http", (OK + b"Content-Length: 5\r\n\r\nhello<more>",), "hang"),
    "chunks break off": ("half_answer", (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",), "close"),
    "reset in the middle": ("half_answer", (OK + b"Content-Length: 10\r\n\r\nhello",), "reset"),
    "reset, no length": ("half_answer", (OK + b"\r\nhello",), "reset"),
    "closed, no length": ("200", (OK + b"\r\nhello",), "close"),
    "compression breaks off": (
        "half_answer",
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + PACKED[:20],),
        "close",
    ),
    "wrong compression": (
        "bad_encoding",
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + b"x" * 20,),
        "close",
    ),
    "unknown compression": (
        "bad_encoding",
        (OK + b"Content-Encoding: br\r\nContent-Length: 5\r\n\r\nhello",),
        "close",
    ),
    "empty though compressed": (
        "200",
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",),
        "close",
    ),
    "long header": ("headers_too_large", (OK + b"X-Long: " + b"x" * 100_000 + b"\r\n\r\n",), "hang"),
    "endless header": ("headers_too_large", (OK + b"X: ", *[b"x" * 9000] * 20), "hang"),
    "many headers": ("headers_too_large", (OK + b"X-Many: y\r\n" * 5000 + b"\r\n",), "hang"),
    "not HTTP": ("not_http", (b"SSH-2.0-OpenSSH_9.2\r\n",), "close"),
    "nothing": ("connection", (), "close"),
    "reset": ("connection", (), "reset"),
    "half a header": ("connection", (OK + b"X: y",), "close"),
    "silent": ("idle_timeout", (), "hang"),
    "silent in the body": ("idle_timeout", (OK + b"Content-Length: 10\r\n\r\nhello",), "hang"),
    "a drip": ("total_timeout", (OK + b"Content-Length: 999\r\n\r\n", *[b"x"] * 200), "hang"),
    "created": ("bad_status", (b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",), "close"),
    "no content": ("bad_status", (b"HTTP/1.1 204 No Content\r\n\r\n",), "close"),
    "teapot": ("bad_status", (b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n",), "close"),
    "unchanged, unasked": ("bad_status", (b"HTTP/1.1 304 Not Modified\r\n\r\n",), "close"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_answer_ends_in_a_named_outcome(case: str) -> None:
    outcome, pieces, then = CASES[case]

    async def scene() -> None:
        async with (
            saying(*pieces, then=then) as host,
            fetching(host.url, limits={"idle_s": 0.2, "total_s": 0.5}) as fetcher,
        ):
            assert await ended(fetcher.get(Request(host.url))) == outcome

    asyncio.run(scene())


def test_a_refused_connection_and_an_unknown_name_are_named() -> None:
    assert asyncio.run(once("http://127.0.0.1:1/")) == "connection"
    assert asyncio.run(once("http://no-such-host.invalid/")) == "unresolved"


def test_a_plain_answer_from_a_secure_address_is_named() -> None:
    async def scene() -> None:
        async with saying(OK + b"\r\n") as host:
            assert await once(host.url.replace("http:", "https:")) == "tls_failed"

    asyncio.run(scene())
