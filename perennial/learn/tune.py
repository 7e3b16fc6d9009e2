"""The search: every candidate cross-validated on folds of the training rows, and one trial chosen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from perennial.errors import MissingLayerError, NotEnoughDataError, ViolationsError
from perennial.evidence import SearchResult, Trial
from perennial.learn.candidates import check_candidates, kind_of
from perennial.learn.cross import CrossValidation, Folds, Positions
from perennial.learn.metrics import metric_value, pairs_of
from perennial.learn.models import raw_output
from perennial.learn.spaces import draw
from perennial.learn.tasks import RULES
from perennial.live.answer import AnswerRule, Task, answer
from perennial.table import Table

if TYPE_CHECKING:
    from perennial.config import Learn

Floats = npt.NDArray[np.float64]

REDRAWS = 20
"""How often a draw that was tried before is drawn again, before the candidate's space counts as used up."""


def search(
    table: Table,
    folds: Folds,
    learn: Learn,
    task: Task,
    seed: int,
    clock: Callable[[], float],
    progress: Callable[[Trial], None] | None = None,
) -> SearchResult:
    """All trials in the order they ran, and the one that is chosen (see `choose`).

    First every candidate with its fixed parameters, the default first; then random draws in turns. A draw
    varies only what the config leaves open. It depends on the seed, the candidate and its number, so that
    a longer budget adds trials and changes none. No trial starts after `learn.budget_s` on `clock`, except
    the very first; `budget_exhausted` says whether that left any out.

    Args:
        table: the training rows.
        folds: positions within `table`; nothing else is fitted or scored.
        learn: candidates, budget, rows and threads.
        task: what the target asks for.
        seed: draws parameters, rows and what learners draw.
        clock: seconds that only rise, such as `time.monotonic`.
        progress: told every trial when it is done.

    Raises:
        ViolationsError: if a candidate or a parameter is unknown.
        NotEnoughDataError: if `learn.search_rows` leaves a fold empty.
        MissingLayerError: if no candidate at all could run.
        PerennialError: if a learner refuses its parameters or rows.
    """
    violations = check_candidates(learn, task)
    if violations:
        raise ViolationsError("candidates", violations)
    folds = _capped(folds, len(table), learn.search_rows, seed)
    cross = CrossValidation(table, folds, learn, task, seed)
    start = clock()
    trials: list[Trial] = []
    missing: dict[str, MissingLayerError] = {}
    exhausted = False
    for candidate, parameters in _plan(learn, seed):
        if candidate in missing:
            continue
        if trials and clock() - start >= learn.budget_s:
            exhausted = True
            break
        try:
            trial = _try(cross, candidate, parameters, clock)
        except MissingLayerError as error:
            missing[candidate] = error
            continue
        trials.append(trial)
        if progress is not None:
            progress(trial)
    if not trials:
        raise next(iter(missing.values()))
    skipped = tuple(f"{name} was skipped: {error}" for name, error in missing.items())
    best = choose(trials, learn.default_margin)
    return SearchResult(trials=tuple(trials), best=best, budget_exhausted=exhausted, skipped=skipped)


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


def _plan(learn: Learn, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Candidates and parameters in the order of the trials; each combination once."""
    seen: set[str] = set()

    def is_new(candidate: str, parameters: Mapping[str, Any]) -> bool:
        key = json.dumps([candidate, parameters], sort_keys=True)
        fresh = key not in seen
        seen.add(key)
        return fresh

    fixed = [{**kind_of(c.name).defaults, **c.parameters} for c in learn.candidates]
    for candidate, parameters in zip(learn.candidates, fixed, strict=True):
        if is_new(candidate.name, parameters):
            yield candidate.name, parameters
    for number in range(max(c.trials for c in learn.candidates)):
        for i, candidate in enumerate(learn.candidates):
            space = {n: d for n, d in kind_of(candidate.name).space.items() if n not in candidate.parameters}
            if number >= candidate.trials or not space:
                continue
            rng = np.random.default_rng([seed, crc32(candidate.name.encode()), i, number])
            for _ in range(REDRAWS):
                parameters = {**fixed[i], **draw(space, rng)}
                if is_new(candidate.name, parameters):
                    yield candidate.name, parameters
                    break


def _try(
    cross: CrossValidation, candidate: str, parameters: dict[str, Any], clock: Callable[[], float]
) -> Trial:
    """One candidate with one set of parameters, scored on every fold by the task's primary metric."""
    start = clock()
    metric, classes = RULES[cross.task].primary, cross.classes
    rule = AnswerRule(cross.task, cross.table.contract.target.name, classes=classes)

    def score(estimator: Any, scored: Positions) -> float:
        answers = answer(raw_output(estimator, cross.X[scored], len(classes)), rule)
        truth = np.asarray(classes)[cross.y[scored]] if classes else cross.y[scored]
        return metric_value(metric, pairs_of(truth, answers, classes))

    scores = cross.each(candidate, parameters, score)
    return Trial(
        candidate=candidate,
        parameters=parameters,
        metric=metric,
        score=float(np.mean(scores)),
        folds=tuple(scores),
        seconds=clock() - start,
    )


def _capped(folds: Folds, rows: int, search_rows: int, seed: int) -> Folds:
    """The folds restricted to a sample of `search_rows` rows; all of them where that is 0 or enough."""
    if not 0 < search_rows < rows:
        return folds
    kept = np.zeros(rows, dtype=np.bool_)
    kept[np.random.default_rng(seed).choice(rows, search_rows, replace=False)] = True
    capped = [(fitted[kept[fitted]], scored[kept[scored]]) for fitted, scored in folds]
    smallest = min(min(len(part) for part in fold) for fold in capped)
    if smallest == 0:
        raise NotEnoughDataError(
            f"search on {search_rows:,} of {rows:,} rows (learn.search_rows), a fold", smallest, 1, "raise it"
        )
    return capped
