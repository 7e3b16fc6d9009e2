"""Which rows a model may learn from: leak-free splits into training and hold-out rows, and folds.

Rows are placed by a salted hash of their id, or by their time, never by their position: twins (rows with one id)
land on one side, and the order of the rows does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.config import Split, StratifiedSplit, TimeSplit
from perennial.data.ids import text_words
from perennial.data.time_split import Folds, Positions, in_time, surrounded, walking
from perennial.errors import InputError, NotEnoughDataError
from perennial.table import Table

RESIDUAL_BLOCKS = 12


@dataclass(frozen=True, eq=False)
class SplitRows:
    """Positions of the training and the hold-out rows in a table, each rising."""

    train: Positions
    holdout: Positions


def split(table: Table, rules: Split, seed: int) -> SplitRows:
    """Which rows of the table to train on, and which nothing is fitted or tuned on.

    - stratified: every class gives `rules.holdout` of its rows, to the row as far as twins allow.
    - grouped: an id is held out if its hash falls below `rules.holdout`. That depends on the id and the seed
      alone, so that a row stays on its side when the dataset grows; the share is met on average.
    - time: the rows with the latest origins are held out, or all with an origin at or after `rules.since`. The
      origin is when a row was predicted (role `known_at`, else `time`), and rows of one origin never straddle.
      A training row's truth (role `time`) lies before the first held-out origin by `gap_hours` or more. Other
      rows, and twins of held-out rows, are on neither side.

    Raises:
        NotEnoughDataError: where a side, or a class on a side, would be empty.
        InputError: where the table has not what the split needs (a class as target, or times).
    """
    if isinstance(rules, TimeSplit):
        return SplitRows(*in_time(table, rules))
    codes, ids = pd.factorize(table.ids)
    draws = _draws(ids, f"split {seed}")
    if isinstance(rules, StratifiedSplit):
        chosen = np.zeros(len(ids), dtype=bool)
        classes = _classes(table)
        quotas = _quotas(classes, rules.holdout)
        for name, groups, sizes in _groups_by_class(classes, codes):
            if len(groups) < 2:
                raise NotEnoughDataError(f"split: different rows of {name!r}", len(groups), 2)
            order = np.argsort(draws[groups], kind="stable")
            taken = _filled(sizes[order], quotas[name])
            chosen[groups[order[taken]]] = True
    else:
        chosen = draws < rules.holdout
    return _sides(chosen[codes])


def folds(table: Table, rules: Split, n: int, seed: int) -> Folds:
    """The (training, validation) positions of `n` folds, of the same kind as the split.

    Stratified and grouped folds are of nearly equal size and validate every row once. Time folds walk forward
    through the later 1 - `rules.first` of the rows in `n` blocks of origins: each trains on what `split` would
    train on were the block held out, that is on everything before it, or on the origins of the last
    `rules.window_days` before it.

    Raises:
        NotEnoughDataError: where a class, or the table, has too few distinct rows or moments for `n` folds.
        InputError: as for `split`.
    """
    if isinstance(rules, TimeSplit):
        return walking(table, rules, n)
    codes, ids = pd.factorize(table.ids)
    draws = _draws(ids, f"folds {seed}")
    places = np.empty(len(ids), dtype=np.int64)
    is_stratified = isinstance(rules, StratifiedSplit)
    classes = _classes(table) if is_stratified else np.full(len(table), "all rows")
    for start, (name, groups, sizes) in enumerate(_groups_by_class(classes, codes)):
        if len(groups) < n:
            remedy = "collect more records or lower learn.folds"
            raise NotEnoughDataError(f"{n} folds: different rows of {name!r}", len(groups), n, remedy)
        order = np.argsort(draws[groups], kind="stable")
        middles = np.cumsum(sizes[order]) - sizes[order] / 2
        places[groups[order]] = (np.floor(middles / sizes.sum() * n).astype(np.int64) + start) % n
    sides = [_sides(places[codes] == fold) for fold in range(n)]
    return [(side.train, side.holdout) for side in sides]


def residual_folds(table: Table, rules: Split, n: int, seed: int) -> Folds:
    """The (training, validation) positions of folds whose residuals are like those of a model fitted to all rows.

    Time folds that walk forward train on less than all, the first ones on half of it, and say nothing of the rows
    before them: residuals are too large, and of some seasons alone. Here blocks of origins validate every row once,
    and train on what lies before and behind them, `rules.gap_hours` away on both sides (hv-block cross-validation:
    Racine 2000; Bergmeir and Benítez 2012), in at least `RESIDUAL_BLOCKS` blocks. This is for intervals alone:
    nothing is chosen by it, and no error is told from it. Other folds, and those of a sliding window, are those of
    `folds`.

    Raises:
        NotEnoughDataError: as for `folds`.
        InputError: as for `split`.
    """
    if isinstance(rules, TimeSplit) and rules.window_days is None:
        return surrounded(table, rules, max(n, RESIDUAL_BLOCKS))
    return folds(table, rules, n, seed)


def _sides(is_held_out: npt.NDArray[np.bool_]) -> SplitRows:
    train, holdout = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    for side, rows in (("training", train), ("hold-out", holdout)):
        if not len(rows):
            raise NotEnoughDataError(f"{side} rows of the split", 0, 1)
    return SplitRows(train=train, holdout=holdout)


def _draws(ids: npt.NDArray[np.object_], salt: str) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for every id, which depends on the id and the salt alone."""
    return text_words(map(str, ids), salt) / np.float64(2.0**64)


def _classes(table: Table) -> npt.NDArray[np.str_]:
    target = table.contract.target
    if target.is_numeric:
        raise InputError(
            f"split.kind stratified: expected a class as target, found the number {target.name}; use grouped"
        )
    return table.y


def _groups_by_class(
    classes: npt.NDArray[np.str_], codes: Positions
) -> Iterator[tuple[str, Positions, Positions]]:
    """Per class, in order of name: the codes of its ids, and how many rows each id has.

    An id whose rows have several classes counts for that of its first row.
    """
    _, first = np.unique(codes, return_index=True)
    sizes = np.bincount(codes)
    for name in np.unique(classes[first]):
        groups = np.flatnonzero(classes[first] == name)
        yield str(name), groups, sizes[groups]


def _quotas(classes: npt.NDArray[np.str_], share: float) -> dict[str, int]:
    """Held-out rows per class: the given share of all rows, by largest remainders (Hamilton's method)."""
    names, counts = np.unique(classes, return_counts=True)
    exact = counts * share
    quotas = np.floor(exact).astype(np.int64)
    short = round(len(classes) * share) - int(quotas.sum())
    quotas[np.argsort(quotas - exact, kind="stable")[:short]] += 1
    return {str(name): int(quota) for name, quota in zip(names, np.maximum(quotas, 1), strict=True)}


def _filled(sizes: Positions, quota: int) -> npt.NDArray[np.bool_]:
    """Which groups to take, in their order, so that their rows fill the quota and do not exceed it.

    At least one group is taken, and at least one is left.
    """
    taken = np.zeros(len(sizes), dtype=bool)
    room = quota
    for place, size in enumerate(sizes.tolist()):
        if size <= room:
            taken[place] = True
            room -= size
    if not taken.any():
        taken[np.argmin(sizes)] = True
    if taken.all():
        taken[-1] = False
    return taken
