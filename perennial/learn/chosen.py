"""The trial that the search chose, fitted to all training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.learn.intervals import conformal_interval
from perennial.learn.models import FittedModel, fit, learned_target
from perennial.learn.tasks import task_of
from perennial.learn.tune import Folds, out_of_fold

if TYPE_CHECKING:
    from perennial.config import Learn
    from perennial.evidence import Trial
    from perennial.table import Table


def fit_chosen(
    table: Table, folds: Folds, trial: Trial, learn: Learn, level: float, seed: int
) -> FittedModel:
    """The fitted model; a number gets prediction intervals of `level` from out-of-fold residuals.

    Raises:
        NotEnoughDataError: if there are too few rows for an interval of this level.
    """
    model = fit(table, trial.candidate, trial.parameters, learn, seed)
    if model.rule.task == "classification":
        return model
    raw = out_of_fold(table, folds, trial, learn, task_of(table.contract), seed)
    return model.with_interval(conformal_interval(raw, learned_target(table, learn), level))
