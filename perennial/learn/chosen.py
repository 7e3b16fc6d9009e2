"""The trial that the search chose, fitted to all training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perennial.learn.clusters import origins_of
from perennial.learn.cross import CrossValidation, Folds, Positions
from perennial.learn.gaps import gap_rows
from perennial.learn.intervals import conformal_interval
from perennial.learn.models import FittedModel, fit, raw_output
from perennial.learn.spread import fit_spread
from perennial.learn.tasks import task_of
from perennial.learn.threshold import out_of_fold_threshold
from perennial.live.answer import Interval, Recent

if TYPE_CHECKING:
    from perennial.config import Learn
    from perennial.evidence import Trial
    from perennial.table import Table

Floats = npt.NDArray[np.float64]

GAP_ROWS = 5000
"""Most rows of a fold that are scored again with values taken out, to learn how wide intervals are there."""


def fit_chosen(
    table: Table,
    folds: Folds,
    trial: Trial,
    learn: Learn,
    levels: Sequence[float],
    seed: int,
    horizon: str = "",
    recent: Recent | None = None,
) -> FittedModel:
    """The fitted model; a number gets prediction intervals of `levels` from out-of-fold residuals, two classes
    the threshold that `learn.threshold` asks for. Intervals hold for every value of the feature `horizon`, and follow
    how the last ones held where `recent` says so.

    Raises:
        NotEnoughDataError: if there are too few rows for an interval of this level.
    """
    model = fit(table, trial.candidate, trial.parameters, learn, seed)
    cross = CrossValidation(table, folds, learn, task_of(table.contract), seed)
    if model.rule.task == "classification":
        if learn.threshold == "half" or len(model.rule.classes) != 2:
            return model
        return model.with_threshold(out_of_fold_threshold(cross, trial.candidate, trial.parameters))
    interval = spread_interval(cross, trial.candidate, trial.parameters, levels, horizon)
    return model.with_interval(replace(interval, recent=recent))


class _Scored(NamedTuple):
    """Rows with the outputs for them of a model that saw none of them; `residuals` are truth - raw."""

    matrix: Floats
    raw: Floats
    residuals: Floats

    def beside(self, *others: _Scored) -> _Scored:
        """These rows and others."""
        return _Scored(*(np.concatenate(parts) for parts in zip(self, *others, strict=True)))


def spread_interval(
    cross: CrossValidation,
    candidate: str,
    parameters: Mapping[str, Any],
    levels: Sequence[float],
    horizon: str = "",
) -> Interval:
    """The interval of a candidate, as wide as rows alike need it to be.

    How hard rows are is learned from residuals of rows as they are and of copies with gaps; how wide an
    interval is for that, from rows as they are, whose hardness is measured by tables of the other folds.

    Raises:
        NotEnoughDataError: if there are too few rows for an interval of this level.
    """
    features = cross.table.contract.features
    origins = origins_of(cross.table)
    alike = 1.0 if origins is None else len(cross.table) / len(np.unique(origins.blocks))

    def score(estimator: Any, scored: Positions) -> tuple[_Scored, _Scored]:
        X, y = cross.X[scored], cross.y[scored]
        rows, copies = gap_rows(X, features, min(1.0, GAP_ROWS / len(X)), cross.seed)
        raw, gapped = (raw_output(estimator, matrix, 0) for matrix in (X, copies))
        return _Scored(X, raw, y - raw), _Scored(copies, gapped, y[rows] - gapped)

    parts = cross.each(candidate, parameters, score)
    rows, copies = (parts[0][i].beside(*(pair[i] for pair in parts[1:])) for i in (0, 1))
    known = rows.beside(copies)
    spread = fit_spread(*known, features, alike)
    hardness = []
    for number, (whole, _) in enumerate(parts):
        others = [one for place, pair in enumerate(parts) if place != number for one in pair]
        part = others[0].beside(*others[1:])
        # Fewer rows are drawn less towards 0, or their tables would tell smaller differences than `spread` does.
        own = fit_spread(*part, features, alike * len(part.raw) / len(known.raw))
        hardness.append(own.of(whole.matrix, whole.raw))
    column = next((i for i, c in enumerate(features) if c.name == horizon), None)
    return conformal_interval(
        rows.raw,
        rows.raw + rows.residuals,
        levels,
        spread=spread,
        hardness=np.concatenate(hardness),
        column=column,
        values=None if column is None else rows.matrix[:, column],
    )
