"""The newest records of a dataset, as a forecast is asked for with them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from dashboard.setting import Setting
from perennial import systems
from perennial.config_web import WebSource
from perennial.data import dataset
from perennial.data.features.known import step_means
from perennial.data.records import as_of, current
from perennial.home import home
from perennial.systems import Followed

MARGIN = timedelta(days=7)
"""How much further back than the features read, for series that are told late."""
Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Records:
    """A version of a dataset whose system forecasts one of its series.

    Attributes:
        frame: all records, every revision.
        source: whose feeds they came from.
        followed: the series that is forecast.
        version: of the dataset.
        zone: of the people whose days the series follows.
        follows: how far back forecasts count for the widths of intervals.
    """

    frame: pd.DataFrame
    source: WebSource
    followed: Followed
    version: int
    zone: ZoneInfo
    follows: timedelta = timedelta(0)

    @property
    def first_origin(self) -> datetime:
        """The first origin such as the model was trained on that has all of its look-back behind it."""
        since = self._followed()["event_time"].min().to_pydatetime() + self.followed.look_back
        before = self.followed.origin(since)
        return before if before == since else before + self.followed.every

    @property
    def last_origin(self) -> datetime:
        """The last of them at which a value was new."""
        return self.followed.origin(self._followed()["available_at"].max().to_pydatetime())

    def series(self, since: datetime, until: datetime) -> pd.Series[float]:
        """The means of the followed values per step in [since, until), by its start, in their newest revision."""
        rows = self._followed()
        inside = rows[(rows["event_time"] >= since) & (rows["event_time"] < until)]
        means = step_means(current(inside), self.followed.field, pd.Timedelta(self.followed.step))
        return means.dropna().sort_index()

    def rows_at(self, origin: datetime) -> Rows:
        """By feed the rows that a forecast looks back at, as known at its origin and as a request holds them."""
        back = self.follows + self.followed.look_back + self.followed.steps * self.followed.step
        known = as_of(self.frame, origin)
        near = known[known["event_time"] >= origin - back - MARGIN]
        return {
            name: _objects(near[near["feed"] == name].reindex(columns=list(feed.fields)))
            for name, feed in self.source.feeds.items()
        }

    def _followed(self) -> pd.DataFrame:
        return self.frame[self.frame["feed"] == self.followed.feed]


def followed(setting: Setting) -> Followed | None:
    """The series that the config's system forecasts from feeds; None where there is none."""
    found, source = systems.get(setting.config.system), setting.config.source
    if found.follows is None or not isinstance(source, WebSource):
        return None
    return found.follows(source, setting.config.features)


def records(setting: Setting, follows: Followed) -> Records | None:
    """The newest version of the system's dataset; None where nothing was collected. Raises DatasetError."""
    folder = home().datasets / setting.config.system
    reference = dataset.latest(folder)
    source = setting.config.source
    if reference is None or not isinstance(source, WebSource):
        return None
    zone = ZoneInfo(getattr(setting.config.features, "zone", "UTC"))
    frame = _read(reference.uri, reference.version)
    recent = setting.config.evaluate.recent
    back = timedelta(days=recent.days if recent else 0.0)
    return Records(frame, source, follows, reference.version, zone, back)


@st.cache_resource(show_spinner="Reading the dataset", max_entries=2)
def _read(uri: str, version: int) -> pd.DataFrame:
    return dataset.read(dataset.resolve(uri, version))


def _objects(frame: pd.DataFrame) -> list[dict[str, Any]]:
    names = list(frame.columns)
    return [
        {name: _json(value) for name, value in zip(names, row, strict=True)}
        for row in frame.itertuples(index=False, name=None)
    ]


def _json(value: Any) -> Any:
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value
