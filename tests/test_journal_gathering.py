"""When a group of puts is whole."""

import asyncio
import time

from perennial.live.journal.gathering import LONGEST_S, Gathering


def test_what_comes_in_turn_after_turn_is_one_group() -> None:
    groups: list[int] = []
    came = 0

    async def scenario() -> None:
        nonlocal came
        loop = asyncio.get_running_loop()
        gathering = Gathering(lambda: groups.append(came))
        for _ in range(3):
            gathering.came(loop)
            came += 1
            await asyncio.sleep(0)
        assert not groups
        while not groups:
            await asyncio.sleep(0)
        gathering.came(loop)
        came += 1
        while len(groups) == 1:
            await asyncio.sleep(0)

    asyncio.run(scenario())
    assert groups == [3, 4]


def test_what_never_stops_coming_is_cut_into_groups() -> None:
    groups: list[float] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        gathering = Gathering(lambda: groups.append(loop.time()))
        started = time.monotonic()
        while len(groups) < 2 and time.monotonic() < started + 1000 * LONGEST_S:
            gathering.came(loop)
            await asyncio.sleep(0)

    asyncio.run(scenario())
    assert len(groups) == 2
