"""Which folds tell how wide intervals are, and where a threshold lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perennial import config
from perennial.config import Split
from perennial.data import splits
from perennial.learn.candidates import is_whole
from perennial.live.answer import Recent
from perennial.table import Table


def folds_for(
    train: Table, candidate: str, parameters: Mapping[str, Any], rules: Split, n: int, seed: int
) -> splits.Folds:
    """Folds with rows before and behind them for numbers; those of the search for classes, and for a candidate
    that learns from the order of the rows and would find a hole there.
    """
    if train.contract.target.is_numeric and not is_whole(candidate, parameters):
        return splits.residual_folds(train, rules, n, seed)
    return splits.folds(train, rules, n, seed)


def follows(rules: config.Recent | None) -> Recent | None:
    """How intervals follow the last ones, as a model keeps it."""
    return None if rules is None else Recent(rules.days, rules.delay_hours)
