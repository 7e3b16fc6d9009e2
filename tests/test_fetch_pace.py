"""Hosts are asked no faster than allowed, more slowly when they say so, and not at all while they are broken."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime
from time import monotonic

import pytest
from aiohttp import web
from fetch_host import NOON, Clock, Host, ended, fetching, saying, serving
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from perennial.config_web import Pace
from perennial.data.answer import Request
from perennial.data.fetch.fetcher import Fetcher, retry_after_s
from perennial.data.fetch.hosts import BriefHostMemory, HostState, RobotsFile
from perennial.data.fetch.pace import LEAST_MARGIN_S, HostPace

INTERVAL_S = 0.1
PACED = {"requests_per_s": 1 / INTERVAL_S, "at_once": 3}


async def asked(fetcher: Fetcher, host: Host, count: int = 1, path: str = "/") -> list[str]:
    """How `count` requests at the same time end."""
    return await asyncio.gather(*(ended(fetcher.get(Request(f"{host.url}{path}"))) for _ in range(count)))


def state_of(memory: BriefHostMemory, host: Host) -> HostState:
    state = memory.load(host.url.removeprefix("http://"))
    assert state is not None
    return state


def test_requests_are_never_closer_than_allowed_whatever_they_are() -> None:
    """Pages, robots.txt, redirects, retries, slow answers and a second run all wait for their turn."""
    failed = []

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/robots.txt":
            return web.Response(text="User-agent: *\nDisallow: /no")
        if request.path == "/away":
            return web.Response(status=302, headers={"Location": "/"})
        if request.path == "/fails" and not failed:
            failed.append(1)
            return web.Response(status=500)
        if request.path == "/slow":
            await asyncio.sleep(0.25)
        return web.Response()

    async def scene() -> list[float]:
        memory, pace = BriefHostMemory(), {**PACED, "robots": True, "retries": 1}
        async with serving(answer) as host:
            for paths in (["/", "/away", "/slow", "/fails"], ["/", "/slow"]):
                async with fetching(host.url, memory=memory, pace=pace) as fetcher:
                    ends = await asyncio.gather(*(asked(fetcher, host, path=path) for path in paths))
                assert ends == [["200"]] * len(paths)
            assert len(host.requests) == 1 + 4 + 1 + 1 + 2
            return host.gaps

    assert min(asyncio.run(scene())) >= INTERVAL_S


@pytest.mark.parametrize("pace", [{"at_once": 3}, {"at_once": 3, "requests_per_s": 1000}])
def test_no_more_requests_than_allowed_are_under_way_at_once(pace: dict[str, float]) -> None:
    under_way, most = 0, 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1
        return web.Response()

    async def scene() -> None:
        async with serving(answer) as host, fetching(host.url, pace=pace) as fetcher:
            assert await asked(fetcher, host, 10) == ["200"] * 10

    asyncio.run(scene())
    assert most == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_asks_for_fewer_requests_is_slowed_and_recovers_slowly(status: int) -> None:
    refusals = 3

    def answer(_: web.Request) -> web.Response:
        nonlocal refusals
        refusals -= 1
        return web.Response(status=status if refusals >= 0 else 200)

    async def scene() -> None:
        memory = BriefHostMemory()
        pace = {"requests_per_s": 200, "retries": 3, "at_once": 1}
        async with serving(answer) as host, fetching(host.url, memory=memory, pace=pace) as fetcher:
            assert await asked(fetcher, host) == ["200"]
            assert all(gap >= 0.005 * 2 ** (i + 1) for i, gap in enumerate(host.gaps))
            delays = [state_of(memory, host).delay_s]
            for _ in range(5):
                await asked(fetcher, host)
                delays.append(state_of(memory, host).delay_s)
            assert delays == pytest.approx([0.04 * 0.9**i for i in range(1, 7)])
            for _ in range(16):
                await asked(fetcher, host)
            assert state_of(memory, host).delay_s == 0.005

    asyncio.run(scene())


def test_answers_to_requests_already_under_way_slow_the_host_once() -> None:
    meeting: list[asyncio.Barrier] = []

    async def answer(_: web.Request) -> web.Response:
        await meeting[0].wait()
        return web.Response(status=429)

    async def scene() -> None:
        memory, meeting[:] = BriefHostMemory(), [asyncio.Barrier(6)]
        pace = {"at_once": 6, "breaker_failures": 3}
        async with serving(answer) as host, fetching(host.url, memory=memory, pace=pace) as fetcher:
            assert await asked(fetcher, host, 6) == ["throttled"] * 6
            assert state_of(memory, host).delay_s == 0.01
            assert state_of(memory, host).failures == 1

    asyncio.run(scene())


async def wait_after(retry_after: str, longest_wait_s: float) -> float:
    """The time that passes between a refusal with this header and the next request."""
    statuses = [200, 429]

    def answer(_: web.Request) -> web.Response:
        return web.Response(status=statuses.pop(), headers={"Retry-After": retry_after})

    pace = {"retries": 1, "longest_wait_s": longest_wait_s}
    async with serving(answer) as host, fetching(host.url, pace=pace) as fetcher:
        assert await asked(fetcher, host) == ["200"]
        return host.gaps[0]


def test_retry_after_is_honoured_and_capped() -> None:
    async def scene() -> list[float]:
        soon = format_datetime(NOON + timedelta(seconds=1), usegmt=True)
        next_year = format_datetime(NOON + timedelta(days=400), usegmt=True)
        return await asyncio.gather(
            wait_after("1", 900), wait_after(soon, 900), wait_after("3600", 0.3), wait_after(next_year, 0.3)
        )

    waits = asyncio.run(scene())
    assert min(waits[:2]) >= 1
    assert min(waits[2:]) >= 0.3


def test_a_kept_connection_that_breaks_is_not_asked_again_without_a_turn() -> None:
    arrivals = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrivals
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            arrivals += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            arrivals += 1
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        host = Host(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with fetching(host.url) as fetcher:
            assert await asked(fetcher, host) == ["200"]
            assert await asked(fetcher, host) == ["connection"]
        server.close()

    asyncio.run(scene())
    assert arrivals == 2


@given(st.integers(0, 10**6))
def test_retry_after_in_seconds_and_as_a_date_mean_the_same(seconds: int) -> None:
    date = format_datetime(NOON + timedelta(seconds=seconds), usegmt=True)
    assert retry_after_s(str(seconds), NOON) == retry_after_s(date, NOON) == seconds
    past = format_datetime(NOON - timedelta(seconds=seconds), usegmt=True)
    assert retry_after_s(past, NOON) == 0


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5.2", "Mon, 99 Foo 2030", "1e9"])
def test_an_unreadable_retry_after_asks_for_nothing(text: str) -> None:
    assert retry_after_s(text, NOON) is None


def test_waiting_says_which_host_and_why() -> None:
    status = 200

    def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "190"})

    async def scene() -> None:
        nonlocal status
        async with serving(answer) as host, fetching(host.url, pace={"requests_per_s": 4}) as fetcher:
            name = host.url.removeprefix("http://")
            assert fetcher.waiting() == {}
            await asked(fetcher, host)
            assert fetcher.waiting() == {}
            waiter = asyncio.create_task(asked(fetcher, host))
            await asyncio.sleep(0.01)
            assert fetcher.waiting() == {name: "0.25 s between requests"}
            status = 429
            assert await waiter == ["throttled"]
            waiter = asyncio.create_task(asked(fetcher, host))
            await asyncio.sleep(0.01)
            assert fetcher.waiting() in ({name: f"Retry-After until 12:03:{s} UTC"} for s in ("09", "10"))
            waiter.cancel()
            await asyncio.wait([waiter])
            assert fetcher.waiting() == {}

    asyncio.run(scene())


def test_the_breaker_opens_tests_once_and_closes_again() -> None:
    healthy = False

    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(0.02)
        return web.Response(status=200 if healthy else 500)

    async def scene() -> None:
        nonlocal healthy
        memory = BriefHostMemory()
        pace = {"breaker_failures": 3, "at_once": 4}
        async with serving(answer) as host:
            name = host.url.removeprefix("http://")
            async with fetching(host.url, memory=memory, pace=pace) as fetcher:
                for _ in range(3):
                    assert await asked(fetcher, host) == ["server_error"]
                assert fetcher.waiting()[name].startswith("breaker open: 3 failures in a row, asked again at")
                # one of the four tests the host after 0.01 * 2 ** 3 s, the others are refused
                assert sorted(await asked(fetcher, host, 4)) == ["breaker_open"] * 3 + ["server_error"]
                assert len(host.requests) == 4
                assert host.gaps[2] >= 0.08
                assert await asked(fetcher, host, 4) == ["breaker_open"] * 4
            assert len(host.requests) == 4

            saved = state_of(memory, host)
            assert saved.failures == 4
            assert saved.blocked_until is not None
            healthy = True
            async with fetching(host.url, memory=memory, pace=pace) as fetcher:
                assert await asked(fetcher, host) == ["breaker_open"]  # another run remembers
                await asyncio.sleep(0.16)
                assert await asked(fetcher, host, 4) == ["200"] * 4
            assert state_of(memory, host).failures == 0

    asyncio.run(scene())


def test_failures_that_were_under_way_when_the_breaker_opened_do_not_open_it_further() -> None:
    meeting: list[asyncio.Barrier] = []

    async def answer(_: web.Request) -> web.Response:
        await meeting[0].wait()
        return web.Response(status=500)

    async def scene() -> None:
        memory, meeting[:] = BriefHostMemory(), [asyncio.Barrier(6)]
        pace = {"at_once": 6, "breaker_failures": 2}
        async with serving(answer) as host, fetching(host.url, memory=memory, pace=pace) as fetcher:
            assert await asked(fetcher, host, 6) == ["server_error"] * 6
            assert state_of(memory, host).failures == 2

    asyncio.run(scene())


@pytest.mark.parametrize(("connecting_s", "answering_s"), [(0.15, 0.3), (0.0, 0.03)])
def test_a_slow_way_to_the_host_does_not_bring_requests_closer_together(
    connecting_s: float, answering_s: float
) -> None:
    """The next turn starts a delay after a request was sent, and after a slightly late answer to it."""
    url, began_at, sent_at, answered_at = URL("http://example.org/"), [], [], []

    async def one(host: HostPace) -> None:
        async with host.turn(url) as turn:
            began_at.append(monotonic())
            await asyncio.sleep(connecting_s)
            sent_at.append(monotonic())
            turn.sent()
            await asyncio.sleep(answering_s)
            answered_at.append(monotonic())
            turn.answered()

    async def scene() -> None:
        pace = Pace(requests_per_s=1 / INTERVAL_S, at_once=2)
        host = HostPace("example.org", pace, Clock(), BriefHostMemory(), longest_request_s=1)
        await asyncio.gather(one(host), one(host))

    asyncio.run(scene())
    seen_at = min(answered_at[0], sent_at[0] + LEAST_MARGIN_S if answering_s < INTERVAL_S else sent_at[0])
    assert began_at[1] - seen_at >= INTERVAL_S


@pytest.mark.parametrize("then", ["close", "reset", "hang"])
def test_broken_connections_and_silence_count_towards_the_breaker(then: str) -> None:
    async def scene() -> None:
        pace = {"breaker_failures": 2, "retries": 9}
        async with saying(then=then) as host:
            async with fetching(host.url, pace=pace, limits={"idle_s": 0.05}) as fetcher:
                assert await asked(fetcher, host) == ["breaker_open"]
            assert len(host.requests) == 3  # two that open it, and the test

    asyncio.run(scene())


def test_a_host_that_answers_at_all_is_not_broken() -> None:
    async def scene() -> None:
        pace = {"breaker_failures": 1}
        async with (
            serving(lambda _: web.Response(status=404)) as host,
            fetching(host.url, pace=pace) as fetcher,
        ):
            assert await asked(fetcher, host, 5) == ["not_found"] * 5

    asyncio.run(scene())


def test_a_cancelled_request_gives_its_turn_back() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/hangs":
            await asyncio.sleep(5)
        return web.Response()

    async def scene() -> None:
        pace = {"at_once": 1, "requests_per_s": 50}
        async with serving(answer) as host, fetching(host.url, pace=pace) as fetcher:
            hanging = [asyncio.create_task(asked(fetcher, host, path="/hangs")) for _ in range(3)]
            await asyncio.sleep(0.1)
            for task in hanging:
                task.cancel()
            await asyncio.wait(hanging)
            assert await asyncio.wait_for(asked(fetcher, host, 2), 3) == ["200", "200"]

    asyncio.run(scene())


def test_an_old_delay_fades_while_a_host_is_left_alone() -> None:
    async def scene(hours: float) -> float:
        memory, clock = BriefHostMemory(), Clock()
        async with serving(lambda _: web.Response()) as host:
            name = host.url.removeprefix("http://")
            memory.save(name, HostState(delay_s=0.8, asked_at=NOON - timedelta(hours=hours)))
            async with fetching(host.url, clock, memory, pace={"requests_per_s": 1000}) as fetcher:
                await asked(fetcher, host)
            return state_of(memory, host).delay_s

    assert asyncio.run(scene(3)) == pytest.approx(0.9 * 0.1)
    assert asyncio.run(scene(1000)) == pytest.approx(0.001)


def test_a_state_survives_json() -> None:
    states = [
        HostState(),
        HostState(
            1.5,
            NOON,
            NOON,
            3,
            {"http://a": RobotsFile("x\n", NOON), "http://b": RobotsFile(None, NOON, "why")},
        ),
    ]
    assert [HostState.from_json(state.to_json()) for state in states] == states
