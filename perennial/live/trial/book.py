"""Trials in the ledger: which challenger answers beside the champion, whom, and since when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

from perennial.errors import InputError, LedgerError
from perennial.live import ledger, release, shelf
from perennial.live.ledger import Entry, Facts

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


def current(history: Sequence[Entry]) -> Trial | None:
    """The trial that runs now; None after it was stopped, or something else was released."""
    for entry in reversed(history):
        if entry.facts.kind == STOPPED or entry.facts.kind in ledger.SERVING_KINDS:
            return None
        if entry.facts.kind == STARTED:
            return of(entry)
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
) -> Trial:
    """Begins a trial of a bundle beside the champion; its signature, digests and golden rows are checked first.

    Raises:
        InputError: the share is not above 0, or not below 1 in a split.
        LedgerError: there is no champion, a trial runs already, or the version serves now.
        UnknownNameError: there is no such version.
        BundleError: the bundle is damaged, unsigned or answers wrongly.
        StalePromotionError: somebody else's release came first.
    """
    top = "1" if mode == "shadow" else "below 1"
    if not (0.0 < share < 1.0 or (mode == "shadow" and share == 1.0)):
        raise InputError(f"expected a share above 0 and {top}, found {share:g}")
    past = shelf.history(releases, system)
    serving = ledger.champion(past)
    if serving is None:
        raise LedgerError(
            f"{system}: expected a champion to try {version} against, found none; promote one first"
        )
    if running := current(past):
        raise LedgerError(
            f"{system}: expected no trial to run, found {running.name} of {running.challenger}; stop it first"
        )
    opened = shelf.challenger(releases, system, version, public_key)
    if opened.digest == serving.facts.bundle_digest:
        raise LedgerError(
            f"{system}: expected a version that does not serve now, found {version}, the champion"
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


def stop(releases: Path, system: str, now: datetime, reason: str, who: str | None = None) -> Trial:
    """Ends the trial that runs; the champion answers all again. Raises LedgerError where none runs."""
    past = shelf.history(releases, system)
    running = current(past)
    if running is None:
        raise LedgerError(f"{system}: expected a trial that runs, found none; start one first")
    begun = past[running.number - 1].facts
    facts = Facts(
        system=system,
        kind=STOPPED,
        version=begun.version,
        bundle_digest=begun.bundle_digest,
        bundle_identity=begun.bundle_identity,
        from_version=begun.from_version,
        at=now,
        who=who or release.whoami(),
        reasons=(reason,),
        evidence={"name": running.name},
    )
    ledger.append_after(shelf.store(releases, system), facts, len(past))
    return running
