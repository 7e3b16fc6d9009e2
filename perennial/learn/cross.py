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
from perennial.live.answer import Task
from perennial.table import Table

if TYPE_CHECKING:
    from perennial.config import Learn

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
Folds = Sequence[tuple[Positions, Positions]]
"""Pairs of positions within a table: rows to fit, rows to score."""


@dataclass(frozen=True)
class CrossValidation:
    """The rows and folds that candidates are fitted and scored on."""

    table: Table
    folds: Folds
    learn: Learn
    task: Task
    seed: int

    @cached_property
    def X(self) -> Floats:  # noqa: N802
        """The feature matrix of the table, shape (n_rows, n_features)."""
        return self.table.X

    @cached_property
    def y(self) -> npt.NDArray[Any]:
        """What is fitted, shape (n_rows,) (see `learned_target`)."""
        return learned_target(self.table, self.learn)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of probabilities; none for numbers."""
        return classes_of(self.table) if self.task == "classification" else ()

    def each(
        self, candidate: str, parameters: Mapping[str, Any], use: Callable[[Any, Positions], T]
    ) -> list[T]:
        """What `use(estimator, scored)` returns per fold, in the order of the folds.

        Up to `learn.threads` folds are fitted at once, each on one thread: learners let go of the interpreter
        while they work, and a fit on one thread is neither slowed down by others nor changed by them.
        """

        def one(fold: tuple[Positions, Positions]) -> T:
            fitted_rows, scored = fold
            estimator = fit_estimator(
                candidate,
                self.task,
                self.table.contract.features,
                self.X[fitted_rows],
                self.y[fitted_rows],
                parameters,
                self.seed,
                1,
                self.learn.gaps,
            )
            return use(estimator, scored)

        self.X, self.y, self.classes  # noqa: B018 - made once, before threads ask for them
        at_once = min(self.learn.threads, len(self.folds))
        # The limit on native threads belongs to the process: it is set before workers start and lifted after.
        with native_threads().limit(limits=1), ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(one, self.folds))
