"""What serves: promoting a bundle, rolling back, and reading who the champion is.

Nothing becomes a champion before its signature, its digests and its golden rows were checked right then.
Only `status` is meant to be quick: it reads ledgers and folder names, and loads no model.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.errors import LedgerError
from perennial.live import ledger, shelf
from perennial.live.ledger import Entry, Facts
from perennial.live.shelf import history as history
from perennial.live.shelf import versions as versions

if TYPE_CHECKING:
    from perennial.evidence import BundleReference, Decision
    from perennial.live.bundle import Bundle


@dataclass(frozen=True)
class Status:
    """What serves for one system.

    `waiting` is the newest bundle version, where it was never released; `problem` says why the ledger cannot
    be read, or that the champion's bundle is gone ("" where all is well).
    """

    system: str
    version: str | None
    since: datetime | None
    who: str | None
    entries: int
    waiting: str | None
    problem: str = ""

    @property
    def sentence(self) -> str:
        """The row for people."""
        if self.problem:
            return self.problem
        waiting = f"; {self.waiting} is packaged, not released" if self.waiting else ""
        if self.version is None or self.since is None:
            return f"nothing released{waiting}"
        serves = f"{self.version} serves since {self.since:%Y-%m-%d %H:%M} UTC, by {self.who}"
        return f"{serves}, ledger entry {self.entries}{waiting}"


def promote(
    releases: Path,
    system: str,
    bundle: BundleReference | str,
    decision: Decision,
    expected_head: int,
    public_key: Path,
    now: datetime,
    who: str | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Entry:
    """The entry that makes a bundle the champion; the present one where the very same bundle serves already.

    `bundle` is its reference or its version; `expected_head` the number of ledger entries when the decision
    was made. `evidence` (JSON values; NaN becomes null) is kept beside the decision. `who` defaults to
    `whoami()`.

    Raises:
        LedgerError: the decision was against it, the version is barred, or the ledger is broken.
        StalePromotionError: another promotion or rollback came first.
        BundleError: the bundle is damaged, unsigned, or answers its golden rows wrongly.
        UnknownNameError: there is no such version.
    """
    if not decision.promote:
        against = " ".join(decision.sentences(passed=False))
        raise LedgerError(f"{system}: expected a decision to promote, found one against it: {against}")
    past = history(releases, system)
    current = ledger.champion(past)
    opened = shelf.challenger(releases, system, bundle, public_key)
    if len(past) == expected_head and current is not None and _is_same(current, opened):
        return current
    barred = ledger.barred(past)
    identities = {e.facts.bundle_identity for e in past if e.facts.version in barred}
    if opened.manifest.version in barred or opened.manifest.identity in identities:
        raise LedgerError(
            f"{system}: expected a version that was not rolled back from, found {opened.manifest.version}; "
            "train a new one, or promote this one by hand with --version and --reason"
        )
    facts = _facts(
        "promotion",
        opened,
        current,
        now,
        who,
        decision.sentences(passed=True),
        evidence or {},
    )
    return ledger.append(shelf.store(releases, system), facts, expected_head)


def promote_by_hand(
    releases: Path,
    system: str,
    version: str,
    public_key: Path,
    now: datetime,
    reason: str,
    who: str | None = None,
) -> Entry:
    """The entry that makes a version the champion because a person says so, even one that is barred.

    Its signature, digests and golden rows are checked as ever. Raises as `promote` does.
    """
    past = history(releases, system)
    current = ledger.champion(past)
    opened = shelf.challenger(releases, system, version, public_key)
    if current is not None and _is_same(current, opened):
        raise _serves_already(system, version)
    facts = _facts("promotion", opened, current, now, who, (reason,), {"by_hand": True})
    return ledger.append(shelf.store(releases, system), facts, len(past))


def rollback(
    releases: Path,
    system: str,
    to: str | None,
    public_key: Path,
    now: datetime,
    reason: str,
    who: str | None = None,
) -> Entry:
    """The entry that brings an earlier release back: version `to`, or the one before the champion.

    Its golden rows are replayed first. The version rolled back from is barred from automatic promotion.

    Raises:
        LedgerError: there is no release to go back to, or the ledger is broken.
        UnknownNameError: `to` was never released.
        BundleError: the target does not load or answers its golden rows wrongly any more.
        StalePromotionError: another promotion or rollback came first.
    """
    from perennial.live.load import load_predictor

    past = history(releases, system)
    current = ledger.champion(past)
    if current is None:
        raise LedgerError(f"{system}: expected a release to roll back from, found none; promote one first")
    opened = shelf.released(releases, _target(past, current, to), public_key)
    load_predictor(opened)
    facts = _facts(
        "rollback",
        opened,
        current,
        now,
        who,
        (reason,),
        {"golden_rows": len(opened.golden["rows"])},
        barred=(current.facts.version,),
    )
    return ledger.append(shelf.store(releases, system), facts, len(past))


def champion_bundle(releases: Path, system: str, public_key: Path) -> Bundle | None:
    """The champion's bundle, checked against its signature and the ledger; None where there is no release."""
    entry = ledger.champion(history(releases, system))
    return None if entry is None else shelf.released(releases, entry, public_key)


