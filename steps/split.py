"""Training rows, and a hold-out that nothing is fitted or tuned on."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Annotated

from zenml import step

from perennial.config import GroupedSplit, StratifiedSplit, TimeSplit
from perennial.data import splits
from perennial.table import Table

logger = logging.getLogger(__name__)


@step
def split(
    table: Table, rules: StratifiedSplit | GroupedSplit | TimeSplit, seed: int
) -> tuple[Annotated[Table, "train"], Annotated[Table, "holdout"]]:
    """Both parts of the table, under a contract whose open categories are those of the training rows."""
    rows = splits.split(table, rules, seed)
    train = table.rows(rows.train)
    contract = table.contract.fitted(train.frame)
    logger.info("split: %s training rows, %s hold-out rows", f"{len(rows.train):,}", f"{len(rows.holdout):,}")
    return replace(train, contract=contract), replace(table.rows(rows.holdout), contract=contract)
