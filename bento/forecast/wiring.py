"""The forecaster of a worker, made from its environment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import timedelta

from bento.answering import Answering
from bento.forecast.before import Before
from bento.forecast.forecaster import LATE, Forecaster
from bento.record import Recorder
from bento.state import settings
from bento.watch import Standing
from perennial.errors import InputError, PerennialError

LATE_HOURS = "PERENNIAL_LATE_HOURS"


def late_in(environment: Mapping[str, str]) -> timedelta:
    """By how much history may be older than usual; raises InputError where the variable holds no such number."""
    text = environment.get(LATE_HOURS)
    if not text:
        return LATE
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0.0 <= hours <= 24.0 * 366:
        raise InputError(f"expected {LATE_HOURS} to be a number of hours from 0 to 8784, found {text!r}")
    return timedelta(hours=hours)


def forecaster(
    environment: Mapping[str, str], standing: Callable[[], Standing], recorder: Recorder | None
) -> Forecaster:
    """What answers forecasts; observations are kept in the recorder's journal.

    Raises:
        InputError: a setting is wrong.
    """
    try:
        before: Callable[[Answering], Answering | None] = Before(settings(environment), standing)
    except PerennialError:
        before = _none  # the watch says what is wrong, and nothing answers
    return Forecaster(before, None if recorder is None else recorder.store, late_in(environment))


def _none(answering: Answering) -> None:
    return None
