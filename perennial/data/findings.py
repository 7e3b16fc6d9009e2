"""What a check has to say: about single rows that break a rule, and about a dataset as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from perennial.config import Checks
from perennial.data.coerce import Mask
from perennial.evidence import CheckFinding
from perennial.table import Column, Contract

GROSS_Z = 20.0
FEWEST_DISTINCT = 20

Severity = Literal["note", "warning", "block"]


@dataclass(frozen=True, eq=False)
class Broken:
    """A rule of one column, and the rows that break it.

    Attributes:
        column: the column's name.
        rule: type, length, range, category or missing.
        expected: what the rule allows, in words.
        values: the column as it came, shape (n_rows,).
        rows: which rows break the rule, shape (n_rows,).
        blanked: whether the value was blanked; otherwise its row is rejected.
    """

    column: str
    rule: str
    expected: str
    values: pd.Series[Any]
    rows: Mask
    blanked: bool = False

    def reasons(self) -> Iterator[tuple[int, str]]:
        """The position of every row that breaks the rule, with a sentence."""
        for place in np.flatnonzero(self.rows).tolist():
            found = "none" if self.rule == "missing" else shown(self.values.iloc[place])
            yield place, f"{self.column}: expected {self.expected}, found {found}"

    def finding(self) -> CheckFinding:
        """The rule's line in the report: blocks if every row breaks it, warns if rows were lost."""
        count, total = int(self.rows.sum()), len(self.rows)
        severity: Severity = "block" if count == total else "note" if self.blanked else "warning"
        found = "none" if self.rule == "missing" else _samples(self.values[self.rows])
        outcome = "blanked" if self.blanked else "rejected"
        return CheckFinding(
            severity=severity,
            rule=self.rule,
            column=self.column,
            rows=count,
            message=f"{self.column}: expected {self.expected}, found {found} in {count:,} of {total:,} rows; "
            f"{outcome}",
        )


def dataset_findings(
    frame: pd.DataFrame, contract: Contract, rules: Checks, rows_in: int, given: set[str]
) -> list[CheckFinding]:
    """What is to be said about the accepted rows as a whole.

    Args:
        frame: the accepted rows, typed, with the id first.
        contract: their contract.
        rules: which shares are too large.
        rows_in: how many records there were before the bad ones were rejected.
        given: the columns that the records had.
    """
    findings = [*_size_findings(frame, rules, rows_in)]
    if len(frame):
        for column in contract.columns:
            if column.role in ("feature", "target") and column.name in given:
                findings += _column_findings(frame[column.name], column, rules)
    return findings


def gross_outliers(values: pd.Series[Any]) -> Mask:
    """Which values are more than `GROSS_Z` robust standard deviations from the median, shape (n_rows,).

    The scale is 1.4826 times the median absolute deviation, or 1.2533 times the mean absolute deviation where
    more than half of the values are equal (Iglewicz and Hoaglin 1993). A column of fewer than
    `FEWEST_DISTINCT` distinct values has none: a rare code is no outlier.
    """
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    known = numbers[np.isfinite(numbers)]
    if len(np.unique(known)) < FEWEST_DISTINCT:
        return np.zeros(len(numbers), dtype=bool)
    distances = np.abs(numbers - np.median(known))
    spread = np.abs(known - np.median(known))
    scale = 1.4826 * np.median(spread) or 1.2533 * np.mean(spread)
    return np.asarray(np.nan_to_num(distances, nan=0.0) > GROSS_Z * scale, dtype=bool)


def shown(value: Any) -> str:
    """A value as it stands in a message: quoted if it is text, shortened if it is long."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _size_findings(frame: pd.DataFrame, rules: Checks, rows_in: int) -> Iterator[CheckFinding]:
    rows, lost = len(frame), rows_in - len(frame)
    if rows < rules.min_rows:
        message = f"expected at least {rules.min_rows:,} usable rows (checks.min_rows), found {rows:,}"
        yield CheckFinding(severity="block", rule="rows", column="", rows=rows, message=message)
    if lost > rules.max_quarantined * rows_in:
        message = (
            f"expected at most {rules.max_quarantined:.1%} of the rows to be rejected "
            f"(checks.max_quarantined), found {lost:,} of {rows_in:,}"
        )
        yield CheckFinding(severity="block", rule="rejected", column="", rows=lost, message=message)
    repeats = int(frame.iloc[:, 0].duplicated().sum())
    if repeats:
        too_many = repeats > rules.max_repeats * rows
        limit = f"expected at most {rules.max_repeats:.1%} (checks.max_repeats), " if too_many else ""
        message = (
            f"{limit}found {repeats:,} of {rows:,} rows that repeat another one; kept on one side of a split"
        )
        severity: Severity = "block" if too_many else "note"
        yield CheckFinding(severity=severity, rule="duplicates", column="", rows=repeats, message=message)


def _column_findings(values: pd.Series[Any], column: Column, rules: Checks) -> Iterator[CheckFinding]:
    name, rows, missing = column.name, len(values), int(values.isna().sum())

    def finding(severity: Severity, rule: str, count: int, message: str) -> CheckFinding:
        return CheckFinding(
            severity=severity, rule=rule, column=name, rows=count, message=f"{name}: {message}"
        )

    if missing == rows:
        yield finding("block", "empty", rows, f"expected values, found none in {rows:,} rows")
        return
    if missing > rules.max_missing * rows:
        limit = f"expected at most {rules.max_missing:.1%} missing (checks.max_missing)"
        yield finding("block", "missing share", missing, f"{limit}, found {missing:,} of {rows:,} rows")
    if values.nunique() == 1:
        severity: Severity = "block" if column.role == "target" else rules.constant
        value = shown(values.dropna().iloc[0])
        yield finding(
            severity, "constant", rows - missing, f"expected values that differ, found only {value}"
        )
    if column.is_numeric:
        gross = gross_outliers(values)
        if gross.any():
            told = f"found {int(gross.sum()):,} values far from the others: {_samples(values[gross])}"
            yield finding("note", "outliers", int(gross.sum()), f"{told}; kept")


def _samples(values: pd.Series[Any]) -> str:
    """Up to three different values, and dots where there are more."""
    distinct = list(dict.fromkeys(shown(v) for v in values.iloc[:1000]))
    return ", ".join(distinct[:3] + ["..."] * (len(distinct) > 3))
