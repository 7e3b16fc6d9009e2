"""Cross-validation: a candidate fitted on every fold, several folds at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from perennial.learn.models import classes_of, fit_estimator, learned_target, native_threads
from perennial.learn.rows import moments_of
from perennial.live.answer import Task
from perennial.table import Column, Table

if TYPE_CHECKING:
    from perennial.config import Learn

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
Folds = Sequence[tuple[Positions, Positions]]
"""Pairs of positions within a table: rows to fit, rows to score."""


@dataclass(frozen=True)
class Problem:
    """What a fit needs to know, in plain values that travel to worker processes.

    Attributes:
        X: the feature matrix, shape (n_rows, n_features).
        y: what is fitted, shape (n_rows,) (see `learned_target`).
        folds: positions of the rows to fit and to score.
        features: the contract's feature columns.
        target: the name of the target.
        classes: the classes in the order of probabilities; none for numbers.
        task: what the target asks for.
        learn: the rules of learning.
        seed: what learners draw from.
        moments: what puts rows in order (see `moments_of`); None where they are no series.
    """

    X: Floats
    y: npt.NDArray[Any]
    folds: Folds
    features: tuple[Column, ...]
    target: str
    classes: tuple[str, ...]
    task: Task
    learn: Learn
    seed: int
    moments: Floats | None = None

    def fitted(self, candidate: str, parameters: Mapping[str, Any], rows: Positions) -> Any:
        """The estimator of a candidate, fitted on one thread to the rows at these positions."""
        return fit_estimator(
            candidate,
            self.task,
            self.features,
            self.X[rows],
            self.y[rows],
            parameters,
            self.seed,
            1,
            self.learn,
            None if self.moments is None else self.moments[rows],
        )


@dataclass(frozen=True)
class CrossValidation:
    """The rows and folds that candidates are fitted and scored on."""

    table: Table
    folds: Folds
    learn: Learn
    task: Task
    seed: int

    @cached_property
    def problem(self) -> Problem:
        """The same without the table."""
        return Problem(
            X=self.table.X,
            y=learned_target(self.table, self.learn),
            folds=tuple(self.folds),
            features=self.table.contract.features,
            target=self.table.contract.target.name,
            classes=classes_of(self.table) if self.task == "classification" else (),
            task=self.task,
            learn=self.learn,
            seed=self.seed,
            moments=moments_of(self.table),
        )

    @property
    def X(self) -> Floats:  # noqa: N802
        """The feature matrix of the table, shape (n_rows, n_features)."""
        return self.problem.X

    @property
    def y(self) -> npt.NDArray[Any]:
        """What is fitted, shape (n_rows,) (see `learned_target`)."""
        return self.problem.y

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of probabilities; none for numbers."""
        return self.problem.classes

    def each(
        self, candidate: str, parameters: Mapping[str, Any], use: Callable[[Any, Positions], T]
    ) -> list[T]:
        """What `use(estimator, scored)` returns per fold, in the order of the folds.

        Up to `learn.threads` folds are fitted at once, each on one thread: learners let go of the interpreter
        while they work, and a fit on one thread is neither slowed down by others nor changed by them.
        """
        problem = self.problem

        def one(fold: tuple[Positions, Positions]) -> T:
            fitted_rows, scored = fold
            return use(problem.fitted(candidate, parameters, fitted_rows), scored)

        at_once = min(self.learn.threads, len(self.folds))
        # The limit on native threads belongs to the process: it is set before workers start and lifted after.
        with native_threads().limit(limits=1), ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(one, self.folds))
