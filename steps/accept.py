"""The verdict on a collection, and the dataset version after it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated

from zenml import step

from perennial.config_web import WebSource
from perennial.data import intake
from perennial.evidence import Collection, DatasetReference
from steps.places import places

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def accept(
    gathered: Collection, system: str, source: WebSource
) -> tuple[Annotated[DatasetReference, "dataset"], Annotated[Collection, "collection"]]:
    """The dataset version; raises CollectionError where a promise was broken, after everything was put aside."""
    judged = intake.take_in(gathered, source, places(system), datetime.now(UTC))
    reference = intake.require(judged)
    logger.info(
        "collected %s rows: %s new and %s revised records, dataset version %s",
        *(f"{n:,}" for n in (sum(f.rows for f in judged.feeds), judged.added, judged.revised)),
        reference.version,
    )
    return reference, judged
