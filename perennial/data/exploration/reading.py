"""Columns as an exploration sees them: their kind, their values where they can be read, and a named status."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.data.coerce import coerced
from perennial.data.exploration.histogram import Floats
from perennial.data.exploration.kinds import families, guessed, infinite, plain
from perennial.data.exploration.repeats import words
from perennial.live.report.text import count_text, share_text, shortened
from perennial.live.report.time_axis import EARLIEST_S, LATEST_S
from perennial.table import Column, Contract

FEWEST_SHOWN = 5
MOST_CATEGORIES = 500
NAME_LETTERS = 120

Kind = Literal["number", "integer", "category", "boolean", "time", "text", "id", "nested"]
Status = Literal["ok", "all missing", "constant", "mixed types", "too many categories", "failed"]
Codes = npt.NDArray[np.int64]
Positions = npt.NDArray[np.int64]

_ID_NAME = re.compile(r"(?i)(.*[_\W])?(id|key|uuid|guid|raw|hash|digest)")


@dataclass(frozen=True)
class ColumnStatus:
    """What became of a column, and that in one sentence."""

    name: str
    status: Status
    sentence: str


@dataclass(frozen=True)
class Seen:
    """One column as it was read; counts are of the sample unless said otherwise.

    Attributes:
        place: its position in the table.
        name: its name on the page, unique there.
        kind: what its values are taken for.
        rows: rows of the whole table.
        missing: missing values in the whole table.
        sampled: rows of the sample.
        status: what became of it.
        sentence: the status in words.
        unit: the unit of its numbers, "" where none is known.
        about: what the contract says about it.
        infinite: infinite numbers, and numbers too large for a float.
        unreadable: values that are not of the column's kind.
        distinct: different values that were read.
        numbers: numbers, or times in seconds since 1970 (UTC), NaN where none was read; shape (sampled,).
        codes: index in `labels` of every category or truth value, -1 where none was read; shape (sampled,).
        labels: the categories from the commonest to the rarest.
        lengths: letters of every text that was read.
    """

    place: int
    name: str
    kind: Kind
    rows: int
    missing: int
    sampled: int
    status: Status = "ok"
    sentence: str = ""
    unit: str = ""
    about: str = ""
    infinite: int = 0
    unreadable: int = 0
    distinct: int = 0
    numbers: Floats | None = None
    codes: Codes | None = None
    labels: tuple[str, ...] = ()
    lengths: Floats = field(default_factory=lambda: np.empty(0))

    @property
    def label_counts(self) -> Codes:
        """How many sampled rows have each label."""
        codes = np.empty(0, dtype=np.int64) if self.codes is None else self.codes
        return np.bincount(codes[codes >= 0], minlength=len(self.labels))

    @property
    def finite(self) -> Floats:
        """The numbers that were read, without gaps."""
        numbers = np.empty(0) if self.numbers is None else self.numbers
        return numbers[~np.isnan(numbers)]


def chosen(rows: int, most: int, seed: int) -> Positions:
    """The positions of at most so many rows, chosen at random, in rising order."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng([seed, most]).choice(rows, most, replace=False))


def display_names(names: Sequence[Any]) -> tuple[str, ...]:
    """The names as texts that differ: the second `x` becomes `x (2)`.

    >>> display_names(["x", 1, "x"])
    ('x', '1', 'x (2)')
    """
    shown: dict[str, None] = {}
    for name in names:
        text = shortened(str(name), NAME_LETTERS)
        number, unique = 2, text
        while unique in shown:
            unique, number = f"{text} ({number})", number + 1
        shown[unique] = None
    return tuple(shown)


def read(
    whole: pd.Series[Any], place: int, name: str, positions: Positions, contract: Contract | None
) -> Seen:
    """The column `whole` with its sampled rows read; whatever breaks on the way becomes the status `failed`."""
    missing = int(whole.isna().sum())
    blank = Seen(place, name, "text", len(whole), missing, len(positions))
    if missing == len(whole):
        known = _contracted(whole, contract)
        found = (
            f"no value in any of {count_text(len(whole), 'row')}" if len(whole) else "the table has no row"
        )
        return replace(
            blank,
            kind=known.kind if known else guessed(whole, families(whole)),
            status="all missing",
            sentence=found,
        )
    try:
        return _judged(_values(whole.iloc[positions], blank, _contracted(whole, contract)), whole)
    except Exception as failure:  # noqa: BLE001  a cell may hold any object, and its methods may raise anything
        found = f"could not be described ({type(failure).__name__}); only its missing values are counted"
        return replace(blank, status="failed", sentence=found)


