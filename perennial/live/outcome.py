"""What becomes of a challenger that was judged, written down in the ledger either way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.evidence import Judgement, Outcome
from perennial.live import release

if TYPE_CHECKING:
    from perennial.live.bundle import Bundle


def settle(
    releases: Path,
    challenger: Bundle,
    judgement: Judgement,
    public_key: Path,
    now: datetime,
    evidence: Mapping[str, Any],
) -> Outcome:
    """What became of the challenger: promoted, or why the champion was kept.

    The ledger gets an entry, with the `evidence` and the judgement behind it. A model that serves already is no
    challenger, and adds none.

    Raises:
        StalePromotionError: it was judged against an older champion.
        LedgerError, BundleError: as `perennial.live.release.promote` does.
    """
    decision, champion = judgement.decision, judgement.champion
    system, version = challenger.manifest.system, challenger.manifest.version
    proof = {**evidence, "judgement": judgement.model_dump(mode="json")}
    if decision.promote:
        reference, head = challenger.as_reference(), judgement.ledger_head
        release.promote(releases, system, reference, decision, head, public_key, now, evidence=proof)
        sentence = f"promoted {version} in place of {champion or 'nothing'}"
        return Outcome(promoted=True, version=version, champion=version, sentence=sentence)
    if "identical" not in decision.failed:
        release.keep(releases, challenger, decision, now, evidence=proof)
    why = " ".join(decision.sentences(passed=False))
    sentence = f"kept {champion or 'nothing'}, not {version}: {why}"
    return Outcome(promoted=False, version=version, champion=champion, sentence=sentence)
