"""Clean, model-ready rows, and a report on everything that was found on the way."""

from __future__ import annotations

import logging
from functools import partial
from typing import Annotated

from zenml import step

from perennial import systems
from perennial.config import Checks, FileSource, Source
from perennial.config_features import CellFeatures, DailyFeatures, SeriesFeatures
from perennial.data import checks, dataset
from perennial.data.leaks import with_leaks
from perennial.evidence import CheckReport, DatasetReference
from perennial.home import home
from perennial.table import Table

logger = logging.getLogger(__name__)


@step
def check(
    reference: DatasetReference,
    system: str,
    source: Source,
    features: SeriesFeatures | DailyFeatures | CellFeatures | None,
    rules: Checks,
    seed: int,
) -> tuple[Annotated[Table, "table"], Annotated[CheckReport, "check_report"]]:
    """The rows that fit the contract and know nothing too early; raises CheckError where the data must not train."""
    plugin, records = systems.get(system), dataset.read(reference)
    prepare = partial(plugin.prepare, source=source, features=features)
    rows = prepare(records)
    checked = checks.check(rows, plugin.contract(source, features), rules)
    path = home().quarantine / system / f"{reference.fingerprint[:12]}.parquet"
    report = checks.quarantine(checked, path)
    report = with_leaks(report, records, rows, prepare, checked.table, rules, seed)
    for finding in report.findings:
        logger.log(logging.WARNING if finding.severity != "note" else logging.INFO, "%s", finding.message)
    logger.info(
        "checked %s rows: %s usable, %s rejected",
        *(f"{n:,}" for n in (report.rows_in, report.rows_out, report.quarantined)),
    )
    checks.require(report, source.path if isinstance(source, FileSource) else "")
    return checked.table, report
