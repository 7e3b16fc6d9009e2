"""Runs the fits that a search asks for: on workers, within a time budget, each of them once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from perennial.errors import MissingLayerError
from perennial.evidence import Trial
from perennial.learn.checkpoint import Checkpoint, Saved
from perennial.learn.cross import Problem
from perennial.learn.search.units import Unit, score_unit
from perennial.learn.tasks import RULES
from perennial.learn.workers import Workers


class Draw(NamedTuple):
    """A candidate with one set of parameters."""

    candidate: str
    parameters: Mapping[str, Any]


class Job(NamedTuple):
    """A draw on some folds; `opens` tells whether the time budget may leave it out."""

    draw: Draw
    folds: Sequence[int]
    share: float = 1.0
    opens: bool = True


@dataclass(frozen=True)
class Standing:
    """How far a search has come: fits done and planned, the best draw so far, and what runs now.

    `best` is the best of those that saw most rows; None until there is one.
    """

    done: int
    planned: int
    best: Trial | None
    running: tuple[Unit, ...]


@dataclass
class Runner:
    """What a search runs its jobs with; it notes which candidates lack a package, and a budget that ran out."""

    problem: Problem
    workers: Workers
    saved: Checkpoint
    clock: Callable[[], float]
    budget_s: float
    progress: Callable[[Standing], None] | None = None
    missing: dict[str, MissingLayerError] = field(default_factory=dict)
    exhausted: bool = False
    planned: int = 0

    def __post_init__(self) -> None:
        self._start = self.clock() - self.saved.elapsed
        self._begun: set[str] = set()
        self._done = 0
        self._best: Trial | None = None
        self._running: dict[tuple[int, int], Unit] = {}

    @property
    def folds(self) -> tuple[int, ...]:
        """The numbers of all folds."""
        return tuple(range(len(self.problem.folds)))

    def run(self, jobs: Sequence[Job]) -> list[Trial | None]:
        """A trial per job; None where its candidate lacks a package, or the budget ran out before it began.

        No job that `opens` begins after the budget, except the very first of a search. What a killed search
        had finished is not fitted again, and counts with the time that it took then.
        """
        found: list[dict[int, Saved]] = [{} for _ in jobs]
        asked: dict[tuple[int, int], float] = {}
        for (number, fold), score in self.workers.as_done(self._score, self._units(jobs, found, asked)):
            unit = self._running.pop((number, fold))
            if isinstance(score, MissingLayerError):
                self.missing.setdefault(unit.candidate, score)
                continue
            now = self.clock()
            found[number][fold] = Saved(score, now - asked[number, fold])
            key = (unit.candidate, dict(unit.parameters), fold, unit.share)
            self.saved.put(*key, saved=found[number][fold], elapsed=now - self._start)
            self._note(jobs[number], found[number])
        return [self._trial(job, scores) for job, scores in zip(jobs, found, strict=True)]

    @property
    def _score(self) -> Callable[[Problem, Unit], float | MissingLayerError]:
        return score_unit

    def _units(
        self,
        jobs: Sequence[Job],
        found: Sequence[dict[int, Saved]],
        asked: dict[tuple[int, int], float],
    ) -> Iterator[tuple[tuple[int, int], Unit]]:
        """What is left to fit, one by one as workers ask; what was finished before goes straight to `found`."""
        for number, (draw, folds, share, opens) in enumerate(jobs):
            if draw.candidate in self.missing:
                continue
            for fold in folds:
                known = self.saved.get(draw.candidate, dict(draw.parameters), fold, share)
                if known is not None:
                    found[number][fold] = known
            begun = self._begun - self.missing.keys()
            if opens and not found[number] and begun and self._is_over():
                self.exhausted = True
                return
            self._begun.add(draw.candidate)
            for _ in found[number]:
                self._note(jobs[number], found[number])
            for fold in folds:
                if fold not in found[number] and draw.candidate not in self.missing:
                    unit = Unit(draw.candidate, draw.parameters, fold, share)
                    self._running[number, fold] = unit
                    self._tell()
                    asked[number, fold] = self.clock()
                    yield (number, fold), unit

    def _is_over(self) -> bool:
        return self.clock() - self._start >= self.budget_s

    def _trial(self, job: Job, scores: Mapping[int, Saved]) -> Trial | None:
        if len(scores) < len(job.folds):
            return None
        return trial_of(self.problem, job.draw, [scores[fold] for fold in job.folds], job.share)

    def _note(self, job: Job, scores: Mapping[int, Saved]) -> None:
        """Counts a fit as done, and tells how the search stands."""
        self._done += 1
        trial = self._trial(job, scores)
        best = self._best
        if trial is not None and (best is None or (-trial.share, trial.score) < (-best.share, best.score)):
            self._best = trial
        self._tell()

    def _tell(self) -> None:
        if self.progress is not None:
            planned = max(self.planned, self._done + len(self._running))
            self.progress(Standing(self._done, planned, self._best, tuple(self._running.values())))


def trial_of(problem: Problem, draw: Draw, scores: Sequence[Saved], share: float = 1.0) -> Trial:
    """The trial of a draw with these scores, a fold each."""
    folds = tuple(score for score, _ in scores)
    return Trial(
        candidate=draw.candidate,
        parameters=dict(draw.parameters),
        metric=RULES[problem.task].primary,
        score=float(np.mean(folds)),
        folds=folds,
        seconds=sum(seconds for _, seconds in scores),
        share=share,
    )
