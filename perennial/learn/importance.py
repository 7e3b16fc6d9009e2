"""How much worse a model answers when one feature is shuffled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.learn.clusters import Origins
from perennial.learn.compare import row_losses
from perennial.learn.models import FittedModel
from perennial.learn.resampling import mean_intervals
from perennial.live.answer import answer

Floats = npt.NDArray[np.float64]

ROWS = 2000
REPEATS = 3
BATCH_CELLS = 2_000_000
"""Matrix cells of one predict call: as many shuffled copies as fit go in one."""


def permutation_importance(
    fitted: FittedModel,
    X: Floats,
    truth: npt.NDArray[Any],
    *,
    loss: str,
    level: float,
    resamples: int,
    seed: int,
    origins: Origins | None = None,
) -> list[dict[str, Any]]:
    """The rise of the mean loss when a feature's values are shuffled among rows, largest first.

    At most `ROWS` rows are used, each feature is shuffled `REPEATS` times, and `low` and `high` bound the
    rise by a bootstrap over rows (Breiman 2001, section 10; Fisher, Rudin and Dominici 2019).
    A feature that another one repeats looks unimportant.

    Args:
        fitted: the model.
        X: the feature matrix of unseen rows, shape (n_rows, n_features).
        truth: what really happened, shape (n_rows,).
        loss: a name in `compare.LOSSES`.
        level: confidence level of `low` and `high`.
        resamples: how many bootstrap resamples.
        seed: draws rows, shuffles and resamples.
        origins: of a series, the origin of each row.
    """
    rng = np.random.default_rng(seed)
    if len(X) > ROWS:
        chosen = np.sort(rng.choice(len(X), ROWS, replace=False))
        X, truth = X[chosen], truth[chosen]
        origins = None if origins is None else origins.of(chosen)
    rows, width = X.shape

    def losses(matrix: Floats) -> Floats:
        copies = len(matrix) // rows
        answers = answer(fitted.raw(matrix), fitted.rule)
        return row_losses(loss, np.tile(truth, copies), answers, fitted.rule.classes).reshape(copies, rows)

    shuffles = [rng.permutation(rows) for _ in range(REPEATS)]
    plan = [(feature, shuffle) for feature in range(width) for shuffle in shuffles]
    batch = max(1, BATCH_CELLS // X.size)
    parts = []
    for start in range(0, len(plan), batch):
        part = plan[start : start + batch]
        copies = np.tile(X, (len(part), 1)).reshape(len(part), rows, width)
        for copy, (feature, shuffle) in zip(copies, part, strict=True):
            copy[:, feature] = X[shuffle, feature]
        parts.append(losses(copies.reshape(-1, width)))
    rise = np.concatenate(parts).reshape(width, REPEATS, rows).mean(axis=1) - losses(X)[0]
    low, high = mean_intervals(rise.T, resamples, level, seed, origins)
    names = [column.name for column in fitted.contract.features]
    lines = [
        {"feature": name, "drop": float(rise[i].mean()), "low": float(low[i]), "high": float(high[i])}
        for i, name in enumerate(names)
    ]
    return sorted(lines, key=lambda line: (-line["drop"], line["feature"]))
