"""How strongly columns go together, pair by pair.

Two numbers: Spearman's rank correlation. Two categories: Cramer's V with Bergsma's correction for chance
(Bergsma 2013, Journal of the Korean Statistical Society 42, equations 4 and 5). A number and a category: the
correlation ratio of the number's ranks, corrected in Kelley's way (Kelley 1935, PNAS 21, epsilon squared).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.data.exploration.histogram import Floats
from perennial.data.exploration.reading import Codes, Seen

PAIR_ROWS = 20_000
MOST_PAIRED = 40
FEWEST_PAIRS = 30
STRONG = 0.9

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """Two columns and how they go together: `value` within -1 and 1 for Spearman, else within 0 and 1."""

    first: str
    second: str
    measure: str
    value: float
    both_times: bool = False


@dataclass(frozen=True)
class Associations:
    """All pairs of the columns `names` (numbers first, then categories); NaN where nothing can be said."""

    names: tuple[str, ...]
    numeric: int
    values: Floats
    pairs: tuple[Pair, ...]
    rows: int
    left_out: int

    @property
    def strong(self) -> tuple[Pair, ...]:
        """The pairs from `STRONG` on, the strongest first; two times say nothing about each other."""
        found = [p for p in self.pairs if abs(p.value) >= STRONG and not p.both_times]
        return tuple(sorted(found, key=lambda p: -abs(p.value)))


def associations(columns: Sequence[Seen], rows: Rows) -> Associations | None:
    """The associations of all columns with at least two values, over the given rows of the sample.

    Only the first `MOST_PAIRED` such columns are paired. A pair needs `FEWEST_PAIRS` rows with both values.
    None where fewer than two columns can be paired.
    """
    usable = [c for c in columns if c.distinct > 1 and (c.numbers is not None or c.codes is not None)]
    kept = usable[:MOST_PAIRED]
    numbers = [c for c in kept if c.numbers is not None]
    categories = [c for c in kept if c.codes is not None]
    if len(kept) < 2:
        return None
    ordered = [*numbers, *categories]
    values = np.full((len(kept), len(kept)), np.nan)
    ranks = [_ranks(c.numbers[rows]) for c in numbers if c.numbers is not None]
    codes = [c.codes[rows] for c in categories if c.codes is not None]
    values[: len(numbers), : len(numbers)] = _spearman(ranks)
    for i, column_ranks in enumerate(ranks):
        for j, column_codes in enumerate(codes):
            values[i, len(numbers) + j] = correlation_ratio(column_ranks, column_codes)
    for (i, a), (j, b) in combinations(enumerate(codes), 2):
        values[len(numbers) + i, len(numbers) + j] = cramers_v(a, b)
    values = np.triu(values, 1) + np.triu(values, 1).T
    np.fill_diagonal(values, np.nan)
    return Associations(
        names=tuple(c.name for c in ordered),
        numeric=len(numbers),
        values=values,
        pairs=tuple(_pair(ordered, i, j, float(values[i, j])) for i, j in _measured(values)),
        rows=len(rows),
        left_out=len(usable) - len(kept),
    )


def _measured(values: Floats) -> list[tuple[int, int]]:
    return [(i, j) for i, j in combinations(range(len(values)), 2) if not np.isnan(values[i, j])]


def _pair(columns: Sequence[Seen], i: int, j: int, value: float) -> Pair:
    first, second = columns[i], columns[j]
    measure = "Cramer's V"
    if first.numbers is not None:
        measure = "Spearman" if second.numbers is not None else "correlation ratio"
    return Pair(first.name, second.name, measure, value, first.kind == second.kind == "time")


def _ranks(numbers: Floats) -> Floats:
    return np.asarray(pd.Series(numbers).rank(), dtype=np.float64)


def _spearman(ranks: Sequence[Floats]) -> Floats:
    """Spearman's correlation of every two columns over the rows that have both, shape (n, n)."""
    if not ranks:
        return np.empty((0, 0))
    frame = pd.DataFrame(dict(enumerate(ranks)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(frame.corr(method="spearman", min_periods=FEWEST_PAIRS), dtype=np.float64)


def cramers_v(a: Codes, b: Codes) -> float:
    """Cramer's V of two categories (codes, -1 for none), corrected for chance; NaN where nothing can be said."""
    both = (a >= 0) & (b >= 0)
    n = int(both.sum())
    if n < FEWEST_PAIRS:
        return math.nan
    (_, a), (_, b) = np.unique(a[both], return_inverse=True), np.unique(b[both], return_inverse=True)
    r, k = int(a.max()) + 1, int(b.max()) + 1
    if min(r, k) < 2:
        return math.nan
    table = np.bincount(a * k + b, minlength=r * k).reshape(r, k).astype(np.float64)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi2 = float(((table - expected) ** 2 / expected).sum()) / n
    corrected = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    room = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    return min(1.0, math.sqrt(corrected / room)) if room > 0 else math.nan


def correlation_ratio(numbers: Floats, codes: Codes) -> float:
    """The share of a number's variation that lies between categories, as the root of epsilon squared.

    `numbers` has NaN, `codes` -1 for none; NaN where nothing can be said.
    """
    both = ~np.isnan(numbers) & (codes >= 0)
    n = int(both.sum())
    if n < FEWEST_PAIRS:
        return math.nan
    y = numbers[both] - numbers[both].mean()
    _, groups = np.unique(codes[both], return_inverse=True)
    k, total = int(groups.max()) + 1, float((y**2).sum())
    if k < 2 or k >= n or total <= 0:
        return math.nan
    sizes, sums = np.bincount(groups), np.bincount(groups, weights=y)
    within = total - float((sums**2 / sizes).sum())
    return math.sqrt(max(0.0, 1 - within / total * (n - 1) / (n - k)))
