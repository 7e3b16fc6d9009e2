"""Two versions of a system side by side: what each was made from, what it measured, and how it answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from perennial.errors import InputError, UnknownNameError
from perennial.evidence import Comparison, Metric
from perennial.live import ledger
from perennial.live.replies import Replies, replies, why_apart
from perennial.live.report.text import count_text, interval_text, metric_text
from perennial.live.settings import Change, changes
from perennial.live.versions import Version, Versions
from perennial.table import Column, Contract

NAMES = ("champion", "latest", "previous")


@dataclass(frozen=True)
class ColumnChange:
    """A column of the contract that is not the same: `how` is added, removed or changed, `fields` what changed."""

    name: str
    how: str
    fields: tuple[Change, ...]


@dataclass(frozen=True)
class SideBySide:
    """Versions A and B of one system.

    Attributes:
        system: whose versions they are.
        a: the first version.
        b: the second one.
        settings: the config keys that differ; None where a bundle does not hold its config.
        parameters: the parameters of the models that differ.
        environment: the packages whose version differs.
        columns: the columns of the contracts that differ.
        metrics: every metric's name with the values of both, None where one was not measured by it.
        same_rows: whether both were measured on the same hold-out rows, so that metrics compare.
        paired: what the ledger holds of the two on the same unseen rows, from the day when one challenged the other,
            or a version that holds the same model.
        apart: why they cannot answer the same rows; "" where they can.
        replies: how both answer each other's golden rows.
    """

    system: str
    a: Version
    b: Version
    settings: tuple[Change, ...] | None
    parameters: tuple[Change, ...]
    environment: tuple[Change, ...]
    columns: tuple[ColumnChange, ...]
    metrics: tuple[tuple[str, Metric | None, Metric | None], ...]
    same_rows: bool
    paired: Comparison | None
    apart: str
    replies: tuple[Replies, ...]


def find(found: Versions, name: str) -> Version:
    """The version called `name`: v3, 3, what only one begins with, or one of `NAMES` (see `run.py compare`).

    Raises:
        UnknownNameError: there is no such version.
        InputError: several versions begin like that, or none is the champion or the one before it.
    """
    known = {version.name: version for version in found.known}
    if name in ("champion", "previous"):
        return known[_released(found, name, known)]
    if name == "latest" and found.newest is not None:
        return found.newest
    full = f"v{name}" if name.isdecimal() else name
    alike = [full] if full in known else [v for v in known if name and v.startswith(full)]
    if not alike:
        raise UnknownNameError(f"version of {found.system}", name, [*known, *NAMES])
    if len(alike) > 1:
        raise InputError(
            f"expected what one version of {found.system} begins with, found {name!r}, with which "
            f"{', '.join(alike)} do; write more of it"
        )
    return known[alike[0]]


def _released(found: Versions, name: str, known: Collection[str]) -> str:
    """The version that serves (`champion`), or the one that served before it (`previous`)."""
    entry = (ledger.champion if name == "champion" else ledger.previous)(found.history)
    if entry is not None and entry.facts.version in known:
        return entry.facts.version
    missing = "none" if entry is None else f"that the bundle of {entry.facts.version} cannot be read"
    raise InputError(
        f"{found.system}: expected a version that is the {name}, found {missing}; name one of "
        f"{', '.join(known) or 'none'}"
    )


def side_by_side(system: str, a: Version, b: Version) -> SideBySide:
    """What differs between two versions, with both models loaded to answer each other's golden rows.

    Raises:
        BundleError: one of them is damaged, or answers its own golden rows wrongly.
    """
    ours, theirs = a.settings, b.settings
    apart = why_apart(a.bundle, b.bundle)
    first, second = a.bundle.manifest, b.bundle.manifest
    return SideBySide(
        system=system,
        a=a,
        b=b,
        settings=None if ours is None or theirs is None else changes(ours, theirs),
        parameters=changes(first.parameters, second.parameters),
        environment=changes(first.environment, second.environment),
        columns=_columns(a.bundle.contract, b.bundle.contract),
        metrics=_metrics(a, b),
        same_rows=a.holdout == b.holdout,
        paired=_paired(a, b),
        apart=apart,
        replies=() if apart else replies(a.bundle, b.bundle),
    )


def paired_verdict(found: SideBySide) -> str:
    """What is known of the two on the same unseen rows, in one sentence."""
    if (compared := found.paired) is not None:
        other = next(v for v in (found.b, found.a) if v.name != compared.a)
        same = "" if compared.b == other.name else f", the same model as {other.name}"
        when = f"When {compared.a} challenged {compared.b}{same}"
        if compared.verdict == "not enough data":
            return f"{when}, {count_text(compared.rows, 'row')} had been seen by neither: {compared.verdict}."
        unit = "" if compared.unit in ("", "1") else f" {compared.unit}"
        by = interval_text(compared.difference, compared.low, compared.high)
        rows = f"{count_text(compared.rows, 'row')} that neither was fitted on"
        return f"{when}, it was {compared.verdict}: {metric_text(compared.loss)} differed by {by}{unit} on {rows}."
    if found.a.name == found.b.name:
        return f"{found.a.name} is one and the same version."
    if found.same_rows:
        told = "Both were measured on the same hold-out rows"
        return f"{told}, but never paired row by row: neither challenged the other."
    told = "Neither challenged the other, and they were measured on different hold-out rows"
    return f"{told}: their metrics do not say which one is better."


def _paired(a: Version, b: Version) -> Comparison | None:
    for challenger, champion in ((b, a), (a, b)):
        compared = challenger.against_champion
        if compared is not None and compared.b in (champion.name, *champion.alike):
            return compared
    return None


def _metrics(a: Version, b: Version) -> tuple[tuple[str, Metric | None, Metric | None], ...]:
    ours, theirs = ({m.name: m for m in v.evaluation.metrics} for v in (a, b))
    return tuple((name, ours.get(name), theirs.get(name)) for name in dict.fromkeys((*ours, *theirs)))


def _columns(a: Contract, b: Contract) -> tuple[ColumnChange, ...]:
    ours, theirs = ({c.name: c for c in contract.columns} for contract in (a, b))
    found = []
    for name in dict.fromkeys((*ours, *theirs)):
        if name not in theirs or name not in ours:
            found.append(ColumnChange(name, "removed" if name in ours else "added", ()))
        elif different := changes(_fields(ours[name]), _fields(theirs[name])):
            found.append(ColumnChange(name, "changed", different))
    return tuple(found)


def _fields(column: Column) -> Mapping[str, Any]:
    """The fields of a column that say something; those that say nothing are left out."""
    values = {field.name: getattr(column, field.name) for field in fields(column)}
    return {name: value for name, value in values.items() if value not in (None, (), "")}
