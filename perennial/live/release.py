"""What serves: promoting a bundle, rolling back, and reading who the champion is.

Nothing becomes a champion before its signature, its digests and its golden rows were checked right then. What is
not released is kept in the ledger too, with the reasons.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.errors import LedgerError, StalePromotionError
from perennial.live import ledger, shelf
from perennial.live.ledger import Entry, Facts
from perennial.live.shelf import history as history
from perennial.live.shelf import versions as versions
from perennial.live.status import status as status

if TYPE_CHECKING:
    from perennial.evidence import BundleReference, Decision
    from perennial.live.bundle import Bundle


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
    was made: challengers that were refused since then change nothing. `evidence` (JSON values; NaN becomes null) is
    kept beside the decision. `who` defaults to `whoami()`.

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
    is_stale = len(past) < expected_head or ledger.serving(past[expected_head:])
    if not is_stale and current is not None and _is_same(current, opened):
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
    return ledger.append_after(shelf.store(releases, system), facts, expected_head)


def keep(
    releases: Path,
    challenger: Bundle,
    decision: Decision,
    now: datetime,
    who: str | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Entry:
    """The entry that says why a challenger was not released; what serves does not change.

    `evidence` is as for `promote`; the names of the rules that failed are added to it as `failed`. Whatever others
    add to the ledger meanwhile, the entry is written behind it.

    Raises:
        LedgerError: the decision was for the challenger, or the ledger is broken.
    """
    system = challenger.manifest.system
    if decision.promote:
        raise LedgerError(
            f"{system}: expected a decision against {challenger.manifest.version}, found one for it"
        )
    reasons, found = decision.sentences(passed=False), {**(evidence or {}), "failed": list(decision.failed)}
    while True:
        past = history(releases, system)
        facts = _facts(ledger.KEPT, challenger, ledger.champion(past), now, who, reasons, found)
        try:
            return ledger.append(shelf.store(releases, system), facts, len(past))
        except StalePromotionError:
            continue  # somebody was faster, and may have changed what serves


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
    return ledger.append_after(shelf.store(releases, system), facts, len(past))


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
    return ledger.append_after(shelf.store(releases, system), facts, len(past))


def champion_bundle(releases: Path, system: str, public_key: Path) -> Bundle | None:
    """The champion's bundle, checked against its signature and the ledger; None where there is no release."""
    entry = ledger.champion(history(releases, system))
    return None if entry is None else shelf.released(releases, entry, public_key)


def released_bundle(releases: Path, system: str, version: str, public_key: Path) -> Bundle:
    """The bundle of a version that was released; raises UnknownNameError or BundleError."""
    entry = shelf.release_entry(history(releases, system), system, version)
    return shelf.released(releases, entry, public_key)


def whoami() -> str:
    """user@host of this process, for the ledger."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


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
