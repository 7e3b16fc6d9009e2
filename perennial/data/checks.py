"""Is the data fit for training? Every rule that it breaks is found at once; bad rows are put aside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from perennial.config import Checks
from perennial.data.coerce import Mask, coerced
from perennial.data.findings import Broken, Severity, dataset_findings
from perennial.data.ids import row_ids
from perennial.errors import CheckError
from perennial.evidence import CheckFinding, CheckReport
from perennial.live.files import write_atomic
from perennial.table import Column, Contract, Table

SEVERITIES = ("block", "warning", "note")
LONGEST_TEXT = 1_000
"""Characters. A longer cell is a torn file or a whole page, and as a category would be in every bundle."""
EXPECTED = {
    "number": "a finite number",
    "integer": "a whole number",
    "category": "a text",
    "text": "a text",
    "boolean": "true or false",
    "time": "a time in ISO 8601",
}


@dataclass(frozen=True)
class Checked:
    """The rows that passed, what was found, and the rows that did not pass.

    `rejected` holds those records as they came, under the contract's names, with two columns before them:
    `source_row` (1 for the first record) and `reason` (every rule that the row broke).
    """

    table: Table
    report: CheckReport
    rejected: pd.DataFrame


def check(records: pd.DataFrame, contract: Contract, rules: Checks) -> Checked:
    """The rows of `records` that are possible under `contract`, in its types and in their order.

    A value that cannot be read, or is missing where it must not be, costs the row; so does a value outside
    its range or its closed list of categories, unless its column says `blank`: then it becomes missing.
    Exact repeats are kept. Records without an id get one from the content of features and target, so
    that exact repeats share it. The contract is passed on as it is; it is fitted to training rows later.

    Nothing is raised for bad data: see `require`.
    """
    named, findings = _named(records, contract, rules)
    columns: dict[str, pd.Series[Any]] = {}
    broken: list[Broken] = []
    for column in contract.columns:
        present = column.name in named
        values = named[column.name] if present else pd.Series(np.nan, index=named.index, dtype=object)
        columns[column.name], found = _checked(values, column)
        broken += found if present else []
    rejecting = [b for b in broken if not b.blanked]
    is_bad = np.logical_or.reduce([np.zeros(len(named), dtype=bool), *(b.rows for b in rejecting)])
    frame = _typed(pd.DataFrame(columns)[~is_bad].reset_index(drop=True), contract, set(named.columns))
    findings += [b.finding() for b in broken]
    findings += dataset_findings(frame, contract, rules, len(named), set(named.columns))
    report = CheckReport(
        rows_in=len(named),
        rows_out=len(frame),
        quarantined=int(is_bad.sum()),
        duplicates=int(frame.iloc[:, 0].duplicated().sum()),
        findings=tuple(sorted(findings, key=lambda f: SEVERITIES.index(f.severity))),
    )
    return Checked(Table(frame, contract), report, _rejected(named, is_bad, rejecting))


def require(report: CheckReport, source: str = "") -> None:
    """Raises CheckError with everything that blocks training; does nothing where nothing does.

    `source` is the file that the records came from, where there is one; the error names it.
    """
    if report.blocking:
        raise CheckError(
            [f.message for f in report.blocking], report.quarantine_path or "not written", source
        )


def write_quarantine(rejected: pd.DataFrame, path: Path) -> Path:
    """The Parquet file at `path`, which now holds the rejected rows, all of them or (if killed) none.

    Numbers stay numbers; every other value is written as text, because nothing is known about its type.
    """
    plain = {
        name: rejected[name]
        if pd.api.types.is_numeric_dtype(rejected[name])
        else rejected[name].astype(object).map(str, na_action="ignore").astype("string")
        for name in rejected.columns
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, pd.DataFrame(plain).to_parquet(None, compression="zstd", index=False))
    return path


def quarantine(checked: Checked, path: Path) -> CheckReport:
    """The report, naming the file at `path` that holds the rejected rows; no file where there are none."""
    if checked.rejected.empty:
        return checked.report
    write_quarantine(checked.rejected, path)
    return checked.report.model_copy(update={"quarantine_path": str(path)})


def _named(
    records: pd.DataFrame, contract: Contract, rules: Checks
) -> tuple[pd.DataFrame, list[CheckFinding]]:
    """The records under the contract's own names, and what is wrong with the names."""
    own = contract.names
    names = [own.get(str(name), str(name)) for name in records.columns]
    findings: list[CheckFinding] = []

    def note(severity: Severity, rule: str, column: str, message: str) -> None:
        findings.append(
            CheckFinding(severity=severity, rule=rule, column=column, rows=len(records), message=message)
        )

    for name in sorted({name for name in names if names.count(name) > 1}):
        told = f"{name}: expected one column under this name or its aliases, found {names.count(name)}"
        note("block", "name", name, told)
    for name in sorted(set(names) - set(own.values())):
        note(rules.new_columns, "new", name, f"{name}: a new column that the contract does not know")
    for column in contract.columns:
        if column.role != "id" and column.name not in names:
            known = " or ".join((column.name, *column.aliases))
            told = f"{column.name}: expected a column called {known}, found none"
            note("block", "absent", column.name, told)
    first = [place for place, name in enumerate(names) if name not in names[:place]]
    named = records.iloc[:, first].set_axis([names[place] for place in first], axis="columns")
    return named.reset_index(drop=True), findings


