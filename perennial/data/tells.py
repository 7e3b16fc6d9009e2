"""Columns that give themselves away in a table: missing at the newest rows, equal to a later truth, or fitted to all.

What is filled in afterwards is there for old rows and not yet for the newest, on which a model would have to answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.table import Column, Table

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

NEWEST_MOMENTS = 3
"""Fewest moments at the end at which a column must be missing or stand still to be told."""
LONGER = 2
"""How many times longer that must be than anywhere before."""
DISTINCT = 10
"""A number of fewer distinct values may well stand still, or equal a later truth by chance."""
EQUAL_SHARE = 0.5
STICKY_SHARE = 0.2
LEADS = 200
SAMPLE = 2_000
EXACT = 1e-9


@dataclass(frozen=True)
class Tell:
    """A column that gave itself away in `rows` rows, with the sentence that says how."""

    column: str
    rows: int
    sentence: str


def tells(table: Table) -> list[Tell]:
    """Everything that the features of checked rows give away."""
    return [*_newest(table), *_later_truths(table), *_fitted_to_all(table)]


def _newest(table: Table) -> Iterator[Tell]:
    """Columns that are missing, or stand still, at the newest moments and at no such stretch before."""
    names: dict[str, str] = {c.role: c.name for c in table.contract.columns}
    if "known_at" not in names:
        return
    order = ["known_at", "time"] if "time" in names else ["known_at"]
    frame = table.frame.sort_values([names[role] for role in order], kind="stable", ignore_index=True)
    moment = pd.factorize(frame[names["known_at"]])[0]
    if moment.max(initial=-1) < 4 * NEWEST_MOMENTS:
        return
    for column in table.contract.features:
        values = frame[column.name]
        missing = values.isna().to_numpy()
        absent = _last_stretch(missing, moment, starts=True)
        if absent:
            yield Tell(
                column.name, absent, f"no value in the newest {absent:,} rows, though there are older ones"
            )
        elif column.is_numeric and values.nunique() >= DISTINCT:
            still = np.concatenate([[False], _equal(values[1:], values[:-1])])
            rows = _last_stretch(still, moment, starts=False)
            if rows:
                shown = f"one and the same value in the newest {rows:,} rows, though older ones differ"
                yield Tell(column.name, rows, shown)


def _last_stretch(is_so: Mask, moment: npt.NDArray[np.intp], starts: bool) -> int:
    """How many of the newest rows are so without a break; 0 where that is nothing unusual.

    Unusual is what lasts for `NEWEST_MOMENTS` moments, not for half of all, and `LONGER` times longer than any
    stretch before; `starts` forgives the one that the first row begins (there was no history yet).
    """
    ends = np.flatnonzero(np.diff(np.concatenate([[False], is_so, [False]]).astype(np.int8)))
    stretches = [(int(a), int(b)) for a, b in ends.reshape(-1, 2)]
    if not stretches or stretches[-1][1] != len(is_so):
        return 0
    *before, (start, end) = stretches
    if starts:
        before = [s for s in before if s[0] > 0]
    lasts = int(moment[-1] - moment[start]) + 1
    longest = max((int(moment[b - 1] - moment[a]) + 1 for a, b in before), default=0)
    unusual = lasts >= NEWEST_MOMENTS and lasts > LONGER * longest and end - start <= len(is_so) / 2
    return end - start if unusual else 0


def _later_truths(table: Table) -> Iterator[Tell]:
    """Numbers that equal the truth of their own row, or that of a later time, in most rows."""
    names: dict[str, str] = {c.role: c.name for c in table.contract.columns}
    target = table.contract.target
    if not target.is_numeric or table.frame[target.name].nunique() < DISTINCT:
        return
    numbers = [c for c in table.contract.features if c.is_numeric]
    chosen = np.random.default_rng(0).permutation(len(table))[:SAMPLE]
    X = (
        np.column_stack([_floats(table.frame[c.name])[chosen] for c in numbers])
        if numbers
        else np.empty((0, 0))
    )
    leads = _truths_ahead(table, names, chosen) if "time" in names and "known_at" in names else None
    truths = _floats(table.frame[target.name])[chosen][:, None] if leads is None else leads
    for place, column in enumerate(numbers if truths.shape[1] else ()):
        known = np.isfinite(X[:, [place]]) & np.isfinite(truths)
        equal = (np.abs(X[:, [place]] - truths) <= EXACT * np.abs(truths)) & known & (truths != 0)
        share = equal.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        enough = known.sum(axis=0) >= DISTINCT
        lead = int(np.argmax(share * enough))
        if enough[lead] and share[lead] > EQUAL_SHARE:
            which = f"the truth {lead} steps later" if lead else "the truth of the same row"
            rows = round(share[lead] * len(table))
            yield Tell(column.name, rows, f"equal to {which} in {share[lead]:.0%} of the rows")


def _truths_ahead(table: Table, names: dict[str, str], chosen: npt.NDArray[np.intp]) -> Floats | None:
    """The truth at each row's time and at the following `LEADS` times, shape (n_chosen, LEADS + 1).

    None where there are several truths at a time; no column where the truth hardly moves, so that equality says
    nothing.
    """
    target = table.contract.target.name
    truth = table.frame.groupby(names["time"])[target].agg(["first", "nunique"]).sort_index()
    if len(truth) < 2 or (truth["nunique"] > 1).any():
        return None
    series = _floats(truth["first"])
    if (series[1:] == series[:-1]).mean() > STICKY_SHARE:
        return np.empty((len(chosen), 0))
    place = truth.index.get_indexer(pd.Index(table.frame[names["time"]].iloc[chosen]))
    padded = np.concatenate([series, np.full(LEADS, np.nan)])
    return np.asarray(padded[place[:, None] + np.arange(LEADS + 1)])


def _fitted_to_all(table: Table) -> Iterator[Tell]:
    """Numbers that were standardised over all rows, or that hold a category's mean of the target over all rows."""
    target = table.contract.target
    truth = _floats(table.frame[target.name]) if target.is_numeric else None
    categories = [c for c in table.contract.features if c.kind == "category"]
    for column in table.contract.features:
        if not column.is_numeric or table.frame[column.name].nunique() < 2:
            continue
        values = _floats(table.frame[column.name])
        known = values[np.isfinite(values)]
        if len(known) > DISTINCT and abs(known.mean()) < EXACT and _is_one(known):
            yield Tell(
                column.name, len(known), "a mean of 0 and a spread of 1 over all rows, exactly: fitted to all"
            )
        elif truth is not None and (found := _encodes(table, column, categories, truth)):
            yield Tell(
                column.name, len(known), f"the mean target of each {found} over all rows: fitted to all"
            )


def _is_one(values: Floats) -> bool:
    return any(abs(values.std(ddof=ddof) - 1.0) < EXACT for ddof in (0, 1))


def _encodes(table: Table, column: Column, categories: list[Column], truth: Floats) -> str:
    """The category whose mean of the target the column holds; "" where there is none."""
    values = _floats(table.frame[column.name])
    for category in categories:
        groups = table.frame[category.name]
        if 1 < groups.nunique() < len(table) / 2:
            means = pd.Series(truth).groupby(groups.to_numpy()).transform("mean").to_numpy()
            if np.isclose(values, means, rtol=EXACT, atol=0.0).mean() > 1.0 - EXACT:
                return category.name
    return ""


def _floats(values: pd.Series[Any]) -> Floats:
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _equal(a: pd.Series[Any], b: pd.Series[Any]) -> Mask:
    return np.asarray(_floats(a) == _floats(b))
