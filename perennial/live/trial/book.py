"""Trials in the ledger: which challenger answers beside the champion, whom, and since when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from perennial.errors import BundleError, InputError, LedgerError
from perennial.live import ledger, release, shelf
from perennial.live.ledger import Entry, Facts
from perennial.live.trial.assign import arm_of
from perennial.live.trial.fit import misfits

if TYPE_CHECKING:
    from perennial.live.bundle import Bundle

Mode = Literal["split", "shadow"]

STARTED, STOPPED = "trial", "trial_stopped"
CHAMPION, CHALLENGER, SHADOW = "champion", "challenger", "shadow"
"""The arms of a trial, as the journal names them."""


@dataclass(frozen=True)
class Trial:
    """Two released-or-not bundles on trial at once.

    Attributes:
        name: what tells this trial from others; it salts who is in which arm.
        mode: `split` lets the challenger answer its share of the units, `shadow` lets it answer beside the champion,
            unheard.
        champion: the version that serves.
        challenger: the version on trial.
        challenger_digest: the digest of its bundle.
        share: the share of units that the challenger answers, or answers beside the champion, above 0 and up to 1.
        number: the ledger entry that began it.
        since: when it began.
    """

    name: str
    mode: Mode
    champion: str
    challenger: str
    challenger_digest: str
    share: float
    number: int
    since: datetime

    @property
    def shares(self) -> dict[str, float]:
        """The share of units of every arm that answers."""
        return {CHAMPION: 1.0 - self.share, CHALLENGER: self.share}

    def tries(self, unit: str) -> bool:
        """Whether the challenger answers a unit: instead of the champion, or in shadow beside it."""
        return self.share >= 1.0 or arm_of(unit, self.name, self.shares) == CHALLENGER


def current(history: Sequence[Entry]) -> Trial | None:
    """The trial that runs now; None after it was stopped, or something else was released."""
    for entry in reversed(history):
        if entry.facts.kind == STOPPED or entry.facts.kind in ledger.SERVING_KINDS:
            return None
        if entry.facts.kind == STARTED:
            return of(entry)
    return None


def latest(history: Sequence[Entry]) -> tuple[Trial, datetime | None] | None:
    """The newest trial and when it ended (None while it runs); None where there never was one."""
    ended = None
    for entry in reversed(history):
        if entry.facts.kind == STARTED:
            return of(entry), ended
        if entry.facts.kind == STOPPED or entry.facts.kind in ledger.SERVING_KINDS:
            ended = entry.facts.at
    return None


def of(entry: Entry) -> Trial:
    """The trial that an entry began."""
    facts, found = entry.facts, entry.facts.evidence
    return Trial(
        name=str(found["name"]),
        mode=cast(Mode, found["mode"]),
        champion=facts.from_version or "",
        challenger=facts.version,
        challenger_digest=facts.bundle_digest,
        share=float(found["share"]),
        number=entry.number,
        since=facts.at,
    )


def start(
    releases: Path,
    system: str,
    version: str,
    mode: Mode,
    share: float,
    public_key: Path,
    now: datetime,
    reason: str,
    who: str | None = None,
    against: Callable[[Bundle, Bundle], list[str]] = misfits,
) -> Trial:
    """Begins a trial of a bundle beside the champion; its signature, digests and golden rows are checked first.

    `against` says what stands against a trial of champion and challenger, a phrase each.

    Raises:
        InputError: the share is not above 0, or not below 1 in a split; or the challenger cannot answer what the
            champion is asked.
        LedgerError: there is no champion, a trial runs already, or the version serves now.
        UnknownNameError: there is no such version.
        BundleError: the bundle is damaged, unsigned or answers wrongly.
        StalePromotionError: somebody else's release came first.
    """
    top = "up to 1" if mode == "shadow" else "below 1"
    if not (0.0 < share < 1.0 or (mode == "shadow" and share == 1.0)):
        raise InputError(f"expected a share above 0 and {top}, found {share:g}")
    past = shelf.history(releases, system)
    serving = ledger.champion(past)
    if serving is None:
        raise LedgerError(
            f"{system}: expected a champion to try {version} against, found none; promote one first"
        )
    if found := current(past):
        raise LedgerError(
            f"{system}: expected no trial to run, found {found.name} of {found.challenger}; stop it first"
        )
    opened = shelf.challenger(releases, system, version, public_key)
    if opened.digest == serving.facts.bundle_digest:
        raise LedgerError(
            f"{system}: expected a version that does not serve now, found {version}, the champion"
        )
    if misfit := against(shelf.released(releases, serving, public_key), opened):
        raise InputError(
            f"{system}: expected {version} to answer what {serving.facts.version} is asked, found that "
            f"{', that '.join(misfit)}; train it for the same question"
        )
    facts = Facts(
        system=system,
        kind=STARTED,
        version=version,
        bundle_digest=opened.digest,
        bundle_identity=opened.manifest.identity,
        from_version=serving.facts.version,
        at=now,
        who=who or release.whoami(),
        reasons=(reason,),
        evidence={"name": f"{system}-{len(past) + 1}", "mode": mode, "share": share},
    )
    return of(ledger.append_after(shelf.store(releases, system), facts, len(past)))


def running(releases: Path, system: str) -> Trial:
    """The trial that runs; raises LedgerError where none does."""
    return _running(shelf.history(releases, system), system)


def stop(releases: Path, system: str, now: datetime, reason: str, who: str | None = None) -> Trial:
    """Ends the trial that runs; the champion answers all again. Raises LedgerError where none runs."""
    past = shelf.history(releases, system)
    trial = _running(past, system)
    facts = _facts_of(past, trial, STOPPED, now, (reason,), {"name": trial.name}, who)
    ledger.append_after(shelf.store(releases, system), facts, len(past))
    return trial


def promote(
    releases: Path,
    system: str,
    trial: Trial,
    public_key: Path,
    now: datetime,
    reasons: Sequence[str],
    evidence: Mapping[str, Any],
    who: str | None = None,
) -> Entry:
    """The entry that makes the challenger of a trial the champion, and so ends the trial.

    Its signature, digests and golden rows are checked first. `evidence` (JSON values) is kept beside the reasons.

    Raises:
        LedgerError: the trial does not run any more.
        BundleError: the bundle is damaged, or not the one that was on trial.
        StalePromotionError: somebody else's release came first.
    """
    past = shelf.history(releases, system)
    if (found := _running(past, system)) != trial:
        raise LedgerError(
            f"{system}: expected {trial.name} to run, found {found.name}; look at its report first"
        )
    opened = shelf.challenger(releases, system, trial.challenger, public_key)
    if opened.digest != trial.challenger_digest:
        raise BundleError(
            opened.path, "it is not the bundle that was on trial", "restore that one from a copy"
        )
    facts = _facts_of(past, trial, "promotion", now, reasons, {"trial": trial.name, **evidence}, who)
    return ledger.append_after(shelf.store(releases, system), facts, len(past))


def _running(past: Sequence[Entry], system: str) -> Trial:
    found = current(past)
    if found is None:
        raise LedgerError(f"{system}: expected a trial that runs, found none; start one first")
    return found


def _facts_of(
    past: Sequence[Entry],
    trial: Trial,
    kind: str,
    now: datetime,
    reasons: Sequence[str],
    evidence: Mapping[str, Any],
    who: str | None,
) -> Facts:
    """What an entry says that ends a trial, of the bundles that began it."""
    begun = past[trial.number - 1].facts
    return replace(
        begun, kind=kind, at=now, who=who or release.whoami(), reasons=tuple(reasons), evidence=evidence
    )
