"""When a backtest fits its models again, to which rows, and which rows they predict until the next time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perennial.config import Split, TimeSplit
from perennial.config_backtest import Backtest
from perennial.data.time_split import Folds, before, hours_of, in_time, moments_in
from perennial.errors import InputError, NotEnoughDataError
from perennial.table import Table


@dataclass(frozen=True, eq=False)
class Walk:
    """The refits of a backtest in order of time.

    Attributes:
        refits: per refit the positions of the rows that are fitted, and of those that are predicted.
        epochs: per refit the number of the stretch of `widths_days` that it lies in; from 0, never falling.
    """

    refits: Folds
    epochs: tuple[int, ...]


def walk(table: Table, rules: Backtest, split: Split) -> Walk:
    """The refits of a backtest of a table whose rows are predicted at different moments.

    A refit uses what `split` would use were its moment the start of the hold-out: rows whose truth had come by then,
    `gap_hours` ago or longer. Refits with nothing to predict are left out.

    Raises:
        InputError: where the split is not one by time, or the table has no times.
        NotEnoughDataError: where nothing is predicted, or there is nothing to fit.
    """
    if not isinstance(split, TimeSplit):
        raise InputError(
            f"backtest: expected split.kind time, found {split.kind}; only a series can be walked through"
        )
    moments = moments_in(table)
    origin = moments.origin
    start = hours_of(rules.since) if rules.since else float(origin[in_time(table, split)[1]].min())
    end = hours_of(rules.until) if rules.until else np.inf
    chosen = (origin >= start) & (origin < end)
    if rules.every_days is not None:
        steps = (origin - start) / (24.0 * rules.every_days)
        chosen &= np.abs(steps - np.round(steps)) < 1e-6
    predicted = np.flatnonzero(chosen)
    if not len(predicted):
        remedy = "let backtest.since, until and every_days name moments at which rows are predicted"
        raise NotEnoughDataError("backtest, predicted rows", 0, 1, remedy)
    gap_hours = split.gap_hours if rules.gap_hours is None else rules.gap_hours
    number = np.floor((origin[predicted] - start) / (24.0 * rules.refit_days) + 1e-9).astype(np.int64)
    refits, epochs = [], []
    for n in np.unique(number):
        moment = start + float(n) * 24.0 * rules.refit_days
        rows = predicted[number == n]
        fitted = before(table, moments, moment, gap_hours, rows)
        if rules.window_days is not None:
            fitted = fitted[origin[fitted] >= moment - 24.0 * rules.window_days]
        if not len(fitted):
            remedy = "widen backtest.window_days or shorten gap_hours"
            raise NotEnoughDataError("backtest, rows in the window of a refit", 0, 1, remedy)
        refits.append((fitted, rows))
        epochs.append(int((moment - start) // (24.0 * rules.widths_days)))
    return Walk(refits, tuple(epochs))
