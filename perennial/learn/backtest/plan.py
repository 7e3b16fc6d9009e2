"""What a backtest walks through, and how it learns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perennial.errors import InputError
from perennial.learn.cross import Folds
from perennial.learn.search.draws import Once, fixed_draws
from perennial.learn.search.runner import Draw
from perennial.live.answer import Recent
from perennial.table import Table

if TYPE_CHECKING:
    from perennial.config import Learn


@dataclass(frozen=True, eq=False)
class Plan:
    """What a backtest walks through, and how it learns.

    Attributes:
        table: all rows, under a contract whose open categories are those of the rows before the first refit.
        refits: per refit, in order of time, the positions of the rows to fit and of those to predict.
        epochs: per refit the stretch it lies in; what is not fitted at every refit is learned where one begins.
        learn: the rules of learning; all of its candidates walk.
        levels: nominal coverages of the intervals.
        seed: what learners draw from.
        folds_of: the folds of training rows that the widths of a candidate's intervals are learned on.
        horizon: the feature that says how far ahead a row looks; "" where there is none.
        recent: how intervals follow the last ones; None where they do not.
    """

    table: Table
    refits: Folds
    epochs: tuple[int, ...]
    learn: Learn
    levels: Sequence[float]
    seed: int
    folds_of: Callable[[Table, Draw], Folds]
    horizon: str = ""
    recent: Recent | None = None

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The positions of all predicted rows, in the order of the refits."""
        return np.concatenate([rows for _, rows in self.refits])

    @property
    def draws(self) -> list[Draw]:
        """The candidates that walk, with their fixed parameters; the default first.

        Raises:
            InputError: where there are none, because what a blend is of comes out of a search.
        """
        found = fixed_draws(self.learn, Once())
        if not found:
            raise InputError(
                "backtest: expected a candidate with fixed parameters, found a blend of a search's best; name "
                "its members, or put another first in learn.candidates"
            )
        return found

    def starts(self) -> Iterator[tuple[int, Table, Table]]:
        """Per epoch its number, the rows that its first refit fits, and all rows that it predicts."""
        for epoch in sorted(set(self.epochs)):
            own = [fold for fold, place in zip(self.refits, self.epochs, strict=True) if place == epoch]
            rows = np.concatenate([predicted for _, predicted in own])
            yield epoch, self.table.rows(own[0][0]), self.table.rows(rows)
