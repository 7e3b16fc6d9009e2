"""The search: every candidate cross-validated on folds of the training rows, and one trial chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perennial.config_stack import Compute, ThreadsCompute
from perennial.errors import NotEnoughDataError, ViolationsError
from perennial.evidence import SearchResult, Trial
from perennial.learn.candidate_checks import check_candidates
from perennial.learn.checkpoint import checkpoint
from perennial.learn.cross import CrossValidation, Folds
from perennial.learn.rows import moments_of
from perennial.learn.search.draws import Once, blend_draws, fixed_draws, random_draws
from perennial.learn.search.guided import guided
from perennial.learn.search.halving import halving
from perennial.learn.search.runner import Job, Runner, Standing
from perennial.learn.search.units import places
from perennial.learn.workers import open_workers
from perennial.live.answer import Task
from perennial.table import Table

if TYPE_CHECKING:
    from perennial.config import Learn

Floats = npt.NDArray[np.float64]


def search(
    table: Table,
    folds: Folds,
    learn: Learn,
    task: Task,
    seed: int,
    clock: Callable[[], float],
    progress: Callable[[Standing], None] | None = None,
    compute: Compute | None = None,
    kept: Path | None = None,
) -> SearchResult:
    """All trials in the order they ran, and the one that is chosen (see `choose`).

    First every candidate with its fixed parameters, the default first; then draws in turns, in the way that
    `learn.search` names. A draw varies only what the config leaves open. A random one depends on the seed, the
    candidate and its number, so that a longer budget adds trials and changes none. No trial starts after
    `learn.budget_s` on `clock`, except the very first; `budget_exhausted` says whether that left any out.
    Whatever computes, the numbers are the same.

    Args:
        table: the training rows.
        folds: positions within `table`; nothing else is fitted or scored.
        learn: candidates, budget, rows and threads.
        task: what the target asks for.
        seed: draws parameters, rows and what learners draw.
        clock: seconds that only rise, such as `time.monotonic`.
        progress: told how the search stands whenever a fit begins or ends.
        compute: what fits the models, of the stack file; threads by default.
        kept: the folder where finished fits are kept until the search is done, so that the same search goes on
            there after it was killed; None keeps nothing.

    Raises:
        ViolationsError: if a candidate or a parameter is unknown.
        NotEnoughDataError: if `learn.search_rows` leaves a fold empty.
        MissingLayerError: if no candidate at all could run.
        StackError: if the workers cannot be reached or do not stay alive.
        PerennialError: if a learner refuses its parameters or rows.
    """
    violations = check_candidates(learn, task, lambda: table.contract.features)
    if violations:
        raise ViolationsError("candidates", violations)
    folds = _capped(table, folds, learn.search_rows, seed)
    problem = CrossValidation(table, folds, learn, task, seed).problem
    with (
        checkpoint(kept, problem) as saved,
        open_workers(compute or ThreadsCompute(), learn.threads, problem) as workers,
    ):
        runner = Runner(problem, workers, saved, clock, learn.budget_s, progress)
        trials, early = _searched(runner, learn, seed)
    if not trials:
        raise next(iter(runner.missing.values()))
    return SearchResult(
        trials=tuple(trials),
        best=choose(trials, learn.default_margin),
        budget_exhausted=runner.exhausted,
        skipped=tuple(f"{name} was skipped: {error}" for name, error in runner.missing.items()),
        early=tuple(early),
        kind=learn.search.kind,
    )


def choose(trials: Sequence[Trial], margin: float) -> Trial:
    """The trial to use: the default (the first) unless others are clearly ahead, then the best of those.

    A trial is clearly ahead if the mean over the folds of (default - trial) exceeds `margin` standard errors
    of that mean. Folds are paired, so that what makes one fold harder for all cancels out. The rule keeps a
    simple named default from being replaced by noise, in the spirit of the one-standard-error rule (Breiman
    et al. 1984, section 3.4.3). Every score is an error: lower is better.
    """
    default = trials[0]
    ahead = [default]
    for trial in trials[1:]:
        gains = np.asarray(default.folds) - np.asarray(trial.folds)
        error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0
        if gains.mean() > 0 and gains.mean() > margin * error:
            ahead.append(trial)
    return min(ahead, key=lambda trial: trial.score)


def summary(found: SearchResult) -> str:
    """What a search did, in one sentence."""
    best = found.best
    given_up = f" and gave up {len(found.early):,} early" if found.early else ""
    cut = "; the time budget (learn.budget_s) left out others" if found.budget_exhausted else ""
    return (
        f"searched {len(found.trials):,} trials ({found.kind}){given_up}: {best.candidate} is best, "
        f"{best.metric} {best.score:.4g}{cut}"
    )


def _searched(runner: Runner, learn: Learn, seed: int) -> tuple[list[Trial], list[Trial]]:
    """The finished trials, and those that were given up early; blends of the best trials come last."""
    once = Once()
    trials, early = _drawn(runner, learn, once, seed)
    blends = blend_draws(learn, once, [trial for trial in trials if trial.share == 1.0])
    runner.planned += len(blends) * len(runner.folds)
    found = runner.run([Job(one, runner.folds) for one in blends])
    return [*trials, *(trial for trial in found if trial is not None)], early


def _drawn(runner: Runner, learn: Learn, once: Once, seed: int) -> tuple[list[Trial], list[Trial]]:
    how, fixed = learn.search, fixed_draws(learn, once)
    if how.kind == "optuna":
        return guided(fixed, runner, learn, how, once, seed)
    draws = [*fixed, *random_draws(learn, once, seed)]
    if how.kind == "halving":
        return halving(draws, runner, how)
    runner.planned = len(draws) * len(runner.folds)
    return [t for t in runner.run([Job(one, runner.folds) for one in draws]) if t is not None], []


def _capped(table: Table, folds: Folds, search_rows: int, seed: int) -> Folds:
    """The folds restricted to a sample of `search_rows` rows; all of them where that is 0 or enough.

    Where rows are a series, all rows of an origin are drawn, or none.
    """
    rows = len(table)
    if not 0 < search_rows < rows:
        return folds
    moments = moments_of(table)
    kept = np.zeros(rows, dtype=np.bool_)
    if moments is None:
        kept[np.random.default_rng(seed).choice(rows, search_rows, replace=False)] = True
    else:
        kept = places(seed, None, moments, rows) < search_rows / rows
    capped = [(fitted[kept[fitted]], scored[kept[scored]]) for fitted, scored in folds]
    smallest = min(min(len(part) for part in fold) for fold in capped)
    if smallest == 0:
        raise NotEnoughDataError(
            f"search on {search_rows:,} of {rows:,} rows (learn.search_rows), a fold", smallest, 1, "raise it"
        )
    return capped
