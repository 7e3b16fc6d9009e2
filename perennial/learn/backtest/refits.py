"""Every fit of a backtest, on workers, with what was finished before a kill kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perennial.config_stack import Compute
from perennial.errors import MissingLayerError
from perennial.learn.backtest.plan import Plan
from perennial.learn.checkpoint import outputs
from perennial.learn.cross import CrossValidation, Problem
from perennial.learn.models import raw_output
from perennial.learn.search.runner import Draw
from perennial.learn.tasks import task_of
from perennial.learn.workers import open_workers

Floats = npt.NDArray[np.float64]


class Standing(NamedTuple):
    """How far a backtest has come: fits done and planned, and what was done last."""

    done: int
    planned: int
    candidate: str


class Outputs(NamedTuple):
    """What the fits of one candidate gave: raw outputs refit by refit, and their seconds altogether."""

    raw: list[Floats]
    seconds: float


def refit_outputs(
    plan: Plan,
    compute: Compute,
    kept: Path | None = None,
    progress: Callable[[Standing], None] | None = None,
) -> list[Outputs | MissingLayerError]:
    """What each of the plan's draws gave, in their order; the error where its package is missing.

    Fits run on workers, one thread each, so that the numbers are the same whatever computes. What is finished is
    kept in the folder `kept`, and found there by the next call if this one is killed.

    Raises:
        StackError: where workers are gone.
        PerennialError: if a learner refuses its parameters or rows.
    """
    draws, folds = plan.draws, tuple(plan.refits)
    problem = CrossValidation(plan.table, folds, plan.learn, task_of(plan.table.contract), plan.seed).problem
    planned = [(number, refit) for number in range(len(draws)) for refit in range(len(folds))]
    found: dict[tuple[int, int], tuple[Floats, float]] = {}
    missing: dict[int, MissingLayerError] = {}

    def note(number: int, refit: int, raw: Floats, seconds: float) -> None:
        found[number, refit] = (raw, seconds)
        if progress is not None:
            progress(Standing(len(found), len(planned), draws[number].candidate))

    with outputs(kept, problem) as saved, open_workers(compute, plan.learn.threads, problem) as workers:

        def left() -> Iterator[tuple[tuple[int, int], tuple[Draw, int]]]:
            for number, refit in planned:
                known = saved.get(*draws[number], refit)
                if known is not None:
                    note(number, refit, *known)
                elif number not in missing:
                    yield (number, refit), (draws[number], refit)

        for (number, refit), (raw, seconds) in workers.as_done(_refit, left()):
            if isinstance(raw, MissingLayerError):
                missing.setdefault(number, raw)
                continue
            saved.put(*draws[number], refit, raw=raw, seconds=seconds)
            note(number, refit, raw, seconds)

    def of(number: int) -> Outputs:
        own = [found[number, refit] for refit in range(len(folds))]
        return Outputs([raw for raw, _ in own], sum(seconds for _, seconds in own))

    return [missing.get(number) or of(number) for number in range(len(draws))]


def _refit(problem: Problem, item: tuple[Draw, int]) -> tuple[Floats | MissingLayerError, float]:
    """The raw outputs for the rows that a refit predicts (see `raw_output`), and its seconds."""
    (candidate, parameters), refit = item
    fitted, rows = problem.folds[refit]
    start = time.perf_counter()
    try:
        estimator = problem.fitted(candidate, parameters, fitted)
    except MissingLayerError as error:
        return error, 0.0
    raw = raw_output(estimator, problem.X[rows], len(problem.classes))
    return raw, time.perf_counter() - start
