"""Records: collected rows with a key and three times, of which repeats merge and revisions append.

`event_time` is when a record happened, `available_at` when it could be known, `collected_at` when it was read.
Within a dataset the `available_at` of one key only grows, so that (feed, key, available_at) names a revision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from perennial.config_web import Feed
from perennial.data import content
from perennial.data.answer import CollectedRow
from perennial.data.cells import field_column, key_of
from perennial.data.content import RECORD, TIMES
from perennial.data.revisions import Merged, rebase
from perennial.errors import InputError


def to_frame(feed_name: str, feed: Feed, rows: Iterable[CollectedRow]) -> pd.DataFrame:
    """The feed's rows as records, in their order: `COLUMNS`, then the feed's fields with the type of their `parse`.

    Texts and addresses are strings, numbers float64, integers Int64, booleans boolean, times UTC; missing values
    are None, NaN, NA or NaT. A row without a key field has no `key`, one without the field that `feed.event_time`
    names has no `event_time`; `merge` rejects and counts both. `available_at` is the field that the feed names;
    where that is missing, `event_time` and the feed's delay; without a delay, `collected_at`.

    Raises:
        InputError: where the feed's event_time or available_at is no field of times.
        DatasetError: where a value is not what its field's `parse` says.
    """
    found = [row for row in rows if row.feed == feed_name]
    fields = {
        name: field_column(feed_name, name, rule.parse, [row.values.get(name) for row in found])
        for name, rule in feed.fields.items()
    }
    collected_at = pd.Series([row.collected_at for row in found], dtype=TIMES)
    event_time = _time(feed_name, feed, "event_time", fields, collected_at)
    delay = feed.available_after_s
    later = collected_at if delay is None else _later(event_time, delay).fillna(collected_at)
    return pd.DataFrame(
        {
            "feed": pd.Series([feed_name] * len(found), dtype=object),
            "key": pd.Series([key_of(feed, row) for row in found], dtype=object),
            "event_time": event_time,
            "available_at": _time(feed_name, feed, "available_at", fields, later).fillna(later),
            "collected_at": collected_at,
            "source": pd.Series([row.url for row in found], dtype=object),
            "raw": pd.Series([row.raw for row in found], dtype=object),
            **fields,
        }
    )


def finished(frame: pd.DataFrame, feed: Feed) -> pd.DataFrame:
    """The records of a feed without those that its config calls unfinished: read before they were available."""
    if feed.unfinished == "keep":
        return frame
    return frame[~(frame["available_at"] > frame["collected_at"])].reset_index(drop=True)


def together(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The records of several feeds in one frame, in their order; another feed's fields are missing.

    Raises:
        DatasetError: where two feeds give one field different types.
    """
    content.together(content.canonical(frame.iloc[:0]) for frame in frames)
    return pd.concat(frames, ignore_index=True)


def merge(before: pd.DataFrame | None, collected: pd.DataFrame) -> Merged:
    """What `collected` adds to the records of `before`.

    Of several readings of a key the first in order counts, unless the source dates them differently; then each is
    a revision. For the rest see `rebase`.

    Args:
        before: all records of the dataset in any order; None, or rows that were not collected, for no records.
        collected: the rows of one collection, in the order in which they were read.

    Raises:
        DatasetError: where a field has another type than before.
    """
    usable = collected["key"].notna() & collected["event_time"].notna()
    rows = collected[usable]
    dated_by_source = rows["available_at"].where(rows["available_at"] != rows["collected_at"])
    readings = rows[RECORD].assign(dated=dated_by_source)
    found = rebase(before, rows[~readings.duplicated()])
    return Merged(
        added=found.added,
        new=found.new,
        revised=found.revised,
        repeats=len(rows) - len(found.added),
        rejected=int((~usable).sum()),
    )


def current(records: pd.DataFrame, feed: str | None = None) -> pd.DataFrame:
    """The latest revision of every record (of one feed), sorted by feed and key."""
    chosen = records if feed is None else records[records["feed"] == feed]
    return content.in_order(chosen).drop_duplicates(RECORD, keep="last", ignore_index=True)


def first(records: pd.DataFrame, feed: str | None = None) -> pd.DataFrame:
    """Every record (of one feed) as it was when it first became known, sorted by feed and key."""
    chosen = records if feed is None else records[records["feed"] == feed]
    return content.in_order(chosen).drop_duplicates(RECORD, keep="first", ignore_index=True)


def as_of(records: pd.DataFrame, moment: datetime, feed: str | None = None) -> pd.DataFrame:
    """What could be known at `moment`: the latest revision of every record that was available then."""
    return current(records[records["available_at"] <= pd.Timestamp(moment)], feed)


def join_series(
    rows: pd.DataFrame, records: pd.DataFrame, feed: str, fields: Sequence[str], on: str = "known_at"
) -> pd.DataFrame:
    """The rows with what a series said last when each could be known, as columns `<feed>_<field>`.

    A row gets the record with the newest `event_time` among those that were available at its time `on`, in the
    latest revision that was available then. Nothing that became available later is used: records of the future
    change nothing. Where nothing was available, or the time is missing, the values are missing.

    Raises:
        InputError: where there is no such feed or field, or `rows` has such a column already.
    """
    series = records[records["feed"] == feed]
    names = {field: f"{feed}_{field}" for field in fields}
    for name, column in names.items():
        if name not in records or column in rows:
            found = "a column of that name" if column in rows else "no such field"
            raise InputError(f"series {feed}: expected to add {column} from the field {name}, found {found}")
    series = series.sort_values(["available_at", "event_time", "collected_at", "key"], kind="stable")
    newest = series["event_time"] >= series["event_time"].cummax()
    known = series[newest].rename(columns=names)[["available_at", *names.values()]]
    asked = pd.DataFrame({"asked": rows[on].astype(TIMES), "position": np.arange(len(rows))}).dropna()
    joined = pd.merge_asof(
        asked.sort_values("asked", kind="stable"),
        known.drop_duplicates("available_at", keep="last"),
        left_on="asked",
        right_on="available_at",
        direction="backward",
    )
    values = joined.set_index("position")[[*names.values()]].reindex(np.arange(len(rows)))
    return rows.assign(**{name: values[name].set_axis(rows.index) for name in names.values()})


def _time(
    feed_name: str, feed: Feed, what: str, fields: dict[str, pd.Series[Any]], otherwise: pd.Series[Any]
) -> pd.Series[Any]:
    """The field that the feed names for its event_time or available_at; `otherwise` where it names none."""
    name = getattr(feed, what)
    if name is None:
        return otherwise
    if feed.fields[name].parse != "time":
        raise InputError(
            f"feed {feed_name}: expected {what} to name a field with `parse: time`, found {name} with "
            f"`parse: {feed.fields[name].parse}`; change its parse or name another field"
        )
    return fields[name]


def _later(times: pd.Series[Any], seconds: float) -> pd.Series[Any]:
    return (times + pd.Timedelta(seconds=seconds).as_unit("us")).astype(TIMES)
