"""Kinds of days: weekdays, public holidays and bridge days, the days around them, and the turn of the year."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.data.features.origins import Floats, Origins, Positions
from perennial.data.features.part import History, Part, Values
from perennial.errors import UnknownNameError
from perennial.table import Column

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FRIDAY, SATURDAY, SUNDAY = 4, 5, 6
EARLIER_DAYS = (7, 14)
MARGIN_DAYS = 2 + max(EARLIER_DAYS)

OF_THE_DAY = {
    "holiday": "share of the country's regions in which the day is a public holiday",
    "holiday_next": "the same of the day after",
    "holiday_before": "the same of the day before",
    "bridge_day": "1 for a working day between a holiday and another day off",
    "turn_of_year": "1 from 21 December to 5 January",
    "christmas": "1 from 24 December to 1 January",
}
OF_EARLIER_DAYS = ("holiday", "christmas")


def kinds_of_days(country: str) -> Part:
    """The kind of the predicted day; with a country also its holidays and the turn of the year.

    A holiday counts as a Sunday, a bridge day as a Friday. The same is told of the days one and two weeks before,
    which lags come from, and of the day before the origin and the one a week before that.
    """
    columns = [
        Column(
            "day_type",
            "category",
            "local weekday; a public holiday counts as sunday, a bridge day as friday",
            categories=tuple(sorted(WEEKDAYS)),
        )
    ]
    if country:
        told = dict(OF_THE_DAY)
        for name in OF_EARLIER_DAYS:
            told |= {f"{name}_{d}d": f"{OF_THE_DAY[name]}, of {d} days before" for d in EARLIER_DAYS}
        told["holiday_last_day"] = f"{OF_THE_DAY['holiday']}, of the day before the origin"
        told["holiday_last_week"] = f"{OF_THE_DAY['holiday']}, of a week before that"
        columns += [
            Column(name, "number", about, unit="1", minimum=0, maximum=1) for name, about in told.items()
        ]

    def values(history: History) -> Values:
        days = days_of(history.origins, country)
        found: dict[str, npt.NDArray[np.generic]] = {"day_type": np.array(WEEKDAYS)[days.types][days.targets]}
        if not country:
            return found
        found |= {name: days.facts[name][days.targets] for name in OF_THE_DAY}
        for name in OF_EARLIER_DAYS:
            found |= {f"{name}_{d}d": days.facts[name][days.targets - d] for d in EARLIER_DAYS}
        holiday = days.facts["holiday"]
        return found | {
            "holiday_last_day": holiday[days.last][:, None],
            "holiday_last_week": holiday[days.last - 7][:, None],
        }

    return Part("kinds_of_days", tuple(columns), pd.Timedelta(days=MARGIN_DAYS), "ahead", values)


@dataclass(frozen=True)
class Days:
    """The local days around origins.

    Attributes:
        types: 0 to 6 for Monday to Sunday, shape (n_days,); see `kinds_of_days`.
        facts: what `OF_THE_DAY` says, each of shape (n_days,); zeros without a country.
        targets: the day of every predicted step, shape (n_origins, ahead).
        last: the day of the last step before every origin, shape (n_origins,).
    """

    types: Positions
    facts: Mapping[str, Floats]
    targets: Positions
    last: Positions


def days_of(origins: Origins, country: str) -> Days:
    """The local days of the origins' steps, and two weeks before them."""
    midnights = origins.local.normalize()
    margin = pd.Timedelta(days=MARGIN_DAYS)
    days = pd.date_range(midnights[0] - margin, midnights[-1] + margin, freq="D")
    place = np.asarray((midnights - days[0]).days, dtype=np.int64)
    facts = _facts(days, country)
    types = np.asarray(days.dayofweek, dtype=np.int64)
    types = np.where(facts["holiday"] > 0.5, SUNDAY, np.where(facts["bridge_day"] > 0, FRIDAY, types))
    last = place[np.maximum(origins.places - 1, 0)]
    return Days(types, facts, place[origins.targets], last)


def holiday_shares(country: str, days: pd.DatetimeIndex) -> Floats:
    """The share of a country's regions in which each of these days is a public holiday, shape (n_days,).

    Raises:
        UnknownNameError: where the package `holidays` does not know the country.
    """
    import holidays

    known = holidays.list_supported_countries(include_aliases=True)
    if country not in known:
        raise UnknownNameError("country in features.country", country, known)
    years = range(int(days.year.min()), int(days.year.max()) + 1)
    regions = holidays.country_holidays(country).subdivisions or (None,)
    calendars = [holidays.country_holidays(country, subdiv=region, years=years) for region in regions]
    share: Floats = np.mean([days.isin(pd.DatetimeIndex(sorted(c))) for c in calendars], axis=0)
    return share


def _facts(days: pd.DatetimeIndex, country: str) -> dict[str, Floats]:
    """What is true of each day; that of the first and the last one is wrong, and nothing asks for it."""
    if not country:
        return {name: np.zeros(len(days)) for name in OF_THE_DAY}
    holiday = holiday_shares(country, days)
    is_holiday = holiday > 0.5
    is_off = is_holiday | np.asarray(days.dayofweek >= SATURDAY)
    before, after = np.roll(is_off, 1), np.roll(is_off, -1)
    between = (np.roll(is_holiday, 1) & after) | (before & np.roll(is_holiday, -1))
    date = np.asarray(days.month * 100 + days.day)
    return {
        "holiday": holiday,
        "holiday_next": np.roll(holiday, -1),
        "holiday_before": np.roll(holiday, 1),
        "bridge_day": (between & ~is_off).astype(np.float64),
        "turn_of_year": ((date >= 1221) | (date <= 105)).astype(np.float64),
        "christmas": ((date >= 1224) | (date <= 101)).astype(np.float64),
    }
