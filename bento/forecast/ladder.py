"""Which rung of the fallback ladder answers, and what keeps the history from a higher one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
T = TypeVar("T")

CHAMPION, PREVIOUS, SEASONAL, LAST = RUNGS = (
    "champion",
    "previous champion",
    "seasonal naive",
    "last value",
)
CHALLENGER = "challenger"
"""The rung above them, for the units of a split that are the challenger's."""
LEAST_KNOWN = 0.8
"""The share of the steps of the look-back that a model must know."""
MOST_ABSURD = 0.25
"""The share of the last day's steps whose values may be absurd."""
LEAST_FLAT = 7
"""Steps that must be equal before they count as flat, where a day has fewer."""
DAY = timedelta(days=1)


class StepDown(Exception):  # noqa: N818
    """Why a rung does not answer, in a few words."""


class ModelFailed(StepDown):
    """Why a rung does not answer, where that is its model's own fault and not the history's."""


class StrictlyFailed(Exception):  # noqa: N818
    """A model that failed where no lower rung may hide it."""


@dataclass(frozen=True)
class Stood(Generic[T]):
    """The rung that answered: its name, its answer, and why none above it did ("" for the top one)."""

    quality: str
    answer: T
    reason: str


def first_to_hold(rungs: Iterable[tuple[str, Callable[[], T]]]) -> Stood[T]:
    """The answer of the first rung that has one; raises StepDown with all reasons where none has."""
    reasons: list[str] = []
    for quality, answer in rungs:
        try:
            return Stood(quality, answer(), "; ".join(reasons))
        except StepDown as step:
            reasons += [str(step)] if str(step) not in reasons else []
    raise StepDown("; ".join(reasons))


def strictly(answer: Callable[[], T]) -> Callable[[], T]:
    """The same rung, but a failure of its model is raised as StrictlyFailed, which no other rung catches."""

    def climbed() -> T:
        try:
            return answer()
        except ModelFailed as failure:
            raise StrictlyFailed(str(failure)) from failure

    return climbed


@dataclass(frozen=True)
class Past:
    """The followed series before an origin, as it was known then, one value per step, the newest last.

    Attributes:
        name: what the series is called.
        known: shape (n_steps,), NaN where nothing was known or a value was not believed.
        absurd: which steps had values that were not believed, shape (n_steps,).
        origin: when the last step ended.
        step: the length of a step.
        delay: how long after its start a step is usually known.
    """

    name: str
    known: Floats
    absurd: npt.NDArray[np.bool_]
    origin: datetime
    step: timedelta
    delay: timedelta

    @property
    def per_day(self) -> int:
        """Steps in a day, at least one."""
        return max(int(DAY / self.step), 1)

    @property
    def usual_gap(self) -> int:
        """How many of the newest steps are usually not known yet."""
        return max(math.ceil((self.delay - self.step) / self.step), 0)

    @property
    def newest(self) -> int:
        """The place of the newest known step; -1 where there is none."""
        found = np.flatnonzero(np.isfinite(self.known))
        return int(found[-1]) if len(found) else -1

    def starts(self, place: int) -> datetime:
        """When a step starts."""
        return self.origin - (len(self.known) - place) * self.step


def flat_from(past: Past) -> int | None:
    """The first place of the stretch at the end in which all known values are equal for a day or longer, or None."""
    places = np.flatnonzero(np.isfinite(past.known))
    values = past.known[places]
    differs = np.flatnonzero(values != values[-1]) if len(values) else places
    start = int(differs[-1]) + 1 if len(differs) else 0
    return int(places[start]) if len(values) - start >= max(past.per_day, LEAST_FLAT) else None


def check_history(past: Past, is_lively: bool, late: timedelta) -> None:
    """Return if a model may answer from this history.

    Args:
        past: the history.
        is_lively: whether the series never stood still in training, as far as is known.
        late: by how much its newest value may be older than usual.

    Raises:
        StepDown: it is missing, absurd, flat, late, or too little.
    """
    n, newest = len(past.known), past.newest
    count = int(past.absurd[-past.per_day :].sum())
    if count > MOST_ABSURD * past.per_day:
        raise StepDown(f"absurd: {count} of the last {past.per_day} values of {past.name} cannot be believed")
    if newest < 0:
        raise StepDown(f"missing: no value of {past.name} in the {_days(n * past.step)} before the origin")
    start = flat_from(past) if is_lively else None
    if start is not None:
        raise StepDown(f"flat: {past.name} has not changed since {past.starts(start).isoformat()}")
    behind = (n - 1 - newest - past.usual_gap) * past.step
    if behind > max(late, past.step):
        hours = behind.total_seconds() / 3600
        raise StepDown(
            f"late: the newest value of {past.name} is of {past.starts(newest).isoformat()}, {hours:g} h older "
            "than usual"
        )
    usual = past.known[: n - past.usual_gap]
    share = float(np.isfinite(usual).mean())
    if share < LEAST_KNOWN:
        raise StepDown(
            f"too little: {past.name} is known for {share:.0%} of the {_days(n * past.step)} that are looked back "
            f"on, expected at least {LEAST_KNOWN:.0%}"
        )


def _days(span: timedelta) -> str:
    return f"{span / DAY:g} days"
