"""One page for people, on what a backtest came to."""

from __future__ import annotations

import logging
from typing import Annotated

from zenml import step
from zenml.types import HTMLString

from perennial import systems
from perennial.config import Source
from perennial.config_features import CellFeatures, DailyFeatures, SeriesFeatures
from perennial.evidence import BacktestResult
from perennial.live.report.backtest import backtest_html

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def backtest_report(
    found: BacktestResult, source: Source, features: SeriesFeatures | DailyFeatures | CellFeatures | None
) -> Annotated[HTMLString, "report"]:
    """The backtest's page."""
    plugin = systems.get(found.system)
    target = plugin.contract(source, features).target
    return HTMLString(backtest_html(found, plugin.title, target.name, target.unit))
