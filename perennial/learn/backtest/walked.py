"""The answers of a backtest's candidates and baselines to all rows that it predicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perennial.config_stack import Compute
from perennial.errors import MissingLayerError
from perennial.learn.backtest.plan import Plan
from perennial.learn.backtest.refits import Standing, refit_outputs
from perennial.learn.baselines import baselines_for, fit_baseline
from perennial.learn.chosen import spread_interval
from perennial.learn.compare import Contender
from perennial.learn.cross import CrossValidation
from perennial.learn.evaluate import Answered
from perennial.learn.intervals import following
from perennial.learn.models import classes_of
from perennial.learn.search.runner import Draw
from perennial.learn.tasks import task_of
from perennial.learn.threshold import out_of_fold_threshold
from perennial.live.answer import AnswerRule, Answers, answer
from perennial.table import Table

Floats = npt.NDArray[np.float64]


class Walked(NamedTuple):
    """The answers of one candidate to all predicted rows, in their order, and the seconds of its fits."""

    model: Answered
    parameters: dict[str, Any]
    seconds: float


def backtest(
    plan: Plan,
    compute: Compute,
    kept: Path | None = None,
    progress: Callable[[Standing], None] | None = None,
) -> tuple[list[Walked], list[str]]:
    """What every candidate answers, and a sentence per candidate whose package is missing (see `refit_outputs`).

    Raises:
        MissingLayerError: where no candidate can run.
        NotEnoughDataError: where rows are too few for an interval.
        StackError: where workers are gone.
        PerennialError: if a learner refuses its parameters or rows.
    """
    draws = plan.draws
    names, walked, skipped = _names(draws), [], []
    outputs = refit_outputs(plan, compute, kept, progress)
    for name, one, found in zip(names, draws, outputs, strict=True):
        if isinstance(found, MissingLayerError):
            skipped.append(f"{name} was skipped: {found}")
        else:
            model = Answered(name, *_answers(plan, one, found.raw))
            walked.append(Walked(model, dict(one.parameters), found.seconds))
    if not walked:
        raise next(found for found in outputs if isinstance(found, MissingLayerError))
    return walked, skipped


def naive_contenders(plan: Plan) -> list[Contender]:
    """Every baseline's answers to all predicted rows; those that are fitted learn anew where an epoch begins."""
    found = []
    for name in baselines_for(plan.table.contract):
        parts = [fit_baseline(name, train).contend(rows) for _, train, rows in plan.starts()]
        found.append(Contender(name, _joined([part.answers for part in parts]), parts[0].classes))
    return found


def _answers(plan: Plan, one: Draw, raw: Sequence[Floats]) -> tuple[Answers, AnswerRule]:
    """The answers to all predicted rows, and the rule of the last of them."""
    parts = []
    for epoch, train, rows in plan.starts():
        rule = _rule(plan, one, train)
        own = [part for part, place in zip(raw, plan.epochs, strict=True) if place == epoch]
        parts.append(answer(np.concatenate(own), rule, rows.X))
    rows = plan.table.rows(plan.predicted)
    return following(_joined(parts), rule, rows), rule


def _rule(plan: Plan, one: Draw, train: Table) -> AnswerRule:
    """How raw outputs become answers, from rows that had come when an epoch began."""
    contract, learn = plan.table.contract, plan.learn
    task, target = task_of(contract), contract.target
    cross = CrossValidation(train, plan.folds_of(train, one), learn, task, plan.seed)
    if task == "regression":
        rule = AnswerRule(task, target.name, unit=target.unit, scale=learn.target_scale)
        interval = spread_interval(cross, *one, plan.levels, plan.horizon)
        return replace(rule, interval=replace(interval, recent=plan.recent))
    rule = AnswerRule(task, target.name, classes=classes_of(plan.table))
    if learn.threshold == "half" or len(rule.classes) != 2:
        return rule
    return replace(rule, threshold=out_of_fold_threshold(cross, *one))


def _joined(parts: Sequence[Answers]) -> Answers:
    """The answers one behind the other."""

    def of(values: Sequence[Any]) -> Any:
        return None if values[0] is None else np.concatenate(values)

    return Answers(
        of([part.prediction for part in parts]),
        of([part.low for part in parts]),
        of([part.high for part in parts]),
        of([part.probabilities for part in parts]),
        tuple(
            (of([low for low, _ in level]), of([high for _, high in level]))
            for level in zip(*(part.further for part in parts), strict=True)
        ),
    )


def _names(draws: Sequence[Draw]) -> list[str]:
    """The candidates' names, with a number behind one that walks with several sets of parameters."""
    counts = Counter(one.candidate for one in draws)
    seen: Counter[str] = Counter()
    names = []
    for candidate, _ in draws:
        seen[candidate] += 1
        names.append(candidate if counts[candidate] == 1 else f"{candidate} {seen[candidate]}")
    return names
