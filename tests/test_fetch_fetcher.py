"""Answers, redirects, retries and conditional requests, against real servers."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web
from fetch_host import FEED, NOON, Clock, ended, fetching, once, saying, serving

from perennial import errors
from perennial.data.answer import Request
from perennial.data.fetch.outcomes import FetchOutcome, failure, is_worth_a_retry

TRANSIENT = {
    "connection",
    "idle_timeout",
    "total_timeout",
    "throttled",
    "server_error",
    "half_answer",
}


def test_an_answer_says_what_came_from_where_and_when() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/old":
            return web.Response(status=301, headers={"Location": "/new?q=1#top"})
        headers = {"ETag": '"a"', "X-Twice": "1", "X-Name": "café"}
        reply = web.Response(body=b"hello", headers=headers, content_type="text/html")
        reply.headers.add("X-Twice", "2")
        return reply

    async def scene() -> None:
        async with serving(answer) as host, fetching(host.url, Clock()) as fetcher:
            got = await fetcher.get(Request(f"{host.url}/old"))
            assert (got.url, got.final_url) == (f"{host.url}/old", f"{host.url}/new?q=1")
            assert (got.status, got.body, got.sent_bytes) == (200, b"hello", 5)
            assert got.received_at == NOON
            assert got.seconds > 0
            assert got.headers["etag"] == '"a"'
            assert got.headers["x-twice"] == "1, 2"
            assert got.headers["x-name"] == "café"

    asyncio.run(scene())


def test_a_header_that_is_not_utf8_is_still_text() -> None:
    async def scene() -> None:
        raw = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Name: café\r\n\r\n".encode("latin-1")
        async with saying(raw) as host, fetching(host.url) as fetcher:
            answer = await fetcher.get(Request(host.url))
            assert answer.headers["x-name"] == "café"

    asyncio.run(scene())


def test_a_conditional_request_is_answered_with_304() -> None:
    def answer(request: web.Request) -> web.Response:
        known = request.headers.get("If-None-Match") == '"v1"' or "If-Modified-Since" in request.headers
        return web.Response(status=304 if known else 200, headers={"ETag": '"v1"'})

    async def scene() -> None:
        modified = "Mon, 06 May 2030 11:00:00 GMT"
        async with serving(answer) as host, fetching(host.url) as fetcher:
            first = await fetcher.get(Request(host.url))
            second = await fetcher.get(Request(host.url, etag=first.headers["etag"]))
            third = await fetcher.get(Request(host.url, last_modified=modified))
            assert [first.status, second.status, third.status] == [200, 304, 304]
            assert (second.body, second.sent_bytes) == (b"", 0)
            assert host.requests[2][2]["If-Modified-Since"] == modified
            assert "If-None-Match" not in host.requests[2][2]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("status", "outcome", "tries"),
    [
        (500, "server_error", 3),
        (502, "server_error", 3),
        (503, "throttled", 3),
        (504, "server_error", 3),
        (408, "server_error", 3),
        (429, "throttled", 3),
        (400, "bad_status", 1),
        (401, "denied", 1),
        (403, "denied", 1),
        (404, "not_found", 1),
        (410, "not_found", 1),
        (418, "bad_status", 1),
        (451, "denied", 1),
        (206, "bad_status", 1),
        (300, "bad_status", 1),
    ],
)
def test_transient_failures_alone_are_asked_again(status: int, outcome: str, tries: int) -> None:
    failures = tries

    def answer(_: web.Request) -> web.Response:
        nonlocal failures
        failures -= 1
        return web.Response(status=status if failures >= 0 else 200)

    async def scene() -> None:
        nonlocal failures
        pace = {"retries": 2, "backoff_s": 0.001}
        async with serving(answer) as host, fetching(host.url, pace=pace) as fetcher:
            with pytest.raises(errors.FetchError, match=str(status)) as caught:
                await fetcher.get(Request(host.url))
            assert caught.value.outcome == outcome
            assert caught.value.transient == (tries > 1)
            assert len(host.requests) == tries
            failures = tries - 1
            assert await ended(fetcher.get(Request(host.url))) == "200"

    asyncio.run(scene())


@pytest.mark.parametrize("then", ["close", "reset", "hang"])
def test_broken_and_silent_connections_are_asked_again(then: str) -> None:
    async def scene() -> None:
        pace = {"retries": 2, "backoff_s": 0.001}
        async with saying(then=then) as host:
            ends = await once(host.url, pace=pace, limits={"idle_s": 0.1})
            assert ends == ("idle_timeout" if then == "hang" else "connection")
            assert len(host.requests) == 3

    asyncio.run(scene())


@pytest.mark.parametrize("robots", [True, False])
def test_limits_robots_and_private_addresses_are_never_asked_again(robots: bool) -> None:
    def answer(request: web.Request) -> web.Response:
        return web.Response(
            text="User-agent: *\nDisallow: /no" if request.path == "/robots.txt" else "x" * 2000
        )

    async def scene() -> None:
        pace = {"retries": 3, "robots": robots}
        async with serving(answer) as host:
            assert await once(f"{host.url}/big", host.url, pace=pace, limits={"inflated_mb": 0.001}) == (
                "inflated_too_large"
            )
            assert host.paths == ["/robots.txt", "/big"][not robots :]
            if robots:
                assert await once(f"{host.url}/no", host.url, pace=pace) == "robots_forbids"
                assert "/no" not in host.paths
            assert await once("http://localhost:1/", host.url, pace=pace) == "private_address"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("limit", "hops", "ends"), [(0, 0, "200"), (0, 1, "too_many_redirects"), (3, 3, "200")]
)
def test_redirects_are_followed_up_to_the_limit(limit: int, hops: int, ends: str) -> None:
    def answer(request: web.Request) -> web.Response:
        hop = int(request.query.get("hop", 0))
        return (
            web.Response(status=307, headers={"Location": f"?hop={hop + 1}"})
            if hop < hops
            else web.Response()
        )

    async def scene() -> None:
        async with serving(answer) as host:
            assert await once(host.url, limits={"redirects": limit}) == ends
            assert len(host.requests) == min(hops, limit) + 1

    asyncio.run(scene())


def test_a_circle_of_redirects_ends() -> None:
    async def scene() -> None:
        async with serving(lambda r: web.Response(status=302, headers={"Location": r.path})) as host:
            assert await once(host.url) == "too_many_redirects"
            assert len(host.requests) == 6

    asyncio.run(scene())


SECRETS = {"Authorization": "Bearer s", "Cookie": "a=s", "X-Api-Key": "s", "Proxy-Authorization": "s"}


def test_credentials_do_not_follow_a_redirect_to_another_host() -> None:
    async def scene() -> None:
        async with serving(lambda _: web.Response()) as other:

            def answer(request: web.Request) -> web.Response:
                here, away = {"Location": "/away"}, {"Location": f"{other.url}/"}
                return web.Response(status=302, headers=away if request.path == "/away" else here)

            allowed = {"private_hosts": ["127.0.0.1"]}
            async with serving(answer) as host, fetching(host.url, **allowed) as fetcher:
                await fetcher.get(Request(host.url, {**SECRETS, "Accept": "text/csv"}, etag='"v"'))
                with_user = host.url.replace("http://", "http://me:word@")
                answer_ = await fetcher.get(Request(with_user))
                assert "word" not in answer_.final_url

                for _, _, headers in host.requests[:2]:
                    assert SECRETS.items() <= headers.items()
                assert [h["Authorization"] for _, _, h in host.requests[2:]] == ["Basic bWU6d29yZA=="] * 2
                for _, _, headers in other.requests:
                    assert not {*SECRETS, "Referer"} & set(headers)
                assert other.requests[0][2]["Accept"] == "text/csv"
                assert other.requests[0][2]["If-None-Match"] == '"v"'

    asyncio.run(scene())


def test_cookies_are_not_kept() -> None:
    async def scene() -> None:
        async with serving(lambda _: web.Response(headers={"Set-Cookie": "a=1"})) as host:
            async with fetching(host.url) as fetcher:
                for _ in range(2):
                    await fetcher.get(Request(host.url))
            assert not any("Cookie" in headers for _, _, headers in host.requests)

    asyncio.run(scene())


@pytest.mark.parametrize("headers", [{"User-Agent": "Mozilla/5.0"}, {"host": "x"}, {"X-Key": "secret\n"}])
def test_headers_that_would_lie_or_break_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(errors.SourceError):
        fetching("http://127.0.0.1:1", feeds={"f": {**FEED, "headers": headers}})
    with pytest.raises(errors.SourceError):
        asyncio.run(once_with(headers))


async def once_with(headers: dict[str, str]) -> None:
    async with fetching("http://127.0.0.1:1") as fetcher:
        await fetcher.get(Request("http://127.0.0.1:1/", headers))


def test_every_outcome_says_what_it_means_and_what_to_do() -> None:
    for outcome in FetchOutcome:
        error = failure(outcome, "http://example.org/")
        assert FetchOutcome(error.outcome) is outcome
        assert outcome.meaning in str(error)
        assert outcome.remedy in str(error)
        assert is_worth_a_retry(error) == (outcome in TRANSIENT)
        assert error.transient or outcome not in TRANSIENT


def test_a_closed_fetcher_asks_nothing() -> None:
    with pytest.raises(RuntimeError):
        asyncio.run(fetching("http://127.0.0.1:1").get(Request("http://127.0.0.1:1/")))


def test_dates_come_from_the_clock() -> None:
    clock = Clock(NOON + timedelta(days=1))

    async def scene() -> None:
        async with serving(lambda _: web.Response()) as host, fetching(host.url, clock) as fetcher:
            assert (await fetcher.get(Request(host.url))).received_at == clock.now

    asyncio.run(scene())
