"""The rows of somebody's own database, scored with a released model."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from zenml import step

from perennial.config_score import Score
from perennial.home import home
from perennial.live.load import load_predictor
from perennial.live.release import released_bundle
from perennial.live.scoring.journalled import journalling
from perennial.live.scoring.score import Scored, score_table
from perennial.live.sign import PUBLIC
from steps.progress import score_progress

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def score(
    system: str, section: Score, releases: str, version: str, again: bool, journal: str
) -> Annotated[Scored, "scored"]:
    """How many rows were scored, skipped and flagged; scores are in the database batch by batch."""
    predictor = load_predictor(released_bundle(Path(releases), system, version, home().keys / PUBLIC))
    contract = predictor.bundle.contract
    kept = journalling(system, journal, contract) if section.journal else nullcontext()
    with score_progress(section.table) as progress, kept as into:
        found = score_table(section, predictor, lambda: datetime.now(UTC), again, progress, into)
    logger.info("scored %s", found.sentence)
    return found
