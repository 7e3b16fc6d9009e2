"""A release, where the decision says so and nobody was faster."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from zenml import step

from perennial.errors import StalePromotionError
from perennial.evidence import Evaluation, Judgement, Outcome
from perennial.home import home
from perennial.live import release, sign
from perennial.live.bundle import Bundle

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def promote(
    bundle: Bundle, evaluation: Evaluation, judgement: Judgement, releases: str
) -> Annotated[Outcome, "outcome"]:
    """What became of the challenger. One that was judged against an older champion is not promoted."""
    manifest, decision = bundle.manifest, judgement.decision
    kept = judgement.champion or "nothing"
    if not decision.promote:
        reasons = "; ".join(decision.reasons)
        sentence = f"kept {kept}, did not promote {manifest.version}: {reasons}"
        outcome = Outcome(
            promoted=False, version=manifest.version, champion=judgement.champion, sentence=sentence
        )
    else:
        try:
            release.promote(
                Path(releases),
                manifest.system,
                bundle.as_reference(),
                decision,
                judgement.ledger_head,
                home().keys / sign.PUBLIC,
                datetime.now(UTC),
                release.whoami(),
                evidence={"evaluation": evaluation.model_dump(mode="json", exclude={"details"})},
            )
        except StalePromotionError as error:
            outcome = Outcome(promoted=False, version=manifest.version, champion="", sentence=str(error))
        else:
            sentence = f"promoted {manifest.version} in place of {kept}"
            outcome = Outcome(
                promoted=True, version=manifest.version, champion=manifest.version, sentence=sentence
            )
    logger.info("%s", outcome.sentence)
    return outcome
