"""A report on what a dataset version holds, for people."""

from __future__ import annotations

import logging
from typing import Annotated

from zenml import step
from zenml.types import HTMLString

from perennial.config import Profile
from perennial.data import dataset
from perennial.data.exploration import explore as explored
from perennial.evidence import DatasetReference
from perennial.home import home
from perennial.live.files import write_atomic

logger = logging.getLogger(__name__)


LOUD = ("failed", "mixed types", "all missing")


@step
def explore(
    reference: DatasetReference, system: str, options: Profile, seed: int
) -> Annotated[HTMLString, "profile"]:
    """The exploratory report as one page; what it found goes to the log, columns that broke it as warnings."""
    folder, beside = home().profiles / system, f"{reference.version}.evidently.html"
    summary = {"beside": beside if options.evidently else "", "evidently": options.evidently}
    facts = {"dataset version": str(reference.version), "digest": reference.fingerprint[:12]}
    found = explored(dataset.read(reference), f"Dataset of {system}", facts, seed, **summary)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{reference.version}.html", found.html.encode())
    if options.evidently:
        write_atomic(folder / beside, found.evidently_html.encode())
    for column in found.columns:
        if column.status in LOUD:
            logger.warning("column %s: %s", column.name, column.sentence)
    for finding in found.findings:
        logger.info("%s", finding)
    return HTMLString(found.html)
