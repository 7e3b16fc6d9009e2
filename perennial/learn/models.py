"""Fitting a candidate to a table, and the fitted model that answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perennial.errors import InputError, PerennialError
from perennial.learn.candidates import kind_of
from perennial.learn.fitting import fit_arguments, unfitted
from perennial.learn.gaps import with_gaps
from perennial.learn.rows import Rows, moments_of
from perennial.learn.tasks import task_of
from perennial.live.answer import AnswerRule, Answers, Interval, Task, answer
from perennial.live.models import single_threaded
from perennial.opaque import Opaque
from perennial.table import Column, Contract, Table

if TYPE_CHECKING:
    from perennial.config import Learn

Floats = npt.NDArray[np.float64]

SMALL_FIT = 1_000_000
"""Matrix cells below which a fit uses one thread: handing work over costs more than it saves there, and on
a busy machine OpenMP's waiting threads make a fit of 7 s take 90 s. Predictions always use one."""


@dataclass(frozen=True)
class FittedModel(Opaque):
    """A model that answers: what it is, what it was fitted with, and how its output becomes an answer.

    `seconds` is the time of the fit; `contract` is the training table's, with its categories. `skops` is the file
    that the estimator was loaded from, b"" for one that was just fitted.
    """

    candidate: str
    parameters: Mapping[str, Any]
    estimator: Any = field(repr=False)
    contract: Contract = field(repr=False)
    rule: AnswerRule
    seconds: float
    skops: bytes = field(default=b"", repr=False, compare=False)

    def raw(self, X: Floats) -> Floats:
        """The output for a matrix of shape (n_rows, n_features).

        Probabilities of shape (n_rows, n_classes) in the order of `rule.classes`, or numbers on the learned
        scale of shape (n_rows,).
        """
        return raw_output(self.estimator, X, len(self.rule.classes))

    def predict(self, table: Table) -> Answers:
        """The answers for the rows of a table under the same contract."""
        features = {c.name: table.frame[c.name] for c in self.contract.features}
        matrix = self.contract.matrix(features)
        return answer(self.raw(matrix), self.rule, matrix)

    def with_interval(self, interval: Interval) -> FittedModel:
        """The same model, answering with prediction intervals."""
        return replace(self, rule=replace(self.rule, interval=interval))

    def with_threshold(self, threshold: float) -> FittedModel:
        """The same model, answering the second of two classes where its probability is above `threshold`."""
        return replace(self, rule=replace(self.rule, threshold=threshold))


def fit(
    table: Table,
    candidate: str,
    parameters: Mapping[str, Any],
    learn: Learn,
    seed: int,
    clock: Callable[[], float] = time.perf_counter,
) -> FittedModel:
    """A model of the named candidate fitted to all rows of `table`, without prediction intervals.

    Raises:
        UnknownNameError: if there is no such candidate.
        InputError: if the candidate cannot do the table's task, or the target does not fit the learned scale.
        PerennialError: if the learner refuses its parameters or the rows.
    """
    task, target = task_of(table.contract), table.contract.target
    if task == "classification":
        classes = classes_of(table)
        rule = AnswerRule(task, target.name, classes=classes)
    else:
        classes = ()
        rule = AnswerRule(task, target.name, unit=target.unit, scale=learn.target_scale)
    start = clock()
    estimator = fit_estimator(
        candidate,
        task,
        table.contract.features,
        table.X,
        learned_target(table, learn),
        parameters,
        seed,
        learn.threads,
        learn,
        moments_of(table),
    )
    return FittedModel(candidate, dict(parameters), estimator, table.contract, rule, clock() - start)


def classes_of(table: Table) -> tuple[str, ...]:
    """The classes of a table's target, sorted; raises InputError if there are fewer than two."""
    classes = tuple(str(c) for c in np.unique(table.y))
    if len(classes) < 2:
        raise InputError(
            f"expected rows of at least two classes in {table.contract.target.name}, found only "
            f"{', '.join(classes) or 'none'}; collect records of the other classes"
        )
    return classes


def learned_target(table: Table, learn: Learn) -> Floats:
    """What is fitted, shape (n_rows,): the position among the sorted classes, or the number on its scale."""
    if task_of(table.contract) == "classification":
        return np.searchsorted(np.asarray(classes_of(table)), table.y).astype(np.int64)
    y: Floats = table.y
    usable = np.isfinite(y) if learn.target_scale == "identity" else np.isfinite(y) & (y > 0)
    if not usable.all():
        wanted = "finite" if learn.target_scale == "identity" else "positive (learn.target_scale is log)"
        raise InputError(
            f"expected every {table.contract.target.name} to be {wanted}, found {int((~usable).sum()):,} of "
            f"{len(y):,} rows that are not; reject them in the contract"
        )
    return np.log(y) if learn.target_scale == "log" else y


def fit_estimator(
    candidate: str,
    task: Task,
    features: Sequence[Column],
    X: Floats,
    y: Floats,
    parameters: Mapping[str, Any],
    seed: int,
    threads: int,
    learn: Learn,
    moments: Floats | None = None,
) -> Any:
    """The fitted estimator of a candidate, which learns relative to `learn.relative_to`.

    It was also fitted to copies of a share `learn.gaps` of the rows, with values taken out (see `with_gaps`). It
    predicts on one thread: a forest adds up its trees in the order in which threads finish. `moments` puts the
    rows in order (see `moments_of`).
    """
    kind = kind_of(candidate)
    threads = 1 if X.size < SMALL_FIT else threads
    X, source = with_gaps(X, np.arange(len(X)), features, learn.gaps, seed)
    rows = Rows(X, y[source], None if moments is None else moments[source], source, seed)
    try:
        estimator = unfitted(candidate, task, features, parameters, seed, threads, learn)
        with native_threads().limit(limits=threads):
            estimator.fit(rows.X, rows.y, **fit_arguments(candidate, features, parameters, rows))
    except PerennialError:
        raise
    except kind.refusals() as error:
        found = " ".join(str(error).split()).removesuffix(" .")
        raise PerennialError(
            f"candidate {candidate} with {dict(parameters)}: expected a fit, found: {found}; mend its "
            "parameters or leave it out of learn.candidates"
        ) from error
    single_threaded(estimator)
    return estimator


def raw_output(estimator: Any, X: Floats, n_classes: int) -> Floats:
    """Probabilities of shape (n_rows, n_classes), or for no classes numbers of shape (n_rows,).

    A class that an estimator never saw gets the probability 0.
    """
    if len(X) == 0:
        return np.empty((0, n_classes) if n_classes else 0)
    with native_threads().limit(limits=1):
        if not n_classes:
            return np.asarray(estimator.predict(X), dtype=np.float64).reshape(-1)
        raw = np.zeros((len(X), n_classes))
        raw[:, np.asarray(estimator.classes_, dtype=np.int64)] = estimator.predict_proba(X)
        return raw


@lru_cache(maxsize=1)
def native_threads() -> Any:
    """What sets the threads of BLAS and OpenMP; finding their libraries takes milliseconds, so once."""
    import sklearn.ensemble  # noqa: F401
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()
