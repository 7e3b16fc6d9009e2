"""The candidate and the parameters that do best inside the training rows."""

from __future__ import annotations

import logging
import time
from typing import Annotated

from zenml import step

from perennial import systems
from perennial.config import GroupedSplit, Learn, StratifiedSplit, TimeSplit
from perennial.data import splits
from perennial.evidence import SearchResult
from perennial.learn import tune
from perennial.table import Table
from steps.progress import progress_bar

logger = logging.getLogger(__name__)


@step
def search(
    train: Table, system: str, rules: StratifiedSplit | GroupedSplit | TimeSplit, learn: Learn, seed: int
) -> Annotated[SearchResult, "search"]:
    """All trials, cross-validated on folds of the training rows, and the one that was chosen."""
    folds = splits.folds(train, rules, learn.folds, seed)
    trials = sum(1 + candidate.trials for candidate in learn.candidates)
    with progress_bar("search", trials) as advance:
        found = tune.search(train, folds, learn, systems.get(system).task, seed, time.monotonic, advance)
    for sentence in found.skipped:
        logger.warning("%s", sentence)
    best = found.best
    logger.info(
        "searched %d trials: %s is best, %s %.4g", len(found.trials), best.candidate, best.metric, best.score
    )
    return found
