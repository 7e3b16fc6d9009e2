"""A release, where the decision says so and nobody was faster."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from zenml import step

from perennial.evidence import Evaluation, Judgement, Outcome
from perennial.home import home
from perennial.live import release, sign
from perennial.live.bundle import Bundle

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def promote(
    bundle: Bundle, evaluation: Evaluation, judgement: Judgement, releases: str
) -> Annotated[Outcome, "outcome"]:
    """What became of the challenger; raises StalePromotionError where it was judged against an older champion."""
    manifest, decision, champion = bundle.manifest, judgement.decision, judgement.champion
    outcome = Outcome(
        promoted=decision.promote,
        version=manifest.version,
        champion=manifest.version if decision.promote else champion,
        sentence=f"promoted {manifest.version} in place of {champion or 'nothing'}"
        if decision.promote
        else f"kept {champion or 'nothing'}, not {manifest.version}: {' '.join(decision.sentences(passed=False))}",
    )
    if decision.promote:
        release.promote(
            Path(releases),
            manifest.system,
            bundle.as_reference(),
            decision,
            judgement.ledger_head,
            home().keys / sign.PUBLIC,
            datetime.now(UTC),
            evidence={"evaluation": evaluation.model_dump(mode="json", exclude={"details"})},
        )
    logger.info("%s", outcome.sentence)
    return outcome
