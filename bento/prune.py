"""`python -m bento.prune SYSTEM`: brings the journal that a service writes within its limits, and ends.

A program of its own, so that neither its memory nor its work is a worker's. It reads the service's environment.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from perennial.errors import InputError, JournalError
from perennial.home import home
from perennial.live.journal.prune import Pruned, prune
from perennial.live.journal.store import Store, open_store

logger = logging.getLogger("bento.prune")

ADDRESS = "PERENNIAL_JOURNAL"
KEEP_DAYS, KEEP_MB, PRUNE_S = (f"{ADDRESS}_{name}" for name in ("KEEP_DAYS", "KEEP_MB", "PRUNE_S"))


@dataclass(frozen=True)
class Limits:
    """What a journal may hold; 0 is no limit. `every_s` are the seconds between two looks."""

    keep_days: float = 400.0
    keep_mb: float = 20_000.0
    every_s: float = 3600.0


def limits(environment: Mapping[str, str]) -> Limits:
    """The limits in PERENNIAL_JOURNAL_KEEP_DAYS, _KEEP_MB and _PRUNE_S; raises InputError."""
    usual = Limits()
    return Limits(
        keep_days=number(environment, KEEP_DAYS, usual.keep_days),
        keep_mb=number(environment, KEEP_MB, usual.keep_mb),
        every_s=number(environment, PRUNE_S, usual.every_s, least=0.01),
    )


def number(environment: Mapping[str, str], name: str, usual: float, least: float = 0.0) -> float:
    """A variable's number, `usual` where it is unset; raises InputError."""
    text = environment.get(name) or str(usual)
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not least <= found < math.inf:
        raise InputError(f"expected {name} to be a number of at least {least:g}, found {text!r}")
    return found


def journal_of(system: str, environment: Mapping[str, str]) -> Store:
    """The journal of a system where PERENNIAL_JOURNAL says, else in the state folder; raises InputError."""
    address = environment.get(ADDRESS) or home(environment).journal / f"{system}.sqlite"
    return open_store(system, address)


def sentence(done: Pruned, allowed: Limits) -> str:
    """What was deleted, in words.

    >>> sentence(Pruned(1200, 30), Limits(keep_days=90, keep_mb=0))
    'deleted 1,200 predictions and 30 rows of truth beyond 90 days'
    """
    told = [f"{allowed.keep_days:g} days"] * bool(allowed.keep_days)
    told += [f"{allowed.keep_mb:g} MB"] * bool(allowed.keep_mb)
    beyond = f" beyond {' and '.join(told)}" if told else ""
    return f"deleted {done.predictions:,} predictions and {done.truth:,} rows of truth{beyond}"


def prune_to(store: Store, allowed: Limits, now: datetime) -> Pruned:
    """Delete what is beyond the limits; raises JournalError."""
    return prune(store, now, allowed.keep_days or None, max_mb=allowed.keep_mb or None)


def main(arguments: list[str], environment: Mapping[str, str] = os.environ) -> int:
    """Prunes the journal of the system that is named; returns 1 where it could not."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s [%(levelname)s] [%(name)s] %(message)s")
    allowed, store = limits(environment), journal_of(arguments[0], environment)
    try:
        done = prune_to(store, allowed, datetime.now(UTC))
    except JournalError as error:
        logger.warning("not all is deleted that should be: %s", error)
        return 1
    finally:
        store.close()
    if done.predictions or done.truth:
        logger.info("%s: %s", arguments[0], sentence(done, allowed))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
