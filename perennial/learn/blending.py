"""How a blend is put together: its members, and the inner folds on which their weights are learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.evidence import Trial
from perennial.learn.rows import Rows
from perennial.table import Column

Positions = npt.NDArray[np.int64]

BLEND, BEST = "blend", "best"
FEWEST_MEMBERS, BEST_COUNT = 2, 3
INNER_FOLDS = 3
FIRST = 0.5
"""Share of the moments of a series before the first inner block that is weighed."""


def blend(features: Sequence[Column], parameters: Mapping[str, Any], seed: int, threads: int) -> Any:
    """A blend of regressions; `members` are pairs of a name and an estimator."""
    from perennial.live.estimators.blend import Blend

    return Blend(parameters["members"], parameters["weights"])


def blend_of_classes(
    features: Sequence[Column], parameters: Mapping[str, Any], seed: int, threads: int
) -> Any:
    """A blend of probabilities; `members` are pairs of a name and an estimator."""
    from perennial.live.estimators.blend import BlendOfClasses

    return BlendOfClasses(parameters["members"], parameters["weights"])


def blend_fit_arguments(
    features: Sequence[Column], parameters: Mapping[str, Any], rows: Rows
) -> dict[str, Any]:
    """The inner folds of a blend; none where its members count alike anyway."""
    return {"folds": [] if parameters.get("weights") == "equal" else inner_folds(rows)}


def inner_folds(rows: Rows) -> list[tuple[Positions, Positions]]:
    """Positions of rows to fit members to, and of rows to weigh them on.

    Rows of a series walk forward: three blocks of successive moments in its later half, each after a fit to the
    rows whose truth had come about by then. Other rows are drawn by lot, and rows that are alike, such as copies
    with values taken out, stay together. Only rows that are no such copies are weighed on.
    """
    is_original = rows.source == np.arange(len(rows.source))
    if rows.moments is None:
        lot = _lot(rows)
        return [
            (np.flatnonzero(lot != fold), np.flatnonzero((lot == fold) & is_original))
            for fold in range(INNER_FOLDS)
        ]
    origin, target = rows.moments.T
    moments = np.unique(origin)
    if len(moments) < 2 * INNER_FOLDS:
        return []
    starts = moments[np.linspace(round(FIRST * len(moments)), len(moments), INNER_FOLDS + 1).astype(int)[:-1]]
    found = []
    for start, end in pairwise([*starts, np.inf]):
        seen = np.flatnonzero((target <= start) & (origin < start))
        unseen = np.flatnonzero((origin >= start) & (origin < end) & is_original)
        if len(seen):
            found.append((seen, unseen))
    return found


def _lot(rows: Rows) -> Positions:
    """The inner fold of every row, shape (n_rows,); that of its source for a copy."""
    content = np.ascontiguousarray(np.column_stack([rows.X, rows.y])[rows.source])
    words = content.view(np.dtype((np.void, content.itemsize * content.shape[1]))).reshape(-1)
    _, alike = np.unique(words, return_inverse=True)
    groups = int(alike.max()) + 1
    order = np.random.default_rng([rows.seed, groups]).permutation(groups)
    drawn: Positions = (order % INNER_FOLDS)[alike]
    return drawn


def is_open(candidate: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a candidate is a blend whose members are the best trials, so that it waits for these."""
    return candidate == BLEND and parameters.get("members") == BEST


def best_members(trials: Sequence[Trial], count: int) -> list[dict[str, Any]]:
    """The members of a blend of the best trials, best first: one of each candidate, then the next best."""
    ranked = sorted((t for t in trials if t.candidate != BLEND), key=lambda trial: trial.score)
    firsts = {trial.candidate: trial for trial in reversed(ranked)}
    once = sorted(firsts.values(), key=lambda trial: trial.score)
    rest = [trial for trial in ranked if trial is not firsts[trial.candidate]]
    return [{"name": t.candidate, "parameters": dict(t.parameters)} for t in [*once, *rest][:count]]
