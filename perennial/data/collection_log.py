"""The log of a system's collections: what each brought, and what was said of it.

One verdict is one file, created whole and exclusively in the folder `log/`: `000007.json` for collection 7,
`000007.1.json` for what a second look at the same answers (`collect --reparse`) came to, and on.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from perennial.errors import StoreError
from perennial.evidence import Collection
from perennial.live.files import write_exclusive
from perennial.live.span import at, in_words

NAME = re.compile(r"(\d{6,})(?:\.(\d+))?\.json")
MOST_TOLD = 3


def append(folder: Path, collection: Collection) -> Collection:
    """The collection as the log of a system's `folder` holds it from now on, durably.

    A collection is known by its number and start. Appending the newest verdict on it again, as after a kill,
    changes nothing; another verdict on it is added after the ones before.

    Raises:
        StoreError: another collection has this number already, or the log is damaged.
    """
    log = folder / "log"
    log.mkdir(parents=True, exist_ok=True)
    while True:
        same = [_read(path) for path in _paths(folder) if _place(path)[0] == collection.number]
        if same and same[0].started_at != collection.started_at:
            raise StoreError(
                log,
                f"expected number {collection.number} to be free, found the collection that started at "
                f"{same[0].started_at}",
                "let one collection of a system end before the next starts",
            )
        if same and _verdict(same[-1]) == _verdict(collection):
            return same[-1]
        suffix = f".{len(same)}" if same else ""
        content = collection.model_dump_json(indent=1) + "\n"
        try:
            write_exclusive(log / f"{collection.number:06d}{suffix}.json", content.encode())
        except FileExistsError:
            continue
        return collection


def history(folder: Path, newest: int | None = None) -> list[Collection]:
    """All verdicts in the log, or the last `newest` of them, oldest first; none where there is no log.

    Raises:
        StoreError: naming a file that is damaged.
    """
    paths = _paths(folder)
    return [_read(path) for path in (paths if newest is None else paths[len(paths) - newest :])]


def last_good(folder: Path) -> Collection | None:
    """The newest collection that kept every promise; None where none did."""
    return next((one for one in map(_read, reversed(_paths(folder))) if one.good), None)


def blocked(folder: Path, now: datetime) -> str | None:
    """The sentence that keeps training from running; None where the newest collection kept its promises.

    It says what was breached and since when, and how old the last good dataset version is.
    """
    breached: list[Collection] = []
    good = None
    for one in map(_read, reversed(_paths(folder))):
        if one.good:
            good = one
            break
        breached.append(one)
    if not breached:
        return None
    newest, first = breached[0], breached[-1]
    told = " ".join(f"({n}) {breach.sentence}" for n, breach in enumerate(newest.breaches[:MOST_TOLD], 1))
    more = len(newest.breaches) - MOST_TOLD
    rest = f", and {more} more" if more > 0 else ""
    since = _ended(first)
    return (
        f"expected the newest collection to keep its promises, found that number {newest.number} of "
        f"{at(_ended(newest))} did not: {told}{rest}; breached since {at(since)} ({in_words(now - since)} ago); "
        f"{_age(good, now)}"
    )


def _age(good: Collection | None, now: datetime) -> str:
    if good is None or good.dataset is None:
        return "there is no good dataset version yet"
    ended = _ended(good)
    return (
        f"the last good dataset version is {good.dataset.version} ({good.dataset.rows:,} records), confirmed "
        f"by collection {good.number} of {at(ended)}, {in_words(now - ended)} ago"
    )


def _ended(collection: Collection) -> datetime:
    return datetime.fromisoformat(collection.finished_at)


def _verdict(collection: Collection) -> tuple[object, ...]:
    """What makes two verdicts on one collection the same; counts of the dataset differ when one is repeated."""
    return collection.feeds, collection.breaches


def _paths(folder: Path) -> list[Path]:
    """The files of the log in order; names of any other kind are left alone."""
    log = folder / "log"
    found = log.iterdir() if log.is_dir() else ()
    return sorted((path for path in found if NAME.fullmatch(path.name)), key=_place)


def _place(path: Path) -> tuple[int, int]:
    number, verdict = NAME.fullmatch(path.name).groups()  # type: ignore[union-attr]
    return int(number), int(verdict or 0)


def _read(path: Path) -> Collection:
    try:
        return Collection.model_validate_json(path.read_bytes())
    except ValidationError:
        raise StoreError(
            path, "expected a collection as it was written, found something else", "restore it from a copy"
        ) from None
