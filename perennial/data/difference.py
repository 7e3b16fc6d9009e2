"""The difference between two dataset versions: records that are new, gone or revised, and what became of columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from perennial.data import content
from perennial.data.content import COLUMNS, RECORD, is_collected
from perennial.data.records import current
from perennial.evidence import DatasetReference

NOTHING_REVISED = pd.DataFrame(columns=[*RECORD, "field", "before", "after"], dtype=object)


@dataclass(frozen=True)
class ColumnChange:
    """How one column of one feed ("" where rows were not collected) differs between two versions.

    `kind_before` and `kind_after` are its types, "" where the version has no such column. `revised` counts the
    records whose value changed, `missing_*` those without a value, `median_*` is that of numbers (else None).
    """

    feed: str
    name: str
    kind_before: str
    kind_after: str
    revised: int
    missing_before: int
    missing_after: int
    median_before: float | None
    median_after: float | None


@dataclass(frozen=True)
class Difference:
    """What changed from one dataset version to another.

    Of collected records the latest revisions are compared by feed and key. Other rows have no key: they are
    compared whole, so that a changed row is one that is gone and one that is new.

    Attributes:
        before: the version that is compared.
        after: the version that it is compared with.
        new: the rows that only `after` has.
        gone: the rows that only `before` has.
        revised: a row per changed field: `feed`, `key`, `field`, `before`, `after`.
        columns: every column of either version that a feed has values in, in the order of `after`.
    """

    before: DatasetReference
    after: DatasetReference
    new: pd.DataFrame
    gone: pd.DataFrame
    revised: pd.DataFrame
    columns: tuple[ColumnChange, ...]

    @property
    def revised_records(self) -> int:
        """How many records have another value in one field or more."""
        return len(self.revised[RECORD].drop_duplicates())


def compared(
    references: tuple[DatasetReference, DatasetReference], before: pd.DataFrame, after: pd.DataFrame
) -> Difference:
    """What changed between the rows of two versions: by key where both were collected, else by whole rows."""
    if is_collected(before.columns) and is_collected(after.columns):
        return _by_key(references, current(before), current(after))
    return _by_row(references, before, after)


def with_texts(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with times as ISO 8601 texts in UTC."""
    times = rows.select_dtypes("datetimetz").columns
    plain = {name: rows[name].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy() for name in times}
    texts = {name: np.datetime_as_string(values, unit="us", timezone="UTC") for name, values in plain.items()}
    return rows.assign(
        **{name: pd.Series(text, rows.index, object).mask(rows[name].isna()) for name, text in texts.items()}
    )


def _by_key(
    references: tuple[DatasetReference, DatasetReference], before: pd.DataFrame, after: pd.DataFrame
) -> Difference:
    old, new = (pd.MultiIndex.from_frame(rows[RECORD]) for rows in (before, after))
    place = old.get_indexer(new)
    fields = [n for n in dict.fromkeys((*after.columns, *before.columns)) if n not in COLUMNS]
    left = before.iloc[place[place >= 0]].reset_index(drop=True)
    right = after[place >= 0].reset_index(drop=True)
    changed = {name: _changed(left, right, name) for name in fields}
    parts = [
        right.loc[mask, RECORD].assign(
            field=name, before=_cells(left, name)[mask], after=_cells(right, name)[mask]
        )
        for name, mask in changed.items()
    ]
    columns = []
    for feed in sorted({*before["feed"], *after["feed"]}):
        own = right["feed"].eq(feed).to_numpy()
        counts = {name: int((mask & own).sum()) for name, mask in changed.items()}
        old_rows, new_rows = (rows[rows["feed"] == feed] for rows in (before, after))
        used = [
            n for n in fields if any(n in rows and rows[n].notna().any() for rows in (old_rows, new_rows))
        ]
        columns += [_column(feed, name, old_rows, new_rows, counts[name]) for name in used]
    return Difference(
        *references,
        new=after[place < 0].reset_index(drop=True),
        gone=before[~old.isin(new)].reset_index(drop=True),
        revised=pd.concat([NOTHING_REVISED, *parts]).sort_index(kind="stable").reset_index(drop=True),
        columns=tuple(columns),
    )


def _by_row(
    references: tuple[DatasetReference, DatasetReference], before: pd.DataFrame, after: pd.DataFrame
) -> Difference:
    names = [*dict.fromkeys((*after.columns, *before.columns))]
    columns = tuple(_column("", name, before, after, 0) for name in names)
    mixed = {c.name: np.float64 for c in columns if {c.kind_before, c.kind_after} == {"number", "integer"}}
    old, new = (_whole_rows(rows.astype(mixed), names) for rows in (before, after))
    return Difference(
        *references,
        new=after[~new.isin(old)].reset_index(drop=True),
        gone=before[~old.isin(new)].reset_index(drop=True),
        revised=NOTHING_REVISED,
        columns=columns,
    )


def _whole_rows(rows: pd.DataFrame, names: Sequence[str]) -> pd.Index[Any]:
    """Every row as one text, with the number of equal rows before it."""
    texts = with_texts(rows.reindex(columns=[*names]))
    whole = pd.Series(
        [json.dumps(row) for row in zip(*(_cells(texts, n) for n in names), strict=True)], dtype=object
    )
    return pd.Index(whole + " " + whole.groupby(whole).cumcount().astype(str))


def _changed(left: pd.DataFrame, right: pd.DataFrame, name: str) -> Any:
    """Which records have another value, shape (n_records,); two missing values are the same."""
    a, b = _cells(left, name), _cells(right, name)
    return ~((a == b).to_numpy(dtype=bool) | (a.isna() & b.isna()).to_numpy())


def _cells(rows: pd.DataFrame, name: str) -> pd.Series[Any]:
    """A column as objects, missing values as None; all of them where there is no such column."""
    cells = rows[name].astype(object) if name in rows else pd.Series([None] * len(rows), dtype=object)
    return cells.mask(cells.isna(), None)


def _column(feed: str, name: str, before: pd.DataFrame, after: pd.DataFrame, revised: int) -> ColumnChange:
    return ColumnChange(
        feed=feed,
        name=name,
        kind_before=_kind(before, name),
        kind_after=_kind(after, name),
        revised=revised,
        missing_before=int(_cells(before, name).isna().sum()),
        missing_after=int(_cells(after, name).isna().sum()),
        median_before=_median(before, name),
        median_after=_median(after, name),
    )


def _kind(rows: pd.DataFrame, name: str) -> str:
    if name not in rows:
        return ""
    field = content.canonical(rows[[name]]).schema.field(name)
    return content.KINDS[str(field.type)].removeprefix("a ").removeprefix("an ")


def _median(rows: pd.DataFrame, name: str) -> float | None:
    if name not in rows or not pd.api.types.is_numeric_dtype(rows[name]):
        return None
    values = rows[name].dropna()
    return None if values.empty or pd.api.types.is_bool_dtype(values) else float(values.median())
