"""Features that change when the future does: a plugin's `prepare` run again on records with another future.

A row may use what was known at its `known_at` and nothing later. So its features must stay the same when records that
became available later are swapped among each other, or are not there. That finds a column that looks ahead, and a
transform that was fitted on all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.errors import PerennialError
from perennial.table import Contract

Prepare = Callable[[pd.DataFrame], pd.DataFrame]
Positions = npt.NDArray[np.int64]

AT = (0.5, 0.9)
"""Where the future is changed, as shares of the rows by when they were predicted."""
FEWEST_ROWS = 20
LAST_RECORDS = 200_000
"""Of more records the newest are looked at."""
TOLERANCE = 1e-7
"""Differences of this share of a column's spread are rounding: the same sum in another order."""
KEPT_AS_THEY_ARE = ("feed", "key", "event_time", "available_at", "collected_at", "source", "raw")


@dataclass(frozen=True)
class Changed:
    """A column whose values before a moment depend on what came later: in `rows` of `compared` rows.

    `moment` is a time, or how many records there were, where records have no times.
    """

    column: str
    rows: int
    compared: int
    moment: datetime | int

    @property
    def sentence(self) -> str:
        """What was found, for people."""
        when = (
            f"{self.moment:%Y-%m-%d %H:%M}"
            if isinstance(self.moment, datetime)
            else f"record {self.moment:,}"
        )
        return (
            f"{self.column}: expected values that later records do not change, found other ones in {self.rows:,} of "
            f"{self.compared:,} rows before {when} once what came after it was changed: the column knows the future, "
            "or was fitted to all rows"
        )


@dataclass(frozen=True)
class Foresight:
    """The columns that know the future, and a sentence per moment at which that could not be found out."""

    changed: tuple[Changed, ...]
    untold: tuple[str, ...]


def foresight(
    records: pd.DataFrame, rows: pd.DataFrame, prepare: Prepare, contract: Contract, seed: int
) -> Foresight:
    """The feature and baseline columns of `rows` that depend on records of the future.

    Args:
        records: all records of the dataset.
        rows: what `prepare` makes of them.
        prepare: the plugin's function of records alone.
        contract: the columns of `rows`.
        seed: swaps later records.
    """
    if len(records) > LAST_RECORDS:
        records = _newest(records)
        rows = prepare(records)
    names = contract.names
    rows = rows.rename(columns=lambda name: names.get(str(name), str(name)))
    times = [c.name for c in contract.columns if c.role in ("time", "known_at") and c.name in rows]
    collected = {"available_at", "feed", "key"} <= set(records.columns)
    in_time = collected and len(times) == 2 and _has_past(records, rows, contract)
    if collected and not in_time:
        records = records.sort_values(["feed", "key"], kind="stable", ignore_index=True)
    worst: dict[str, Changed] = {}
    untold: list[str] = []
    for other, moment in (_other_futures if in_time else _prefixes)(records, rows, contract, seed):
        try:
            made = prepare(other).rename(columns=lambda name: names.get(str(name), str(name)))
        except PerennialError as error:
            untold.append(f"features before {_shown(moment)} could not be made again: {error}")
            continue
        before, after = (_early(rows, moment, contract), _early(made, moment, contract))
        pairs = _matched(before, after, times) if in_time else _first(before, after, contract)
        if pairs is None or len(pairs[0]) < FEWEST_ROWS:
            found = 0 if pairs is None else len(pairs[0])
            untold.append(f"{found} rows before {_shown(moment)} could be compared, {FEWEST_ROWS} are needed")
            continue
        for changed in _differences(before, after, pairs, contract, moment):
            if changed.column not in worst or changed.rows > worst[changed.column].rows:
                worst[changed.column] = changed
    return Foresight(tuple(worst.values()), tuple(untold))


def _newest(records: pd.DataFrame) -> pd.DataFrame:
    if "available_at" not in records:
        return records.head(LAST_RECORDS)
    newest = records["available_at"].rank(method="min", ascending=False) <= LAST_RECORDS
    return records[newest.to_numpy()].reset_index(drop=True)


def _has_past(records: pd.DataFrame, rows: pd.DataFrame, contract: Contract) -> bool:
    """Whether records became available after some of the rows were predicted: not where all came at once."""
    known_at = rows[contract.of_role("known_at").name]
    return bool((records["available_at"] > known_at.quantile(AT[0])).any())


