"""One plugin per system: a module here that defines `SYSTEM`. Adding a file is enough to register it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from perennial.config_section import Section
from perennial.config_web import WebSource
from perennial.errors import InputError, NotEnoughDataError, UnknownNameError
from perennial.live.answer import Task
from perennial.table import Contract

if TYPE_CHECKING:
    import pandas as pd

    from perennial.config import Source
    from perennial.config_features import Features


S = TypeVar("S", bound=Section)
MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Followed:
    """The series that a system forecasts, for those who follow it between two collections.

    Attributes:
        feed: the feed that brings it.
        field: the number of that feed which is predicted.
        step: the length of a step.
        steps: how many rows a forecast has.
        looks_back: says how far before an origin the features read; may import what makes them.
        lead: from when a predicted value happens to the `time` of its row.
        after: from an origin to the `time` of a forecast's first row.
        delay: how long after it happened a value is usually known.
        every: the time between the origins that a model is trained on: another hour of the day is another task.
        first: when they are, counted from Monday midnight, UTC.
        seasonal: baseline columns that repeat the last season, each with its length, the best first.
    """

    feed: str
    field: str
    step: timedelta
    steps: int
    looks_back: Callable[[], timedelta]
    lead: timedelta
    after: timedelta
    delay: timedelta
    every: timedelta
    first: timedelta
    seasonal: tuple[tuple[str, timedelta], ...]

    @property
    def look_back(self) -> timedelta:
        """How far before an origin the features read."""
        return self.looks_back()

    def origin(self, now: datetime) -> datetime:
        """The newest origin that is not after `now`."""
        return now - (now - MONDAY - self.first) % self.every


@dataclass(frozen=True)
class System:
    """What differs between systems, and all of it.

    Attributes:
        name: the module's name and the config's `system:`.
        title: what is predicted, in a few words.
        task: classification or regression.
        contract: the declared contract for a source and the config's features; categories left empty are learned
            from training rows.
        prepare: model-ready rows from a dataset's records, their source and the config's features: features,
            target and the forecasts of naive models that need a history (role `baseline`); a pure function.
            The checks add the `id`.
        segments: feature columns by which errors are broken down in reports.
        horizon: the feature column that says how far ahead a row looks; "" where there is none.
        ahead: the rows that `prepare` would make for one origin if the truth were known, from the records that were
            available then and by the same code; the target is missing. None where nothing is forecast.
        follows: the series that is forecast; None where there is none.
        collect: the records of a source that is read whole (a file, a generator), one row each, under the
            contract's names; `seed` drives generators. None where there are feeds alone, which
            `perennial.data.crawl` collects.
    """

    name: str
    title: str
    task: Task
    contract: Callable[[Source, Features | None], Contract]
    prepare: Callable[[pd.DataFrame, Source, Features | None], pd.DataFrame]
    segments: tuple[str, ...] = ()
    horizon: str = ""
    ahead: Callable[[pd.DataFrame, Source, Features | None, datetime], pd.DataFrame] | None = None
    follows: Callable[[Source, Features | None], Followed] | None = None
    collect: Callable[[Source, int], pd.DataFrame] | None = None

    def read(self, source: Source, seed: int) -> pd.DataFrame:
        """The records of a source that is read whole; raises InputError where there are feeds alone."""
        if self.collect is None or isinstance(source, WebSource):
            raise InputError(f"system {self.name}: expected source.kind to be web, found {source.kind}")
        return self.collect(source, seed)


def feeds_of(system: str, source: Source, feeds: Collection[str]) -> WebSource:
    """`source`, if it has these feeds; raises InputError otherwise."""
    if isinstance(source, WebSource) and set(feeds) <= set(source.feeds):
        return source
    found = ", ".join(source.feeds) if isinstance(source, WebSource) else f"source.kind {source.kind}"
    raise InputError(
        f"system {system}: expected source.kind web with the feeds {', '.join(feeds)}, found {found}"
    )


def own_features(system: str, features: Features | None, kind: type[S]) -> S:
    """The config's features section, or its defaults where there is none.

    Raises:
        InputError: where it is of a kind that this system does not take.
    """
    if features is None:
        return kind()
    if not isinstance(features, kind):
        expected = kind.model_fields["kind"].default
        raise InputError(f"system {system}: expected features.kind to be {expected}, found {features.kind}")
    return features


def no_features(system: str, features: Features | None) -> None:
    """Raises InputError where the config has a features section and this system takes none."""
    if features is not None:
        raise InputError(
            f"system {system}: expected no section features, found features.kind {features.kind}"
        )


def require_records(system: str, records: pd.DataFrame, feeds: Collection[str]) -> None:
    """Raises NotEnoughDataError naming the first of these feeds that brought no record."""
    for feed in feeds:
        if not (records["feed"] == feed).any():
            raise NotEnoughDataError(f"system {system}, records of the feed {feed}", 0, 1)


def names() -> list[str]:
    """The names of all systems, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def get(name: str) -> System:
    """The plugin of the system called `name`: the part before a hyphen, as `used_cars` of `used_cars-dealer`.

    Raises:
        UnknownNameError: with the nearest known name.
    """
    plugin = name.partition("-")[0]
    if plugin not in names():
        raise UnknownNameError("system", plugin, names())
    system: System = importlib.import_module(f"{__name__}.{plugin}").SYSTEM
    return system
