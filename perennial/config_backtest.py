"""The typed form of the `backtest` section: how models are tried on the past, as it would have come."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from perennial.config_section import Section, option


class Backtest(Section):
    """Walking forward through the past: models are fitted again and again to what was known, and predict on."""

    since: datetime | None = option(
        None, about="when the first rows are predicted (UTC); none means where the hold-out of split starts"
    )
    until: datetime | None = option(
        None, about="rows are predicted before this moment (UTC); none means to the end"
    )
    every_days: float | None = option(
        None,
        about="time between the predictions that count, from the first one on; none means all",
        unit="days",
        gt=0,
    )
    refit_days: float = option(7.0, about="time after which models are fitted again", unit="days", gt=0)
    widths_days: float = option(
        91.0,
        about="time after which the widths of intervals, thresholds and fitted baselines are learned again",
        unit="days",
        gt=0,
    )
    window_days: float | None = option(
        None,
        about="how far back a fit reaches, by when rows were predicted; none means everything before",
        unit="days",
        gt=0,
    )
    gap_hours: float | None = option(
        None,
        about="least time between the truth of a row that is fitted and the fit; none means split.gap_hours",
        unit="h",
        ge=0,
    )
    candidates: Literal["default", "all"] = option(
        "default", about="which of learn.candidates walk, each with its fixed parameters"
    )
