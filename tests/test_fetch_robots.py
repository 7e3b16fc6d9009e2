"""robots.txt by the rules of RFC 9309."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from aiohttp import web
from fetch_host import Clock, Host, ended, fetching, saying, serving

from perennial import __version__
from perennial.data.answer import Request
from perennial.data.fetch.hosts import BriefHostMemory
from perennial.data.fetch.robots import KEPT, MOST_BYTES, RECHECK

POLITE = {"robots": True}


def site(robots: web.Response | str, page: str = "page"):
    """A site with this robots.txt; every other path is a page."""

    def answer(request: web.Request) -> web.Response:
        if request.path == "/robots.txt":
            return web.Response(text=robots) if isinstance(robots, str) else robots
        return web.Response(text=page)

    return answer


async def visit(host: Host, path: str = "/x", **sections: object) -> str:
    pace = {**POLITE, **sections.pop("pace", {})}  # type: ignore[dict-item]
    async with fetching(host.url, pace=pace, **sections) as fetcher:
        return await ended(fetcher.get(Request(f"{host.url}{path}")))


@pytest.mark.parametrize(
    ("status", "ends"),
    [
        (400, "200"),
        (401, "200"),
        (403, "200"),
        (404, "200"),
        (410, "200"),
        (204, "200"),
        (429, "robots_unreachable"),
        (500, "robots_unreachable"),
        (503, "robots_unreachable"),
        (599, "robots_unreachable"),
    ],
)
def test_a_missing_robots_txt_allows_and_a_failing_one_forbids(status: int, ends: str) -> None:
    async def scene() -> list[str]:
        async with serving(lambda r: web.Response(status=status if r.path == "/robots.txt" else 200)) as host:
            assert await visit(host) == ends
            return host.paths

    assert asyncio.run(scene()) == ["/robots.txt", "/x"][: 2 if ends == "200" else 1]


@pytest.mark.parametrize("then", ["hang", "close", "reset"])
def test_a_robots_txt_that_times_out_or_breaks_off_forbids(then: str) -> None:
    async def scene() -> None:
        for pieces in ((), (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nUser-agent: *\n",)):
            async with saying(*pieces, then=then) as host:
                assert await visit(host, limits={"idle_s": 0.1}) == "robots_unreachable"

    asyncio.run(scene())


def test_a_failing_robots_txt_is_asked_again_after_the_stated_time() -> None:
    status, clock, memory = 500, Clock(), BriefHostMemory()

    async def scene() -> None:
        nonlocal status
        async with serving(lambda r: web.Response(status=status if r.path == "/robots.txt" else 200)) as host:
            assert await visit(host, clock=clock, memory=memory) == "robots_unreachable"
            status = 404
            clock.move(seconds=RECHECK.total_seconds() - 1)
            assert await visit(host, clock=clock, memory=memory) == "robots_unreachable"
            assert host.paths == ["/robots.txt"]
            clock.move(seconds=2)
            assert await visit(host, clock=clock, memory=memory) == "200"
            assert host.paths == ["/robots.txt", "/robots.txt", "/x"]

    asyncio.run(scene())


def test_robots_txt_is_asked_for_once_a_day_and_kept_between_runs() -> None:
    clock, memory = Clock(), BriefHostMemory()

    async def scene() -> None:
        async with serving(site("User-agent: *\nDisallow: /no")) as host:
            async with fetching(host.url, clock, memory, pace=POLITE) as fetcher:
                answers = [
                    ended(fetcher.get(Request(f"{host.url}/{name}"))) for name in ("a", "b", "no", "c")
                ]
                assert await asyncio.gather(*answers) == ["200", "200", "robots_forbids", "200"]
            assert await visit(host, "/nothing", clock=clock, memory=memory) == "robots_forbids"
            assert host.paths.count("/robots.txt") == 1
            clock.move(seconds=KEPT.total_seconds())
            assert await visit(host, clock=clock, memory=memory) == "200"
            assert host.paths.count("/robots.txt") == 2
            assert "/no" not in host.paths

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("robots", "path", "ends"),
    [
        ("User-agent: *\nDisallow: /", "/x", "robots_forbids"),
        ("User-agent: *\nDisallow: /\n\nUser-agent: perennial\nAllow: /", "/x", "200"),
        ("User-agent: Perennial\nDisallow: /x", "/x?y=1", "robots_forbids"),
        ("User-agent: perenniality\nDisallow: /", "/x", "200"),
        ("User-agent: *\nDisallow: /*.csv$", "/a/../b.csv", "robots_forbids"),
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b", "200"),
        ("User-agent: *\nDisallow: /no", "/yes/../no", "robots_forbids"),
        ("User-agent: *\nDisallow: /no", "/%6Eo", "robots_forbids"),
        ("\ufeffUser-agent: *\nDisallow: /", "/x", "robots_forbids"),
        ("<html>no robots here</html>", "/x", "200"),
        ("User-agent: *\nDisallow:", "/x", "200"),
    ],
)
def test_the_rules_of_our_own_group_hold(robots: str, path: str, ends: str) -> None:
    async def scene() -> None:
        async with serving(site(robots)) as host:
            assert await visit(host, path) == ends

    asyncio.run(scene())


@pytest.mark.parametrize("packed", [False, True])
def test_only_the_first_part_of_a_long_robots_txt_counts(packed: bool) -> None:
    head = "User-agent: *\nDisallow: /early\n"
    text = head + "#" * (MOST_BYTES - len(head)) + "\nDisallow: /late\n" + "#" * 3_000_000
    body, headers = text.encode(), {}
    if packed:
        body, headers = gzip.compress(body), {"Content-Encoding": "gzip"}

    async def scene() -> None:
        async with serving(site(web.Response(body=body, headers=headers))) as host:
            assert await visit(host, "/early") == "robots_forbids"
        async with serving(site(web.Response(body=body, headers=headers))) as host:
            assert await visit(host, "/late") == "200"

    asyncio.run(scene())


@pytest.mark.parametrize(("hops", "ends"), [(5, "robots_forbids"), (6, "200")])
def test_robots_txt_is_followed_over_five_redirects(hops: int, ends: str) -> None:
    def answer(request: web.Request) -> web.Response:
        if request.path == "/x":
            return web.Response()
        hop = int(request.query.get("hop", 0))
        if hop < hops:
            return web.Response(status=301, headers={"Location": f"/elsewhere?hop={hop + 1}"})
        return web.Response(text="User-agent: *\nDisallow: /")

    async def scene() -> None:
        async with serving(answer) as host:
            assert await visit(host) == ends

    asyncio.run(scene())


def test_a_robots_txt_that_leads_into_a_private_network_forbids() -> None:
    async def scene() -> None:
        async with serving(lambda _: web.Response(text="User-agent: *\nAllow: /")) as secret:
            away = web.Response(status=302, headers={"Location": f"{secret.url}/robots.txt"})
            async with serving(site(away)) as host:
                assert await visit(host) == "robots_unreachable"
            assert secret.requests == []

    asyncio.run(scene())


def test_a_redirect_obeys_the_robots_txt_of_the_new_host() -> None:
    async def scene() -> None:
        async with serving(site("User-agent: *\nDisallow: /private")) as other:

            def answer(request: web.Request) -> web.Response:
                if request.path == "/robots.txt":
                    return web.Response(status=404)
                return web.Response(status=302, headers={"Location": f"{other.url}{request.path}"})

            async with serving(answer) as host:
                allowed = {"private_hosts": ["127.0.0.1"]}
                assert await visit(host, "/public", **allowed) == "200"
                assert await visit(host, "/private", **allowed) == "robots_forbids"
            assert "/private" not in other.paths

    asyncio.run(scene())


def test_crawl_delay_is_kept_from_the_first_page_on() -> None:
    async def scene() -> list[float]:
        async with serving(site("User-agent: *\nCrawl-delay: 0.2")) as host:
            async with fetching(host.url, pace={**POLITE, "requests_per_s": 50}) as fetcher:
                await asyncio.gather(*(fetcher.get(Request(f"{host.url}/{i}")) for i in range(3)))
            return host.gaps

    gaps = asyncio.run(scene())
    assert len(gaps) == 3
    assert min(gaps) >= 0.2


def test_a_crawl_delay_beyond_the_longest_wait_is_capped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        memory = BriefHostMemory()
        async with serving(site("User-agent: *\nCrawl-delay: 86400")) as host:
            assert await visit(host, memory=memory, pace={"longest_wait_s": 0.2}) == "200"
            state = memory.load(host.url.removeprefix("http://"))
            assert state is not None
            assert state.delay_s == 0.2
            assert host.gaps[0] >= 0.2

    asyncio.run(scene())
    assert "Crawl-delay of 86400 s cut to pace.longest_wait_s" in caplog.text


def test_the_user_agent_is_honest() -> None:
    async def scene() -> set[str]:
        async with serving(site("")) as host:
            assert await visit(host, contact="mailto:data@example.org") == "200"
            return {headers["User-Agent"] for _, _, headers in host.requests}

    assert asyncio.run(scene()) == {f"Perennial/{__version__} (+mailto:data@example.org)"}
