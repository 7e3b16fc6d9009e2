"""One collection: every feed's walk is walked, every answer is stored, then read, then remembered.

Requests of all feeds are under way at once, as many as their hosts may be asked. One further thread stores,
reads and remembers answers one after the other, so that the event loop is free for the network. A process
that is killed at any moment leaves a run that the same call goes on with.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
)
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from perennial.config_file import secret
from perennial.config_web import Feed, FilesWalk, WebSource
from perennial.data.answer import Asker
from perennial.data.crawl.engine import Engine, Progress, most_requests
from perennial.data.crawl.frontier import Frontier
from perennial.data.crawl.gathered import facts, reached, reached_before
from perennial.data.crawl.local import FileAsker, FilesOrNetwork, HostFile, locked
from perennial.data.crawl.reading import Reader
from perennial.data.crawl.recording import Recorder, Replay
from perennial.data.crawl.requests import Run
from perennial.data.crawl.walk import first_steps
from perennial.data.fetch.fetcher import Fetcher
from perennial.errors import CollectionError
from perennial.evidence import Collection, FeedFacts
from perennial.live.files import canonical

RAW = "raw"
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Crawled:
    """What a collection brought, in the order of the source's feeds; its rows are read with `rows`.

    `resumed` says that an earlier process had begun it. `started_at` is when that was (UTC).
    """

    number: int
    started_at: datetime
    resumed: bool
    facts: tuple[FeedFacts, ...]

    def collection(self, system: str, now: datetime) -> Collection:
        """The collection as far as it is known before anybody judged it."""
        return Collection(
            system=system,
            number=self.number,
            started_at=self.started_at.isoformat(timespec="seconds"),
            finished_at=now.isoformat(timespec="seconds"),
            feeds=self.facts,
        )


async def crawl(
    source: WebSource,
    folder: Path,
    clock: Clock,
    asker: Asker | None = None,
    progress: Progress | None = None,
    reparse: bool = False,
) -> Crawled:
    """Walks every feed of a source; goes on with the folder's last run unless that was finished.

    A request that fails is counted by its outcome, and the others go on. Killed or cancelled at any moment,
    the next call ends with the rows of a call that nobody disturbed.

    Args:
        source: what is collected.
        folder: what collecting remembers, raw answers included; made where there is none.
        clock: the time in UTC.
        asker: who answers requests over the network; opened first where it is an async context manager.
            None asks the hosts themselves.
        progress: called a few times a second.
        reparse: reads the stored answers of the last run once more, and asks nobody.

    Raises:
        CollectionError: another process collects into the folder, or there is nothing to read once more.
        SourceError: a file of the source is missing.
        StoreError: the disk is full, or the frontier is damaged.
    """
    with locked(folder, clock()), closing(Frontier(folder)) as frontier:
        reader = Reader(source.feeds, folder / RAW)
        reader.raw.sweep()
        now = asker.started(clock()) if isinstance(asker, Recorder | Replay) else clock()
        last = frontier.last()
        resumed = last is not None and not last.finished
        if reparse:
            run, again = _last(last, folder), list(source.feeds)
        else:
            run, again = _planned(frontier, source, last, now)
        engine = Engine(source, frontier, run, reader, progress)
        with closing(engine):
            for name in again:
                await engine.read_again(name)
                frontier.read_by(run, name, _reading_digest(source.feeds[name]))
            if not reparse:
                async with _asker(asker, source, folder, clock) as network:
                    await engine.ask_all(network, _headers(source))
        found = []
        for name, feed in source.feeds.items():
            walk = _walk_digest(feed, source)
            before = reached_before(frontier.connection, name, walk)
            frontier.came_to(run, name, reached(frontier.connection, run, name, feed, before))
            found.append(facts(frontier.connection, run.number, name, walk))
    return Crawled(run.number, run.started_at, resumed, tuple(found))


def finish(folder: Path, number: int, good: bool = True) -> None:
    """Ends a run, so that the next collection starts a new one.

    `good` says that its rows entered the dataset: later runs of a walk over time go on from the last good one.
    """
    with closing(Frontier(folder)) as frontier:
        frontier.finish(number, good)


@contextmanager
def asking(
    source: WebSource, folder: Path, manner: Mapping[str, str], clock: Clock
) -> Iterator[Asker | None]:
    """The asker that `manner` names: `record` or `replay` with a folder; None where hosts are simply asked."""
    if replay := manner.get("replay"):
        yield Replay(Path(replay))
    elif record := manner.get("record"):
        folder.mkdir(parents=True, exist_ok=True)
        with closing(HostFile(folder)) as hosts:
            yield Recorder(Fetcher(source, clock, hosts), Path(record))
    else:
        yield None


def _last(last: Run | None, folder: Path) -> Run:
    if last is None:
        raise CollectionError(
            folder.name, ["expected stored answers to read once more, found none"], "collect first"
        )
    return last


def _planned(frontier: Frontier, source: WebSource, last: Run | None, now: datetime) -> tuple[Run, list[str]]:
    """The run to go on with, or a new one, and the feeds whose answers were read by other rules than now.

    A feed whose walk is another one than when the run started is planned anew.
    """
    current = last if last and not last.finished else None
    plans = {name: frontier.plan(current, name) if current else None for name in source.feeds}
    sown = {}
    for name, feed in source.feeds.items():
        walk, plan = _walk_digest(feed, source), plans[name]
        if plan is None or plan[0] != walk:
            before = reached_before(frontier.connection, name, walk)
            steps = first_steps(feed, source.base_url, before, current.started_at if current else now)
            sown[name] = (walk, _reading_digest(feed)), steps
    run = current or frontier.start(now)
    frontier.reopen(run)
    for name, (digests, steps) in sown.items():
        frontier.sow(run, name, digests, steps, most_requests(source.feeds[name]))
    again = [
        name
        for name, plan in plans.items()
        if plan and name not in sown and plan[1] != _reading_digest(source.feeds[name])
    ]
    return run, again


@asynccontextmanager
async def _asker(given: Asker | None, source: WebSource, folder: Path, clock: Clock) -> AsyncIterator[Asker]:
    """The asker, opened; files are read from this machine, and where there is nothing else no network opens."""
    async with AsyncExitStack() as stack:
        files = FileAsker(int(source.limits.inflated_mb * 1e6))
        if given is None and all(isinstance(feed.walk, FilesWalk) for feed in source.feeds.values()):
            yield files
            return
        network = given or Fetcher(source, clock, stack.enter_context(closing(HostFile(folder))))
        if isinstance(network, AbstractAsyncContextManager):
            await stack.enter_async_context(network)
        yield FilesOrNetwork(files, network)


def _headers(source: WebSource) -> dict[str, dict[str, str]]:
    """The further request headers of every feed, with secrets in the place of their names."""
    return {
        name: {key: secret(text) if text.startswith("env:") else text for key, text in feed.headers.items()}
        for name, feed in source.feeds.items()
    }


def _walk_digest(feed: Feed, source: WebSource) -> str:
    return _digest([feed.walk.model_dump(mode="json"), feed.base_url, source.base_url])


def _reading_digest(feed: Feed) -> str:
    rules = feed.model_dump(mode="json", include={"read", "fields", "key", "event_time"})
    return _digest(rules)


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()
