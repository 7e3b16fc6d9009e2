"""What becomes of a collection: into the dataset where every promise was kept, else into quarantine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.config_web import WebSource
from perennial.data import collection_log, dataset, promises, records
from perennial.errors import CollectionError
from perennial.evidence import Collection, DatasetReference, FeedFacts

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Places:
    """Where a system's collections are remembered, its dataset lies, and breached collections are put."""

    memory: Path
    dataset: Path
    quarantine: Path


def take_in(gathered: Collection, source: WebSource, places: Places, now: datetime) -> Collection:
    """The collection with its verdict: committed as a dataset version, or quarantined with every breach.

    Killed at any moment, the same call with the same collection ends in the same dataset version.
    """
    from perennial.data import crawl  # with HTTP and HTML, which a training does without

    gathered = promises.stamped(gathered, source.feeds)
    logged = collection_log.history(places.memory)
    good = [one for one in logged if one.good and one.number != gathered.number]
    found = {
        facts.feed: (facts, _of_feed(good, facts.feed), source.feeds[facts.feed]) for facts in gathered.feeds
    }
    breaches = tuple(breach for case in found.values() for breach in promises.breaches(*case))
    for case in found.values():
        for note in promises.notes(*case):
            logger.info("%s", note)
    collected, unfinished = _collected(gathered, source, places)
    before = dataset.latest(places.dataset)
    if breaches:
        path = places.quarantine / f"collection-{gathered.number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        collected.to_parquet(path, index=False)
        verdict: dict[str, object] = {"breaches": breaches, "dataset": before, "quarantine_path": str(path)}
    else:
        merged = records.merge(dataset.read(before) if before else None, collected)
        if merged.rejected:
            logger.warning("%s rows have no key or no event_time and were left out", f"{merged.rejected:,}")
        reference = dataset.append(merged.added, places.dataset, {"collection": str(gathered.number)})
        verdict = {
            "added": merged.new,
            "revised": merged.revised,
            "unfinished": unfinished,
            "dataset": reference,
        }
    judged = gathered.model_copy(update={**verdict, "finished_at": now.isoformat(timespec="seconds")})
    kept = collection_log.append(places.memory, judged)
    crawl.finish(places.memory, gathered.number, good=kept.good)
    return kept


def require(collection: Collection) -> DatasetReference:
    """The dataset version after a good collection; raises CollectionError naming every breach otherwise."""
    if collection.breaches or collection.dataset is None:
        raise CollectionError(
            collection.system,
            [breach.sentence for breach in collection.breaches],
            f"the dataset stays as it was; look at {collection.quarantine_path}, mend the selectors or the "
            "promises under expect:, and run collect --reparse",
        )
    return collection.dataset


def dataset_version(
    read_at_once: Callable[[], pd.DataFrame] | None, places: Places, version: int | None, now: datetime
) -> DatasetReference:
    """The dataset version to train on.

    Args:
        read_at_once: reads a source that comes whole (a file, a generator); None where it is collected by feeds.
        places: where things are.
        version: a version that was asked for; None means the newest.
        now: the time, for the age of what there is.

    Raises:
        CollectionError: where the newest collection breached its promises, and no version was asked for.
        DatasetError: where there is no such version.
    """
    if version is not None:
        return dataset.resolve(places.dataset, version)
    if read_at_once is not None:
        return dataset.commit(read_at_once(), places.dataset)
    if blocked := collection_log.blocked(places.memory, now):
        raise CollectionError(
            places.dataset.name, [blocked], "collect again, or name a version with --dataset-version"
        )
    return dataset.resolve(places.dataset, None)


def _of_feed(collections: list[Collection], feed: str) -> list[FeedFacts]:
    return [facts for collection in collections for facts in collection.feeds if facts.feed == feed]


def _collected(gathered: Collection, source: WebSource, places: Places) -> tuple[pd.DataFrame, int]:
    """The rows of a collection as records, and how many more were not finished when they were read."""
    from perennial.data.crawl import rows

    frames = [
        records.to_frame(name, feed, rows(places.memory, gathered.number, name))
        for name, feed in source.feeds.items()
    ]
    finished = [records.finished(*pair) for pair in zip(frames, source.feeds.values(), strict=True)]
    return records.together(finished), sum(map(len, frames)) - sum(map(len, finished))
