"""Truth beside answers, and what they say row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.errors import PerennialError
from perennial.live.answer import Answers

Floats = npt.NDArray[np.float64]
TINY = float(np.finfo(np.float64).eps)
CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Pairs:
    """Truth beside answers: numbers, or for classes their position in `labels`, shape (n_rows,) each.

    `labels` holds the model's classes in order, then those of the truth that it does not know (their
    probability is 0); `probabilities` has the shape (n_rows, n_labels). `base` holds each label's share in the
    training rows, shape (n_labels,), where that is known.
    """

    truth: Floats
    prediction: Floats
    labels: tuple[str, ...] = ()
    probabilities: Floats | None = None
    base: Floats | None = None


def pairs_of(
    truth: npt.NDArray[Any], answers: Answers, classes: Sequence[str] = (), base: Sequence[float] = ()
) -> Pairs:
    """Truth and answers made comparable.

    Raises:
        PerennialError: if a number is missing or infinite, or if the lengths differ.
    """
    if len(truth) != len(answers.prediction) or len(truth) == 0:
        raise PerennialError(
            f"expected an answer for each of {len(truth):,} true values and at least one, found "
            f"{len(answers.prediction):,}; predict the same rows"
        )
    if answers.probabilities is None:
        return Pairs(_finite(truth, "true value"), _finite(answers.prediction, "prediction"))
    if answers.probabilities.shape[1] != len(classes):
        raise PerennialError(
            f"expected a probability for each of the {len(classes)} classes, found "
            f"{answers.probabilities.shape[1]} columns; pass the rule's classes"
        )
    found = {str(v) for v in truth}
    labels = (*classes, *sorted(found - set(classes)))
    code = {label: float(i) for i, label in enumerate(labels)}
    known = _finite(answers.probabilities, "probability")
    return Pairs(
        truth=np.array([code[str(v)] for v in truth]),
        prediction=np.array([code[str(v)] for v in answers.prediction]),
        labels=labels,
        probabilities=np.pad(known, ((0, 0), (0, len(labels) - len(classes)))),
        base=np.pad(np.asarray(base, dtype=np.float64), (0, len(labels) - len(classes))) if base else None,
    )


def row_log_loss(pairs: Pairs) -> Floats:
    """Minus the log of the true class's probability, shape (n_rows,), at most -log of the float epsilon."""
    of_truth = known(pairs)[np.arange(len(pairs.truth)), pairs.truth.astype(np.int64)]
    return -np.log(np.clip(of_truth, TINY, 1.0 - TINY))


def known(pairs: Pairs) -> Floats:
    """The probabilities, shape (n_rows, n_labels); raises PerennialError where the answers are numbers."""
    if pairs.probabilities is None:
        raise PerennialError("expected class probabilities, found numbers; use the metrics of a regression")
    return pairs.probabilities


def percentage_errors(pairs: Pairs) -> Floats:
    """Absolute errors in percent of the truth, shape (n_rows,); NaN where the truth is 0."""
    size = np.abs(pairs.truth)
    return np.asarray(100.0 * np.abs(pairs.prediction - pairs.truth) / np.where(size > 0, size, np.nan))


def claims(pairs: Pairs) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """A probability per row, and whether it came true: of the last of two classes, else of the predicted one."""
    shares = known(pairs)
    if len(pairs.labels) == 2:
        return shares[:, 1], pairs.truth == 1
    return shares.max(axis=1), pairs.truth == pairs.prediction


def calibration_bins(claimed: Floats) -> npt.NDArray[np.int64]:
    """The bin of every probability among `CALIBRATION_BINS` of equal width."""
    return np.clip((claimed * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)


def _finite(values: npt.NDArray[Any], what: str) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    broken = int((~np.isfinite(numbers)).sum())
    if broken:
        raise PerennialError(
            f"expected every {what} to be a finite number, found {broken:,} of {numbers.size:,} that are "
            "not; mend the rows or the model"
        )
    return numbers
