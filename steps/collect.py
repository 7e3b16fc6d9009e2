"""The dataset version that training rests on."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated

from zenml import step

from perennial import systems
from perennial.config import Source
from perennial.config_web import WebSource
from perennial.data import intake
from perennial.evidence import DatasetReference
from steps.places import places

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def collect(
    system: str, source: Source, seed: int, version: int | None = None
) -> Annotated[DatasetReference, "dataset"]:
    """The dataset version that holds the source's records; an unchanged source makes no new one.

    Files and generators are read here. Feeds were collected before, and the newest good version of them, or
    the one that was asked for, is taken.
    """
    plugin = systems.get(system)
    at_once = None if isinstance(source, WebSource) else lambda: plugin.read(source, seed)
    reference = intake.dataset_version(at_once, places(system), version, datetime.now(UTC))
    logger.info("dataset version %s: %s records", reference.version, f"{reference.rows:,}")
    return reference
