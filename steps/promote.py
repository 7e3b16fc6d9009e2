"""A release, where the decision says so and nobody was faster; either way an entry in the ledger."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from zenml import step

from perennial.evidence import Evaluation, Judgement, Outcome
from perennial.home import home
from perennial.live import sign
from perennial.live.bundle import Bundle
from perennial.live.outcome import settle

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def promote(
    bundle: Bundle, evaluation: Evaluation, judgement: Judgement, releases: str
) -> Annotated[Outcome, "outcome"]:
    """What became of the challenger; raises StalePromotionError where it was judged against an older champion."""
    evidence = {"evaluation": evaluation.model_dump(mode="json", exclude={"details"})}
    public_key = home().keys / sign.PUBLIC
    outcome = settle(Path(releases), bundle, judgement, public_key, datetime.now(UTC), evidence)
    logger.info("%s", outcome.sentence)
    return outcome
