"""The chosen candidate, fitted to all training rows."""

from __future__ import annotations

import logging
from typing import Annotated

from zenml import step

from perennial import systems
from perennial.config import GroupedSplit, Learn, Recent, StratifiedSplit, TimeSplit
from perennial.evidence import SearchResult
from perennial.learn.chosen import fit_chosen
from perennial.learn.models import FittedModel
from perennial.table import Table
from steps.residuals import folds_for, follows

logger = logging.getLogger(__name__)


@step
def fit(
    train: Table,
    found: SearchResult,
    rules: StratifiedSplit | GroupedSplit | TimeSplit,
    learn: Learn,
    system: str,
    levels: tuple[float, ...],
    seed: int,
    recent: Recent | None = None,
) -> Annotated[FittedModel, "model"]:
    """The fitted model, with prediction intervals from out-of-fold residuals."""
    best = found.best
    folds = folds_for(train, best.candidate, best.parameters, rules, learn.folds, seed)
    model = fit_chosen(train, folds, best, learn, levels, seed, systems.get(system).horizon, follows(recent))
    logger.info("fitted %s to %s rows in %.1f s", model.candidate, f"{len(train):,}", model.seconds)
    return model
