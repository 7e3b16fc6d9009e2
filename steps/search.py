"""The candidate and the parameters that do best inside the training rows."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Annotated

from zenml import step

from perennial import systems
from perennial.config import GroupedSplit, Learn, StratifiedSplit, TimeSplit
from perennial.config_stack import DaskCompute, ProcessesCompute, ThreadsCompute
from perennial.data import splits
from perennial.evidence import SearchResult
from perennial.home import home
from perennial.learn import checkpoint, tune
from perennial.table import Table
from steps.progress import search_progress

logger = logging.getLogger(__name__)


@step
def search(
    train: Table,
    system: str,
    rules: StratifiedSplit | GroupedSplit | TimeSplit,
    learn: Learn,
    seed: int,
    compute: ThreadsCompute | ProcessesCompute | DaskCompute,
) -> Annotated[SearchResult, "search"]:
    """All trials, cross-validated on folds of the training rows, and the one that was chosen."""
    folds, kept = splits.folds(train, rules, learn.folds, seed), home().searches / system
    checkpoint.clear_old(kept, datetime.now(UTC))
    with search_progress() as progress:
        task = systems.get(system).task
        found = tune.search(train, folds, learn, task, seed, time.monotonic, progress, compute, kept)
    for sentence in found.skipped:
        logger.warning("%s", sentence)
    logger.info("%s", tune.summary(found))
    return found
