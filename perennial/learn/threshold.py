"""Above which probability the second of two classes is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perennial.learn.models import raw_output

if TYPE_CHECKING:
    from perennial.learn.cross import CrossValidation, Positions

Floats = npt.NDArray[np.float64]

STEPS = 1000
"""Thresholds are multiples of 1 / STEPS: finer ones follow the noise, and nobody reads them."""


def out_of_fold_threshold(cross: CrossValidation, candidate: str, parameters: Mapping[str, Any]) -> float:
    """The threshold with the greatest F1 over the folds of the training rows, each answered by a model that did
    not see it.

    Raises:
        PerennialError: if the learner refuses a fold.
    """

    def score(estimator: Any, scored: Positions) -> tuple[Floats, npt.NDArray[np.bool_]]:
        return raw_output(estimator, cross.X[scored], 2)[:, 1], cross.y[scored] == 1

    parts = cross.each(candidate, parameters, score)
    probabilities, happened = (np.concatenate(each) for each in zip(*parts, strict=True))
    return best_threshold(probabilities, happened)


def best_threshold(probabilities: Floats, happened: npt.NDArray[np.bool_]) -> float:
    """The threshold with the greatest F1 of the answer `probability > threshold`; the least of several.

    F1 is 2 hits / (claimed + real) (van Rijsbergen 1979). Its best threshold lies at half of the greatest F1 where
    probabilities are calibrated (Lipton, Elkan and Naryanaswamy 2014, theorem 1), far below 0.5 for rare events.

    >>> best_threshold(np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, False, True, True]))
    0.2
    """
    thresholds = np.arange(1, STEPS) / STEPS
    order = np.argsort(probabilities, kind="stable")
    below = np.searchsorted(probabilities[order], thresholds, side="right")
    missed = np.concatenate([[0], np.cumsum(happened[order])])[below]
    real = int(happened.sum())
    claimed = len(probabilities) - below
    f1 = 2 * (real - missed) / np.maximum(claimed + real, 1)
    return float(thresholds[int(np.argmax(f1))])
