"""A search guided by Optuna: draws follow what did well so far, and what does badly is dropped after a fold.

The sampler is TPE (Bergstra, Bardenet, Bengio and Kegl 2011). Every candidate is a study of its own, seeded.
Draws come in groups of `at_once`, and a group's trials go through the folds together: what is drawn and what
is dropped depends on scores alone, never on which fit was done first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from perennial.learn.checkpoint import Saved
from perennial.learn.search.draws import Once, fixed_of, open_space
from perennial.learn.search.runner import Draw, Job, Runner, trial_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial as Asked

    from perennial.config import Candidate, Learn
    from perennial.config_search import OptunaSearch
    from perennial.evidence import Trial

STARTUP = 4
"""Random draws of a candidate before TPE guides it, and finished trials before the median rule drops any."""


class Guided(NamedTuple):
    """The trials that went through all folds, and those that were dropped."""

    trials: list[Trial]
    early: list[Trial]


def guided(
    fixed: Sequence[Draw], runner: Runner, learn: Learn, rules: OptunaSearch, once: Once, seed: int
) -> Guided:
    """Every candidate with its fixed parameters on all folds; then groups of draws, the candidates in turns."""
    runner.planned = len(runner.folds) * (len(fixed) + sum(c.trials for c in learn.candidates))
    trials = [t for t in runner.run([Job(one, runner.folds) for one in fixed]) if t is not None]
    early: list[Trial] = []
    studies = [
        _study(candidate, i, rules, len(runner.folds), seed) for i, candidate in enumerate(learn.candidates)
    ]
    for first in range(0, max(c.trials for c in learn.candidates), rules.at_once):
        for candidate, study in zip(learn.candidates, studies, strict=True):
            count = min(rules.at_once, candidate.trials - first)
            if count <= 0 or not open_space(candidate) or candidate.name in runner.missing:
                continue
            finished, dropped = _group(candidate, study, count, runner, once)
            trials += finished
            early += dropped
            if runner.exhausted:
                return Guided(trials, early)
    return Guided(trials, early)


class _Going:
    """A draw on its way through the folds."""

    def __init__(self, asked: Asked, draw: Draw) -> None:
        self.asked, self.draw = asked, draw
        self.scores: list[Saved] = []

    @property
    def mean(self) -> float:
        return sum(score for score, _ in self.scores) / len(self.scores)


def _group(
    candidate: Candidate, study: Study, count: int, runner: Runner, once: Once
) -> tuple[list[Trial], list[Trial]]:
    """Some draws that go through the folds together: those that reached the end, and those dropped on the way."""
    from optuna.trial import TrialState

    drawn = [_ask(candidate, study) for _ in range(count)]
    going, dropped = drawn, []
    for fold in runner.folds:
        done = runner.run([Job(one.draw, [fold], opens=fold == 0) for one in going])
        for one, trial in zip(going, done, strict=True):
            if trial is None:
                study.tell(one.asked, state=TrialState.FAIL)
                continue
            one.scores.append(Saved(trial.score, trial.seconds))
            one.asked.report(one.mean, fold)
        going = [one for one, trial in zip(going, done, strict=True) if trial is not None]
        if fold == runner.folds[-1]:
            break
        for one in [one for one in going if one.asked.should_prune()]:
            study.tell(one.asked, state=TrialState.PRUNED)
            going.remove(one)
            dropped.append(one)
    for one in going:
        study.tell(one.asked, one.mean)
    # A draw that was drawn before tells its study what it scored then, and is no trial of its own.
    new = {id(one) for one in drawn if once.is_new(one.draw)}
    finished, early = (
        [trial_of(runner.problem, one.draw, one.scores) for one in part if id(one) in new]
        for part in (going, dropped)
    )
    return finished, early


def _study(candidate: Candidate, number: int, rules: OptunaSearch, folds: int, seed: int) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = (
        optuna.pruners.HyperbandPruner(min_resource=1, max_resource=folds, reduction_factor=2)
        if rules.pruner == "hyperband"
        else optuna.pruners.MedianPruner(n_startup_trials=STARTUP)
    )
    sampler = optuna.samplers.TPESampler(
        n_startup_trials=STARTUP,
        constant_liar=True,
        seed=(seed + crc32(f"{candidate.name} {number}".encode())) % 2**32,
    )
    # Hyperband tells its brackets apart by the study's name.
    return optuna.create_study(study_name=f"{candidate.name} {number}", sampler=sampler, pruner=pruner)


def _ask(candidate: Candidate, study: Study) -> _Going:
    space = open_space(candidate)
    asked = study.ask({name: space[name].optuna() for name in sorted(space)})
    chosen: dict[str, Any] = {name: space[name].rounded(value) for name, value in asked.params.items()}
    return _Going(asked, Draw(candidate.name, {**fixed_of(candidate), **chosen}))
