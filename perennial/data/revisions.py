"""Revisions: which rows say something new about a record, and when that could be known at the earliest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.data import content
from perennial.data.content import COLUMNS, TIMES, is_collected

ONE_TICK = 1  # microsecond


@dataclass(frozen=True)
class Merged:
    """What a collection adds to the records before it.

    Attributes:
        added: the rows to append, sorted by `content.ORDER`.
        new: rows of `added` whose key was not known.
        revised: rows of `added` whose key was known with other values.
        repeats: collected rows that say nothing new.
        rejected: collected rows without a key or without the event time that their feed names.
    """

    added: pd.DataFrame
    new: int
    revised: int
    repeats: int
    rejected: int = 0


def rebase(before: pd.DataFrame | None, rows: pd.DataFrame) -> Merged:
    """The `rows` that `before` does not know yet, each available later than what is known of its key.

    Of the rows of one key all but the last are repeats where any known revision has the same fields. The last
    one, in the order of `available_at`, is a repeat where the latest revision has the same fields, or where it is
    old news: an earlier revision has them, and the row was collected before the latest one or is dated before it
    by its source. Any other row of a known key is a revision.

    If its `available_at` is not later than that of the latest revision, we cannot have known it before it was
    collected, and it gets that time; where even that is not later (a clock went back), the microsecond after.
    Applied to its own result with the same `before`, nothing changes.

    Raises:
        DatasetError: where a field has another type than before.
    """
    known = before if before is not None and is_collected(before.columns) else rows.iloc[:0]
    known = content.in_order(known)
    rows = content.in_order(rows)
    mixed = [name for name in rows if name in known and rows[name].dtype != known[name].dtype]
    content.together(content.canonical(part[mixed].iloc[:0]) for part in (known, rows))
    fields = [name for name in rows.columns if name not in COLUMNS]
    known = known.reindex(columns=[*COLUMNS, *fields]) if set(fields) - set(known.columns) else known

    names, known_names = _names(rows), _names(known)
    last = np.flatnonzero(~known_names.duplicated(keep="last"))
    place = pd.Index(known_names.iloc[last]).get_indexer(pd.Index(names))
    is_known = place >= 0
    alike = np.zeros(len(rows), dtype=bool)
    alike[is_known] = _alike(rows[is_known], known.iloc[last[place[is_known]]], fields)
    is_last = ~names.duplicated(keep="last").to_numpy()
    alone = ~names.duplicated(keep=False).to_numpy()
    hard = np.flatnonzero(~(alone & (alike | ~is_known)))

    available = _microseconds(rows["available_at"])
    kept = alone & ~is_known
    told = known_names.isin(set(names.iloc[hard])).to_numpy()
    history = _history(known[told], known_names[told], fields)
    for position, revision in zip(hard, _revisions(rows.iloc[hard], fields), strict=True):
        past = history.setdefault(names.iloc[position], [])
        if past and _is_repeat(past, revision, is_last[position]):
            continue
        if past and revision.available <= past[-1].available:
            available[position] = max(revision.collected, past[-1].available + ONE_TICK)
        kept[position] = True
        past.append(_Revision(revision.values, int(available[position]), revision.collected))
    times = pd.Series(available.view("datetime64[us]"), index=rows.index).dt.tz_localize("UTC")
    added = rows.assign(available_at=times)[kept].reset_index(drop=True)
    new = int((~is_known[kept] & ~names[kept].duplicated().to_numpy()).sum())
    return Merged(added=added, new=new, revised=len(added) - new, repeats=len(rows) - len(added))


@dataclass(frozen=True)
class _Revision:
    """The fields' values of a record with its times in microseconds since 1970."""

    values: tuple[Any, ...]
    available: int
    collected: int


def _is_repeat(past: Sequence[_Revision], row: _Revision, is_last: bool) -> bool:
    """Whether a row says nothing new; `is_last` where no other row of the same key comes after it.

    Other rows than the last cannot decide what is current, so that it is enough that they are known. That makes
    the same collection a repeat of itself, however its rows are spread over answers.
    """
    latest = past[-1]
    is_known = any(row.values == revision.values for revision in past)
    if not is_last or row.values == latest.values:
        return is_known
    dated_by_source = latest.available != latest.collected
    was_later = row.collected > latest.collected and not dated_by_source
    is_same_answer = row.collected == latest.collected
    return is_known and row.available <= latest.available and not (was_later or is_same_answer)


def _names(records: pd.DataFrame) -> pd.Series[Any]:
    """Feed and key of every record as one text; a feed's name holds no blank."""
    return records["feed"].astype(object) + " " + records["key"].astype(object)


def _microseconds(times: pd.Series[Any]) -> npt.NDArray[np.int64]:
    return np.array(times.astype(TIMES).astype(np.int64), dtype=np.int64)


def _alike(rows: pd.DataFrame, others: pd.DataFrame, fields: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which rows have the same values as the other ones at their positions; two missing values are the same."""
    same = np.ones(len(rows), dtype=bool)
    for name in fields:
        a, b = rows[name].reset_index(drop=True), others[name].reset_index(drop=True)
        equal = (a == b).fillna(False).to_numpy(dtype=bool)
        same &= equal | (a.isna() & b.isna()).to_numpy()
    return same


def _revisions(records: pd.DataFrame, fields: Sequence[str]) -> list[_Revision]:
    columns = [records[name].astype(object).mask(records[name].isna(), None) for name in fields]
    values = zip(*columns, strict=True) if fields else iter([()] * len(records))
    times = (_microseconds(records[name]).tolist() for name in ("available_at", "collected_at"))
    return [_Revision(*revision) for revision in zip(values, *times, strict=True)]


def _history(
    records: pd.DataFrame, names: pd.Series[Any], fields: Sequence[str]
) -> dict[str, list[_Revision]]:
    """Name -> revisions, oldest first; `records` are in order."""
    found: dict[str, list[_Revision]] = {}
    for name, revision in zip(names, _revisions(records, fields), strict=True):
        found.setdefault(name, []).append(revision)
    return found
