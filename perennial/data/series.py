"""Outside series as extra features: any further feed of a source joins by config alone."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from perennial.config_web import Feed, WebSource
from perennial.data.records import join_series
from perennial.table import Column

if TYPE_CHECKING:
    import pandas as pd


def series_columns(
    source: WebSource, own: Collection[str], without: Collection[str] = ()
) -> tuple[Column, ...]:
    """A feature per number of every feed that is not the system's `own`, called `<feed>_<field>`.

    `without` names fields, as FEED.FIELD, that the system makes features of in its own way.
    """
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
        for field in _numbers(name, feed, without)
    )


def with_series(
    rows: pd.DataFrame,
    records: pd.DataFrame,
    source: WebSource,
    own: Collection[str],
    without: Collection[str] = (),
) -> pd.DataFrame:
    """`rows` with those features: for each row the newest value that was available at its `known_at`."""
    joined = rows
    for name, feed in source.feeds.items():
        fields = _numbers(name, feed, without)
        if name not in own and fields:
            joined = join_series(joined, records, name, fields, "known_at")
    return joined


def _numbers(name: str, feed: Feed, without: Collection[str]) -> tuple[str, ...]:
    return tuple(
        field
        for field, rule in feed.fields.items()
        if rule.parse in ("number", "integer") and field not in feed.key and f"{name}.{field}" not in without
    )
