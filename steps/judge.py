"""The challenger against its baselines, the champion and the rules."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

from zenml import step

from perennial import systems
from perennial.config import Promotion
from perennial.evidence import Evaluation, Judgement
from perennial.home import home
from perennial.learn.judge import judge as learn_judge
from perennial.live import sign
from perennial.live.bundle import Bundle
from perennial.table import Table

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def judge(
    bundle: Bundle,
    evaluation: Evaluation,
    train: Table,
    holdout: Table,
    rules: Promotion,
    resamples: int,
    seed: int,
    releases: str,
) -> Annotated[Judgement, "judgement"]:
    """The decision, with the champion and the ledger's head that it rests on."""
    plugin, places = systems.get(bundle.manifest.system), (Path(releases), home().keys / sign.PUBLIC)
    segments = tuple(dict.fromkeys(filter(None, (*plugin.segments, plugin.horizon))))
    judgement = learn_judge(
        bundle, evaluation, train, holdout, rules, segments, resamples, seed, *places, time.perf_counter
    )
    logger.info("judged %s against %s", bundle.manifest.version, judgement.champion or "no champion")
    return judgement