def _checked(values: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], list[Broken]]:
    """One column in the contract's type, impossible values blanked where it says so, and the broken rules."""
    clean, unreadable = coerced(values, column)
    broken = [Broken(column.name, "type", EXPECTED[column.kind], values, unreadable)]
    if column.kind in ("category", "text"):
        long = np.array([isinstance(v, str) and len(v) > LONGEST_TEXT for v in clean], dtype=bool)
        expected = f"at most {LONGEST_TEXT:,} characters"
        broken.append(Broken(column.name, "length", expected, values, long))
    impossible = np.zeros(len(values), dtype=bool)
    blanked = column.impossible == "blank"
    if column.is_numeric and (column.minimum is not None or column.maximum is not None):
        low = -np.inf if column.minimum is None else column.minimum
        high = np.inf if column.maximum is None else column.maximum
        impossible = ((clean < low) | (clean > high)).to_numpy()
        broken.append(Broken(column.name, "range", column.range_text(), values, impossible, blanked))
    elif column.kind == "category" and column.categories:
        impossible = (clean.notna() & ~clean.isin(column.categories)).to_numpy()
        listed = f"one of {', '.join(column.categories)}"
        broken.append(Broken(column.name, "category", listed, values, impossible, blanked))
    if blanked:
        clean = clean.mask(impossible)
    if not column.nullable:
        missing = clean.isna().to_numpy() & ~unreadable
        broken.append(Broken(column.name, "missing", "a value", values, missing))
    return clean, [b for b in broken if b.rows.any()]


def _typed(frame: pd.DataFrame, contract: Contract, given: set[str]) -> pd.DataFrame:
    """The accepted rows, id first, whole numbers and booleans in their own type where none is missing."""
    identity = contract.of_role("id").name
    narrow: dict[Any, Any] = {
        c.name: "int64" if c.kind == "integer" else "bool"
        for c in contract.columns
        if c.kind in ("integer", "boolean") and c.name in given and frame[c.name].notna().all()
    }
    typed = frame.astype(narrow)
    if identity not in given:
        content = [c.name for c in contract.columns if c.role in ("feature", "target")]
        typed = typed.assign(**{identity: row_ids(typed, content)})
    return typed[[identity, *(name for name in typed.columns if name != identity)]]


def _rejected(named: pd.DataFrame, is_bad: Mask, rejecting: list[Broken]) -> pd.DataFrame:
    """The bad records with their source row and every reason."""
    reasons: dict[int, list[str]] = {place: [] for place in np.flatnonzero(is_bad).tolist()}
    for rule in rejecting:
        for place, reason in rule.reasons():
            reasons[place].append(reason)
    rows = named[is_bad].rename(columns={n: f"{n} (record)" for n in ("source_row", "reason")})
    rows.insert(0, "source_row", np.flatnonzero(is_bad) + 1)
    rows.insert(1, "reason", pd.Series(["; ".join(r) for r in reasons.values()], rows.index, dtype=object))
    return rows.reset_index(drop=True)
