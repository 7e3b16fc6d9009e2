"""The model with everything that it needs to be checked, judged and served, signed."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from zenml import step

from perennial.config import Config
from perennial.evidence import DatasetReference, Evaluation
from perennial.home import home
from perennial.learn.models import FittedModel
from perennial.live import bundle, shelf, sign
from perennial.live.build import build_bundle
from perennial.live.bundle import Bundle
from perennial.live.pack import Parts
from perennial.live.settings import settings
from perennial.table import Table

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def package(
    model: FittedModel,
    train: Table,
    holdout: Table,
    evaluation: Evaluation,
    dataset: DatasetReference,
    config: Config,
    digests: dict[str, str],
    releases: str,
) -> Annotated[Bundle, "bundle"]:
    """The bundle, opened again from disk; one that is there already is not written twice."""
    system = config.system
    parts = Parts(
        system=system,
        estimator=model.estimator,
        skops=model.skops,
        contract=model.contract,
        rule=model.rule,
        train=train,
        holdout=holdout,
        evaluation=evaluation,
        candidate=model.candidate,
        parameters=model.parameters,
        dataset=dataset,
        config_digest=digests["config"],
        code_digest=digests["code"],
        seed=config.seed,
        options=config.bundle,
        settings=settings(config),
    )
    key = sign.key_pair(home().keys)
    folder, after = bundle.bundles_folder(releases, system), shelf.newest_released(Path(releases), system)
    built = build_bundle(parts, folder, key, datetime.now(UTC), after)
    opened = bundle.open_bundle(built.path, key.public_path)
    logger.info("packaged %s %s: served by %s", system, opened.manifest.version, opened.manifest.backend)
    return opened
