"""One fit of a search: a candidate with its parameters on one fold, scored; plain functions for any worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.errors import MissingLayerError
from perennial.learn.candidates import is_whole, kind_of
from perennial.learn.cross import Positions, Problem
from perennial.learn.metrics import metric_value
from perennial.learn.models import raw_output
from perennial.learn.pairs import pairs_of
from perennial.learn.tasks import RULES
from perennial.live.answer import AnswerRule, answer

Floats = npt.NDArray[np.float64]

FEWEST_TREES = 10
"""Trees that are left at least where a search tries fewer."""


@dataclass(frozen=True)
class Unit:
    """A candidate with its parameters, fitted to a share of the rows of one fold."""

    candidate: str
    parameters: Mapping[str, Any]
    fold: int
    share: float = 1.0


def score_unit(problem: Problem, unit: Unit) -> float | MissingLayerError:
    """The task's primary metric on the fold's scored rows; the error where the candidate's package is missing.

    With a share below 1 the estimator is fitted to that share of the fold's rows (see `places`), with fewer trees
    where it has trees; one that learns from the order of the rows is fitted to all. It is scored on a share of
    the rows that lies half way to 1 on the log scale, as scoring is cheaper than fitting.

    Raises:
        PerennialError: if the learner refuses its parameters or rows.
    """
    fitted, scored = problem.folds[unit.fold]
    if unit.share < 1.0:
        place = places(problem.seed, problem.y if problem.classes else None, problem.moments, len(problem.y))
        scored = scored[place[scored] < np.sqrt(unit.share)]
        if not is_whole(unit.candidate, unit.parameters):
            fitted = fitted[place[fitted] < unit.share]
    try:
        estimator = problem.fitted(unit.candidate, _thinned(unit), fitted)
    except MissingLayerError as error:
        return error
    return _score(problem, estimator, scored)


def _score(problem: Problem, estimator: Any, scored: Positions) -> float:
    classes = problem.classes
    rule = AnswerRule(problem.task, problem.target, classes=classes)
    answers = answer(raw_output(estimator, problem.X[scored], len(classes)), rule)
    truth = np.asarray(classes)[problem.y[scored]] if classes else problem.y[scored]
    return metric_value(RULES[problem.task].primary, pairs_of(truth, answers, classes))


def _thinned(unit: Unit) -> dict[str, Any]:
    """The parameters with fewer trees: as many times fewer as the square root of the rows.

    Fewer trees of a forest are as good but for noise. A boosting that keeps all its trees on few rows overfits
    there, so that it is the weak learners that look good; with fewer trees the order of draws on a sixteenth of
    the rows is nearer to that on all.
    """
    name = kind_of(unit.candidate).trees
    if unit.share == 1.0 or not name:
        return dict(unit.parameters)
    trees = {**kind_of(unit.candidate).defaults, **unit.parameters}[name]
    return {**unit.parameters, name: min(trees, max(FEWEST_TREES, round(trees * np.sqrt(unit.share))))}


def places(seed: int, classes: npt.NDArray[Any] | None, moments: Floats | None, rows: int) -> Floats:
    """A number in (0, 1) per row, shape (n_rows,): the rows below a share are that share of all, drawn at random.

    They are a like share of every class; where rows are a series, those of one origin are drawn together.
    """
    rng = np.random.default_rng([seed, rows])
    if moments is not None:
        _, origin, counts = np.unique(moments[:, 0], return_inverse=True, return_counts=True)
        order = rng.permutation(len(counts))
        middles = np.empty(len(counts))
        middles[order] = (np.cumsum(counts[order]) - counts[order] / 2) / rows
        return np.asarray(middles[origin], dtype=np.float64)
    place = np.empty(rows)
    groups = np.zeros(rows, dtype=np.int64) if classes is None else classes
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        place[rng.permutation(own)] = (np.arange(len(own)) + 0.5) / len(own)
    return place