def _other_futures(
    records: pd.DataFrame, rows: pd.DataFrame, contract: Contract, seed: int
) -> Iterator[tuple[pd.DataFrame, datetime]]:
    """Records with another future, and the moment at which it starts, once per moment of `AT`.

    Of the later records the nearer half in time is kept, its contents swapped within every feed; the others are left
    out. Times and keys stay, so that rows of the past are still there with their truth.
    """
    rng = np.random.default_rng(seed)
    known_at = rows[contract.of_role("known_at").name].dropna().sort_values()
    available, last = records["available_at"], records["available_at"].max()
    contents = [
        name
        for name in records.columns
        if name not in KEPT_AS_THEY_ARE and not pd.api.types.is_datetime64_any_dtype(records[name])
    ]
    for share in AT if len(known_at) else ():
        moment = known_at.iloc[min(int(share * len(known_at)), len(known_at) - 1)]
        near = ((available > moment) & (available <= moment + (last - moment) / 2)).to_numpy()
        order = np.arange(len(records))
        for feed in records["feed"].unique():
            places = np.flatnonzero(near & (records["feed"] == feed).to_numpy())
            order[places] = rng.permutation(places)
        swapped = records[contents].iloc[order].set_axis(records.index)
        other = records.assign(**{str(name): swapped[name] for name in contents})
        yield other[(available <= moment) | near].reset_index(drop=True), moment.to_pydatetime()


def _prefixes(
    records: pd.DataFrame, rows: pd.DataFrame, contract: Contract, seed: int
) -> Iterator[tuple[pd.DataFrame, int]]:
    """The first records, where they have no times of their own, and their number."""
    for share in AT:
        count = int(share * len(records))
        yield records.head(count), count


def _early(rows: pd.DataFrame, moment: datetime | int, contract: Contract) -> pd.DataFrame:
    """The rows that were predicted by `moment`; all of them where that is a number of records."""
    if isinstance(moment, int):
        return rows.reset_index(drop=True)
    return rows[rows[contract.of_role("known_at").name] <= pd.Timestamp(moment)].reset_index(drop=True)


def _first(
    before: pd.DataFrame, after: pd.DataFrame, contract: Contract
) -> tuple[Positions, Positions] | None:
    """The first rows of both, where their targets say that they are the same ones; None where they are not."""
    count, target = min(len(before), len(after)), contract.target.name
    places = np.arange(count)
    if target not in before or target not in after:
        return None
    same = _same(before[target].iloc[:count], after[target].iloc[:count])
    return (places, places) if count and same.mean() > 0.99 else None


def _matched(before: pd.DataFrame, after: pd.DataFrame, times: list[str]) -> tuple[Positions, Positions]:
    """Positions of the same rows in both: of those of one moment in their order, where both have as many."""
    sides = []
    for rows in (before, after):
        groups = rows.groupby(times, sort=False)
        sides.append(
            rows[times].assign(
                nth=groups.cumcount(), size=groups[times[0]].transform("size"), place=np.arange(len(rows))
            )
        )
    both = sides[0].merge(sides[1], on=[*times, "nth", "size"], suffixes=("", "_after"))
    return both["place"].to_numpy(), both["place_after"].to_numpy()


def _differences(
    before: pd.DataFrame,
    after: pd.DataFrame,
    pairs: tuple[Positions, Positions],
    contract: Contract,
    moment: datetime | int,
) -> Iterator[Changed]:
    for column in contract.columns:
        if column.role not in ("feature", "baseline") or column.name not in before:
            continue
        values = before[column.name].iloc[pairs[0]]
        others = after.get(column.name, pd.Series(np.nan, index=after.index)).iloc[pairs[1]]
        rows = int((~_same(values, others)).sum())
        if rows:
            yield Changed(column.name, rows, len(values), moment)


def _same(a: pd.Series[Any], b: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    """Which values are equal, two missing ones included; numbers but for rounding."""
    a, b = a.reset_index(drop=True), b.reset_index(drop=True)
    missing = (a.isna() & b.isna()).to_numpy()
    if pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b):
        x, y = (v.to_numpy(dtype=np.float64, na_value=np.nan) for v in (a, b))
        spread = float(np.nanstd(x)) if np.isfinite(x).any() else 0.0
        near = np.isclose(x, y, rtol=TOLERANCE, atol=TOLERANCE * spread, equal_nan=True)
        return np.asarray(near | missing, dtype=bool)
    return np.asarray((a.astype(object) == b.astype(object)).to_numpy(dtype=bool, na_value=False) | missing)


def _shown(moment: datetime | int) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if isinstance(moment, datetime) else f"record {moment:,}"
