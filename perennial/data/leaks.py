"""Every search for columns that know what could not be known, as findings of the check report."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from perennial.config import Checks
from perennial.data.foresight import Prepare, foresight
from perennial.data.tells import tells
from perennial.evidence import CheckFinding, CheckReport
from perennial.learn.copies import copies
from perennial.learn.leaks import suspects
from perennial.table import Table

SEVERITIES = ("block", "warning", "note")


def with_leaks(
    report: CheckReport,
    records: pd.DataFrame,
    rows: pd.DataFrame,
    prepare: Prepare,
    table: Table,
    rules: Checks,
    seed: int,
) -> CheckReport:
    """The report with a finding `leak` per column that knows too much; as it is where it blocks anyway.

    Args:
        report: what the other checks found.
        records: all records of the dataset.
        rows: what `prepare` makes of them.
        prepare: the plugin's function of records alone; it is run again on other records.
        table: the rows that passed the checks.
        rules: the checks section: what a leak does, and which columns may look like one.
        seed: swaps later records and draws rows.
    """
    if report.blocking:
        return report
    found = sorted(
        [*report.findings, *_leaks(records, rows, prepare, table, rules, seed)],
        key=lambda finding: SEVERITIES.index(finding.severity),
    )
    return report.model_copy(update={"findings": tuple(found)})


def _leaks(
    records: pd.DataFrame, rows: pd.DataFrame, prepare: Prepare, table: Table, rules: Checks, seed: int
) -> Iterator[CheckFinding]:
    def leak(column: str, count: int, message: str) -> CheckFinding:
        allowed = column in rules.allowed_leaks
        told = (
            "allowed in checks.allowed_leaks" if allowed else "drop it, or explain it in checks.allowed_leaks"
        )
        severity = "note" if allowed else rules.leaks
        return CheckFinding(
            severity=severity, rule="leak", column=column, rows=count, message=f"{message}; {told}"
        )

    ahead = foresight(records, rows, prepare, table.contract, seed)
    for changed in ahead.changed:
        yield leak(changed.column, changed.rows, changed.sentence)
    for sentence in ahead.untold:
        yield CheckFinding(severity="note", rule="leak", column="", rows=0, message=f"leaks: {sentence}")
    for tell in tells(table):
        message = f"{tell.column}: expected what is known when a row is predicted, found {tell.sentence}"
        yield leak(tell.column, tell.rows, message)
    unit = f" {table.contract.target.unit}" if table.contract.target.unit not in ("", "1") else ""
    found = suspects(table, seed)
    for one in found:
        message = (
            f"{one.column}: expected a feature among others, found one that alone predicts "
            f"{table.contract.target.name} with an error of {one.alone:.3g}{unit}, where the best baseline has "
            f"{one.baseline:.3g} and other features together {one.others:.3g}: it looks like a copy of the target"
        )
        yield leak(one.column, len(table), message)
    named = {one.column for one in found}
    for copy in copies(table, seed):
        if copy.column not in named:
            message = (
                f"{copy.column}: expected a feature that has to do with other features, found one of which they say "
                f"{copy.owed:.1%} once {table.contract.target.name} is known, while that says {copy.said:.0%} of "
                "what they leave open: it looks like a copy of the target with noise"
            )
            yield leak(copy.column, len(table), message)
