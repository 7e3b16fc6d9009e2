"""One page for people: how good, compared with what, decided how, from which data."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from zenml import step
from zenml.types import HTMLString

from perennial import systems
from perennial.evidence import CheckReport, DatasetReference, Evaluation, Judgement, SearchResult
from perennial.home import home
from perennial.live.bundle import Bundle
from perennial.live.files import write_atomic
from perennial.live.report.evaluation import ReportFacts, plots, report_html

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def report(
    bundle: Bundle,
    dataset: DatasetReference,
    checks: CheckReport,
    found: SearchResult,
    evaluation: Evaluation,
    judgement: Judgement,
) -> tuple[Annotated[HTMLString, "report"], Annotated[dict[str, str], "plots"]]:
    """The evaluation report, also kept under reports/ of the state folder, and its plots by name."""
    manifest = bundle.manifest
    facts = ReportFacts(
        system=manifest.system,
        title=systems.get(manifest.system).title,
        version=manifest.version,
        created_at=datetime.fromisoformat(manifest.created_at),
        target=manifest.target,
        unit=manifest.unit,
        dataset=dataset,
        checks=checks,
        search=found,
        evaluation=evaluation,
        against_champion=judgement.against_champion,
        champion=judgement.champion or None,
        decision=judgement.decision,
        manifest=asdict(manifest),
    )
    page = report_html(facts)
    path = home().reports / manifest.system / f"{manifest.version}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, page.encode())
    logger.info("reported: %s", path)
    return HTMLString(page), plots(facts)
