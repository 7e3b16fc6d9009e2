"""Records from the source, kept as a dataset version."""

from __future__ import annotations

import logging
from typing import Annotated

from zenml import step

from perennial import systems
from perennial.config import FileSource, GeneratorSource
from perennial.data import dataset
from perennial.evidence import DatasetReference
from perennial.home import home

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def collect(
    system: str, source: FileSource | GeneratorSource, seed: int
) -> Annotated[DatasetReference, "dataset"]:
    """The dataset version that holds the source's records; an unchanged source makes no new one."""
    records = systems.get(system).collect(source, seed)
    reference = dataset.commit(records, home().datasets / system)
    logger.info("collected %s records: dataset version %s", f"{reference.rows:,}", reference.version)
    return reference
