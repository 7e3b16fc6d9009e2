"""How good the chosen candidate is when it is fitted to fewer rows: whether more of them would help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perennial.errors import PerennialError
from perennial.learn.clusters import origins_of
from perennial.learn.metrics import measure
from perennial.learn.models import FittedModel, fit
from perennial.learn.tasks import RULES
from perennial.live.answer import Answers
from perennial.table import Table

if TYPE_CHECKING:
    from perennial.config import Learn

PARTS = (0.125, 0.25, 0.5)
"""Shares of the training rows. Together the fits cost less than one fit to all rows."""
FEWEST_ROWS = 30


def learning_curve(
    fitted: FittedModel, train: Table, holdout: Table, learn: Learn, seed: int, **how: Any
) -> list[dict[str, Any]]:
    """The error on the hold-out rows by the number of training rows, fewest first; the last line is `fitted` itself.

    Fewer rows of a series are its latest origins; of others they are drawn, each part out of the next larger one.
    A line holds `rows`, `share` of all, `metric` (what the search minimises, here in the target's unit), `value`,
    `low` and `high`. Where a part cannot be learned from, these three are None and `left_out` says why.

    Args:
        fitted: the model fitted to all of `train`.
        train: the training rows.
        holdout: unseen rows.
        learn: what the candidate was fitted with.
        seed: draws rows, resamples and what learners draw.
        how: what else goes to `measure`.
    """
    lines, how = [], {**how, "seed": seed, "classes": fitted.rule.classes}
    for share, rows in _parts(train, seed):
        part, left_out, answers = train.rows(rows), "", None
        if missing := sorted(set(fitted.rule.classes) - {str(c) for c in part.y}):
            left_out = f"no row is {' or '.join(missing)}"
        else:
            try:
                answers = fit(part, fitted.candidate, fitted.parameters, learn, seed).predict(holdout)
            except PerennialError as error:
                left_out = str(error)
        lines.append(_line(fitted, holdout, len(part), share, answers, left_out, how))
    return [*lines, _line(fitted, holdout, len(train), 1.0, fitted.predict(holdout), "", how)]


def _parts(train: Table, seed: int) -> list[tuple[float, npt.NDArray[np.int64]]]:
    """The shares with the positions of their rows, rising."""
    origins = origins_of(train)
    if origins is None:
        order = np.random.default_rng(seed).permutation(len(train))
        drawn = [(share, np.sort(order[: round(share * len(train))])) for share in PARTS]
    else:
        newest = [(share, origins.count - round(share * origins.count)) for share in PARTS]
        drawn = [(share, np.flatnonzero(origins.place >= first)) for share, first in newest]
    return [(share, rows) for share, rows in drawn if len(rows) >= FEWEST_ROWS]


def _line(
    fitted: FittedModel,
    holdout: Table,
    rows: int,
    share: float,
    answers: Answers | None,
    left_out: str,
    how: dict[str, Any],
) -> dict[str, Any]:
    name = RULES[fitted.rule.task].primary
    line: dict[str, Any] = {"rows": rows, "share": share, "metric": name, "left_out": left_out}
    if answers is None:
        return line | {"value": None, "low": None, "high": None}
    (metric,) = measure(holdout.y, answers, (name,), **how)
    return line | {"value": metric.value, "low": metric.low, "high": metric.high}
