"""Outside series as extra features: any further feed of a source joins by config alone."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from perennial.config_web import Feed, WebSource
from perennial.data.records import join_series
from perennial.table import Column

if TYPE_CHECKING:
    import pandas as pd


def series_columns(source: WebSource, own: Collection[str]) -> tuple[Column, ...]:
    """A feature per number of every feed that is not the system's `own`, called `<feed>_<field>`."""
    return tuple(
        Column(
            f"{name}_{field}",
            "number",
            f"newest value of {field} of {name} that was known",
            unit=feed.fields[field].unit or "1",
            nullable=True,
        )
        for name, feed in source.feeds.items()
        if name not in own
        for field in _numbers(feed)
    )


def with_series(
    rows: pd.DataFrame, records: pd.DataFrame, source: WebSource, own: Collection[str]
) -> pd.DataFrame:
    """`rows` with those features: for each row the newest value that was available at its `known_at`."""
    joined = rows
    for name, feed in source.feeds.items():
        if name not in own and _numbers(feed):
            joined = join_series(joined, records, name, _numbers(feed), "known_at")
    return joined


def _numbers(feed: Feed) -> tuple[str, ...]:
    return tuple(
        field
        for field, rule in feed.fields.items()
        if rule.parse in ("number", "integer") and field not in feed.key
    )