def _contracted(whole: pd.Series[Any], contract: Contract | None) -> Column | None:
    return contract[str(whole.name)] if contract is not None and str(whole.name) in contract.names else None


def _values(values: pd.Series[Any], blank: Seen, known: Column | None) -> Seen:
    """The column with its kind and what could be read of it."""
    found = families(values)
    column = known or Column(blank.name, guessed(values, found), "")
    is_id = known.role == "id" if known else bool(_ID_NAME.fullmatch(str(values.name)))
    seen = replace(blank, kind=column.kind, unit=column.unit, about=column.description)
    if found and next(iter(found)) == "nested":
        return replace(seen, kind="nested", distinct=int(values.dropna().map(repr).nunique()))
    values = plain(values)
    clean, unreadable = coerced(values, column)
    endless = infinite(values) if column.is_numeric else np.zeros(len(values), dtype=bool)
    odd = int((unreadable & ~endless).sum())
    if known is None and len(found) > 1:
        odd = max(odd, sum(found.values()) - max(found.values()))
    seen = replace(seen, infinite=int(endless.sum()), unreadable=odd)
    if is_id and column.kind != "time":
        return replace(seen, kind="id", distinct=int(plain(values).map(repr)[values.notna()].nunique()))
    if column.is_numeric or column.kind == "time":
        numbers = _seconds(clean) if column.kind == "time" else clean.to_numpy(dtype=np.float64)
        return replace(seen, numbers=numbers, distinct=len(np.unique(numbers[~np.isnan(numbers)])))
    return _labelled(seen, clean, known)


def _labelled(seen: Seen, clean: pd.Series[Any], known: Column | None) -> Seen:
    """A column of texts or truth values as categories, or as texts where they are too many."""
    texts = clean.map({True: "true", False: "false"}) if seen.kind == "boolean" else clean
    counts = texts.value_counts()
    ranked = sorted(counts.index, key=lambda label: (-int(counts[label]), label))
    few = len(ranked) <= MOST_CATEGORIES and (known is not None or len(ranked) <= max(20, len(texts) / 2))
    if (seen.kind == "text" and known is not None) or not few:
        lengths = np.asarray(texts.dropna().str.len(), dtype=np.float64)
        return replace(
            seen,
            kind="text",
            distinct=len(ranked),
            lengths=lengths,
            status="ok" if known is not None and known.kind == "text" else "too many categories",
        )
    codes = pd.Categorical(texts, categories=ranked).codes.astype(np.int64)
    kind: Kind = "boolean" if seen.kind == "boolean" else "category"
    return replace(seen, kind=kind, distinct=len(ranked), codes=codes, labels=tuple(ranked))


def _judged(seen: Seen, whole: pd.Series[Any]) -> Seen:
    """The column with its status, the most serious one that holds."""
    present = seen.rows - seen.missing
    if seen.kind == "nested":
        return replace(
            seen,
            status="failed",
            sentence="holds nested values, which have no distribution; they are counted",
        )
    if seen.unreadable:
        found = f"{share_text(seen.unreadable, seen.sampled)} of the sampled values are no {_noun(seen.kind)}"
        return replace(seen, status="mixed types", sentence=found)
    if seen.infinite and not seen.distinct:
        return replace(seen, status="failed", sentence="holds no finite number")
    if seen.distinct == 1 and present > 1 and len(np.unique(words(whole)[whole.notna().to_numpy()])) == 1:
        where = "every row" if not seen.missing else f"all {present:,} rows that have one"
        return replace(seen, status="constant", sentence=f"the same value in {where}")
    if seen.status == "too many categories":
        found = (
            f"{seen.distinct:,} different texts in {count_text(seen.sampled, 'row')}; only counts are shown"
        )
        return replace(seen, sentence=found)
    if seen.missing and not seen.distinct and not seen.infinite:
        return replace(seen, sentence=f"none of its {count_text(present, 'value')} is in the sample")
    return replace(seen, sentence="described")


def _noun(kind: Kind) -> str:
    return {"boolean": "truth value", "category": "text", "integer": "whole number"}.get(kind, kind)


def _seconds(times: pd.Series[Any]) -> Floats:
    """Times as seconds since 1970 in UTC, shape (n,); NaN for none and outside the years 1 to 9999."""
    numbers = times.dt.as_unit("us").astype("int64").to_numpy().astype(np.float64) / 1e6
    outside = times.isna().to_numpy() | (numbers < EARLIEST_S) | (numbers > LATEST_S)
    return np.where(outside, np.nan, numbers)


def seconds(values: pd.Series[Any]) -> Floats:
    """All times of a column as seconds since 1970 in UTC, shape (n,); NaN where none can be read."""
    return _seconds(coerced(plain(values), Column("time", "time", ""))[0])