def released_bundle(releases: Path, system: str, version: str, public_key: Path) -> Bundle:
    """The bundle of a version that was released; raises UnknownNameError or BundleError."""
    entry = shelf.release_entry(history(releases, system), system, version)
    return shelf.released(releases, entry, public_key)


def status(releases: Path) -> list[Status]:
    """What serves, a row per system, sorted by name; a broken ledger is told in its row."""
    folders = sorted(p for p in releases.iterdir() if p.is_dir()) if releases.is_dir() else []
    return [
        _status(releases, folder.name)
        for folder in folders
        if (folder / "ledger").is_dir() or (folder / "bundles").is_dir()
    ]


def whoami() -> str:
    """user@host of this process, for the ledger."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _status(releases: Path, system: str) -> Status:
    try:
        past = history(releases, system)
    except LedgerError as error:
        return Status(system, None, None, None, 0, None, str(error))
    released = {e.facts.version for e in past}
    waiting = next((v for v in versions(releases, system)[-1:] if v not in released), None)
    entry = ledger.champion(past)
    if entry is None:
        return Status(system, None, None, None, len(past), waiting)
    if entry.facts.version not in versions(releases, system):
        gone = f"the bundle of the champion {entry.facts.version} is gone; {shelf.GONE}"
        return Status(system, None, None, None, len(past), waiting, gone)
    return Status(system, entry.facts.version, entry.facts.at, entry.facts.who, len(past), waiting)


def _target(past: Sequence[Entry], current: Entry, to: str | None) -> Entry:
    """The entry of the version to roll back to."""
    system, serving = current.facts.system, current.facts.version
    if to is None:
        before = ledger.previous(past)
        if before is None:
            raise LedgerError(
                f"{system}: expected a release before {serving} to go back to, found none; "
                "name a released version with --to, or train a new one"
            )
        return before
    target = shelf.release_entry(past, system, to)
    if to == serving:
        raise _serves_already(system, to)
    return target


def _facts(
    kind: str,
    opened: Bundle,
    current: Entry | None,
    now: datetime,
    who: str | None,
    reasons: Sequence[str],
    evidence: Mapping[str, Any],
    barred: tuple[str, ...] = (),
) -> Facts:
    return Facts(
        system=opened.manifest.system,
        kind=kind,
        version=opened.manifest.version,
        bundle_digest=opened.digest,
        bundle_identity=opened.manifest.identity,
        from_version=current.facts.version if current else None,
        at=now,
        who=who or whoami(),
        reasons=tuple(reasons),
        evidence=json.loads(json.dumps(evidence), parse_constant=lambda _: None),
        barred=barred,
    )


def _is_same(current: Entry, opened: Bundle) -> bool:
    facts = current.facts
    return (facts.version, facts.bundle_digest) == (opened.manifest.version, opened.digest)


def _serves_already(system: str, version: str) -> LedgerError:
    return LedgerError(f"{system}: expected a version that does not serve now, found {version}, the champion")
