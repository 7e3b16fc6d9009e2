"""Series that are known ahead, such as a weather forecast: at the time that is predicted, and before the origin."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from perennial.data.features.known import carried
from perennial.data.features.lags import WEEK, mean
from perennial.data.features.origins import Floats, Origins, taken
from perennial.data.features.part import History, Part, Values
from perennial.table import Column

CELSIUS = "degC"
HEATING_C, COOLING_C = (16, 12, 8), (19, 23)
"""Degrees at which buildings start to be heated or cooled; several, because not all start at once."""
HALF_LIFE_HOURS = 24
"""How fast a building forgets the weather: what an hour counts for is halved by every further day."""
LONGEST_GAP = pd.Timedelta(days=1)
PLACES = {
    "": "at the time that is predicted",
    "_last_day": "mean of the last 24 hours before the origin",
    "_week_before": "a week before the time that is predicted",
}
"""Where a temperature's degree days are told: ahead, and at what the lags of the load are compared with."""


def given(name: str, field: str, unit: str, nearest_days: int, degree_days: bool = True) -> Part:
    """A series that is known ahead: at what is predicted, and at what lags look back to; degree days of temperatures.

    Args:
        name: what its windows and columns are called.
        field: what it is, for descriptions.
        unit: its unit.
        nearest_days: how many days before what is predicted the nearest lag lies.
        degree_days: whether degrees Celsius are also told as how far they lie below and above limits.
    """
    has_degree_days = degree_days and unit == CELSIUS
    nearest = f"_{nearest_days}d_before"
    told = {f"{name}{place}": f"{field}, {where}" for place, where in PLACES.items()}
    told[f"{name}_last_week"] = f"{field}, mean of the last seven days before the origin"
    told[f"{name}_around"] = f"{field}, mean of three hours around the time that is predicted"
    told[f"{name}{nearest}"] = f"{field}, {nearest_days} days before the time that is predicted"
    for form, about in _FORMS.items() if has_degree_days else ():
        told |= {f"{name}{form}{place}": f"{about}, {where}" for place, where in PLACES.items()}
    columns = tuple(Column(n, "number", about, unit=unit or "1", nullable=True) for n, about in told.items())

    def values(history: History) -> Values:
        origins = history.origins
        windows = carried(history.series[name], int(LONGEST_GAP / origins.step))
        found = {f"{name}{place}": value for place, value in _places(windows, origins).items()}
        week = windows[:, origins.back - WEEK * origins.per_day : origins.back]
        found[f"{name}_last_week"] = mean(week, axis=1)[:, None]
        found[f"{name}_around"] = _around(windows, origins.per_hour)[:, origins.back :]
        found[f"{name}{nearest}"] = taken(windows, origins.same_clock(nearest_days))
        for form, degrees in _degree_days(windows, origins) if has_degree_days else ():
            found |= {f"{name}{form}{place}": value for place, value in _places(degrees, origins).items()}
        return found

    return Part(name, columns, pd.Timedelta(days=2 * WEEK + nearest_days), "ahead", values)


_FORMS = {
    f"{smooth}_{side}_{limit}": f"degrees {side} {limit}{' of the smoothed temperature' if smooth else ''}"
    for smooth in ("", "_smooth")
    for side, limits in (("below", HEATING_C), ("above", COOLING_C))
    for limit in limits
}


def _degree_days(windows: Floats, origins: Origins) -> Iterator[tuple[str, Floats]]:
    smooth = _smoothed(windows, HALF_LIFE_HOURS * origins.per_day / 24)
    for form, formed in (("", windows), ("_smooth", smooth)):
        yield from ((f"{form}_below_{limit}", np.maximum(limit - formed, 0)) for limit in HEATING_C)
        yield from ((f"{form}_above_{limit}", np.maximum(formed - limit, 0)) for limit in COOLING_C)


def _places(windows: Floats, origins: Origins) -> dict[str, Floats]:
    return {
        "": windows[:, origins.back :],
        "_last_day": mean(windows[:, origins.back - origins.per_day : origins.back], axis=1)[:, None],
        "_week_before": taken(windows, origins.same_clock(WEEK)),
    }


def _around(windows: Floats, reach: int) -> Floats:
    """The mean of each place and `reach` places on either side, as far as there are any."""
    padded = np.pad(windows, ((0, 0), (reach, reach)), constant_values=np.nan)
    return mean(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1), axis=2)


def _smoothed(windows: Floats, half_life: float) -> Floats:
    """Exponentially weighted means over each window; where values are missing, the last one counts on.

    A window starts with its first value, and one without any stays missing.
    """
    held = carried(windows, windows.shape[1])
    first = np.take_along_axis(held, np.isfinite(held).argmax(axis=1)[:, None], axis=1)
    held = np.where(np.isfinite(held), held, first)
    keep = 0.5 ** (1 / half_life)
    smooth = np.empty_like(held)
    last = first[:, 0]
    for place in range(held.shape[1]):
        last = (1 - keep) * held[:, place] + keep * last
        smooth[:, place] = last
    return smooth
