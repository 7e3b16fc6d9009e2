"""Rows of feeds as records, by the code that makes records of collected rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from bento.forecast.readings import Values
from perennial.config_web import WebSource
from perennial.live.observed import Observation

if TYPE_CHECKING:
    import pandas as pd

Rows = Iterable[tuple[Values, datetime, datetime | None]]
"""Values, when they were received, and when they could be known where that is settled already."""


def sent(history: Mapping[str, Sequence[Values]], source: WebSource, origin: datetime) -> pd.DataFrame:
    """The records of a request's history; of two rows of one record the last counts.

    Where the feed does not say when a row could be known, it was at the origin.
    """
    rows = {name: [(values, origin, None) for values in history.get(name, ())] for name in source.feeds}
    frame = _records(rows, source)
    with_key: pd.DataFrame = frame[frame["key"].notna() & frame["event_time"].notna()]
    return with_key.drop_duplicates(["feed", "key"], keep="last", ignore_index=True)


def remembered(rows: Sequence[Observation], source: WebSource) -> pd.DataFrame:
    """The records of what was observed, every revision."""
    by_feed = {
        name: [(row.values, row.collected_at, row.available_at) for row in rows if row.feed == name]
        for name in source.feeds
    }
    return _records(by_feed, source)


def observations(
    feed: str, rows: Sequence[Values], source: WebSource, now: datetime
) -> tuple[list[Observation], int]:
    """The rows of a feed as observations, and how many of them are not finished yet by their feed's own rule."""
    from perennial.data.records import finished

    whole = _records({feed: [(values, now, None) for values in rows]}, source)
    numbered = whole.assign(place=range(len(whole)))
    kept = finished(numbered, source.feeds[feed])
    columns = (kept[name] for name in ("key", "event_time", "available_at", "place"))
    found = [
        Observation(feed, key, event_time.to_pydatetime(), available_at.to_pydatetime(), now, rows[place])
        for key, event_time, available_at, place in zip(*columns, strict=True)
    ]
    return found, len(whole) - len(kept)


def _records(by_feed: Mapping[str, Rows], source: WebSource) -> pd.DataFrame:
    import pandas as pd

    from perennial.data.answer import CollectedRow
    from perennial.data.content import TIMES
    from perennial.data.records import to_frame

    frames = []
    for name, rows in by_feed.items():
        given, received, known = zip(*rows, strict=True) if rows else ((), (), ())
        feed = source.feeds[name]
        read = [
            CollectedRow(name, {field: values.get(field) for field in feed.fields}, "", "", at)
            for values, at in zip(given, received, strict=True)
        ]
        frame = to_frame(name, feed, read)
        settled = pd.Series(known, dtype=TIMES)
        frames.append(frame.assign(available_at=settled.fillna(frame["available_at"])))
    return pd.concat(frames, ignore_index=True)
