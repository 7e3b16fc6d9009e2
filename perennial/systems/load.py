"""Electricity load of the next days, step by step: rolling origins, and what was known at each."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from perennial.config import Source
from perennial.config_features import SeriesFeatures
from perennial.errors import InputError, NotEnoughDataError, UnknownNameError
from perennial.systems import Followed, System, feeds_of, own_features, require_records
from perennial.table import Column, Contract

if TYPE_CHECKING:
    import pandas as pd

    from perennial.config_features import Features
    from perennial.config_web import WebSource
    from perennial.data.features.lags import Series
    from perennial.data.features.origins import Origins
    from perennial.data.features.part import Part

OWN = ("load",)
FIRST_DAYS = 7


def contract(source: Source, features: Features | None = None) -> Contract:
    """The features of a predicted step; those of further feeds are given ahead, or what was newest at the origin."""
    chosen = own_features("load", features, SeriesFeatures)
    from perennial.data.series import series_columns

    web = feeds_of("load", source, OWN)
    columns = [column for part in parts(web, chosen) for column in part.columns]
    horizon_h = chosen.horizon_hours
    return Contract(
        "load",
        (
            Column("id", "text", "digest of the row's content", role="id"),
            Column("time", "time", "start of the step that is predicted", role="time"),
            Column("known_at", "time", "the origin: when it is predicted", role="known_at"),
            Column(
                "horizon_hours",
                "number",
                "from the origin to the start of the step",
                unit="h",
                minimum=0,
                maximum=horizon_h,
            ),
            *columns,
            *series_columns(web, OWN, chosen.given),
            Column("load_mw", "number", "mean load in the step", role="target", unit="MW"),
        ),
    )


def prepare(records: pd.DataFrame, source: Source, features: Features | None = None) -> pd.DataFrame:
    """A row per origin and step of its horizon of which the load is known, from what was known at the origin.

    Raises:
        NotEnoughDataError: where there are no records, or fewer than a week of them before the last.
        InputError: where the steps and origins of the config do not fit each other.
    """
    import pandas as pd

    from perennial.data.features.known import step_means
    from perennial.data.records import current

    chosen, web = own_features("load", features, SeriesFeatures), feeds_of("load", source, OWN)
    require_records("load", records, OWN)
    found = parts(web, chosen)
    truth = step_means(current(records, "load"), "load_mw", pd.Timedelta(minutes=chosen.step_minutes))
    rows = _rows(records, web, chosen, found, _origins(truth, found, chosen), truth)
    return rows[rows["load_mw"].notna()].reset_index(drop=True)


def ahead(records: pd.DataFrame, source: Source, features: Features | None, origin: datetime) -> pd.DataFrame:
    """The rows of one origin, a row per step of the horizon; what became available later is not looked at.

    Raises:
        NotEnoughDataError: where no load was available at the origin.
        InputError: where the origin lies between two steps, or the steps do not fit each other.
    """
    import pandas as pd

    chosen, web = own_features("load", features, SeriesFeatures), feeds_of("load", source, OWN)
    moment = pd.Timestamp(origin).tz_convert("UTC")
    if moment.floor(f"{chosen.step_minutes}min") != moment:
        raise InputError(
            f"expected an origin on a step of {chosen.step_minutes} min, found {origin.isoformat()}"
        )
    known = records[records["available_at"] <= moment]
    require_records("load", known, OWN)
    found = parts(web, chosen)
    around = _around(pd.DatetimeIndex([moment]).as_unit("us"), found, chosen)
    return _rows(known, web, chosen, found, around, pd.Series(dtype=float, index=around.steps[:0]))


def follows(source: Source, features: Features | None) -> Followed:
    """The load."""
    chosen, web = own_features("load", features, SeriesFeatures), feeds_of("load", source, OWN)
    step = timedelta(minutes=chosen.step_minutes)
    return Followed(
        feed="load",
        field="load_mw",
        step=step,
        steps=int(timedelta(hours=chosen.horizon_hours) / step),
        looks_back=lambda: max(part.look_back for part in parts(web, chosen)).to_pytimedelta(),
        lead=timedelta(0),
        after=timedelta(0),
        delay=timedelta(seconds=web.feeds["load"].available_after_s or step.total_seconds()),
        every=timedelta(hours=chosen.every_hours),
        first=timedelta(hours=chosen.first_hour),
        seasonal=(("seasonal_naive_week", timedelta(days=7)), ("seasonal_naive_day", timedelta(days=1))),
    )


def _rows(
    records: pd.DataFrame,
    web: WebSource,
    features: SeriesFeatures,
    found: tuple[Part, ...],
    origins: Origins,
    truth: pd.Series[float],
) -> pd.DataFrame:
    """A row per origin and step of its horizon; the load is missing where `truth` does not have it."""
    import numpy as np
    import pandas as pd

    from perennial.data.features.part import flat
    from perennial.data.series import with_series

    history = _history(records, web, origins, features)
    values: dict[str, Any] = {
        "time": origins.steps.tz_localize(None).to_numpy()[origins.targets],
        "known_at": origins.moments.tz_localize(None).to_numpy()[:, None],
        "horizon_hours": np.arange(origins.ahead)[None] * (origins.step / pd.Timedelta(hours=1)),
    }
    for part in found:
        values |= part.values(history)
    values["load_mw"] = truth.reindex(origins.steps).to_numpy()[origins.targets]
    rows = pd.DataFrame(flat(values, origins))
    rows = rows.assign(**{name: rows[name].dt.tz_localize("UTC") for name in ("time", "known_at")})
    return with_series(rows, records, web, OWN, features.given)


def parts(source: WebSource, features: SeriesFeatures) -> tuple[Part, ...]:
    """The parts that the features are made of, in the order of the contract."""
    from perennial.data.features.calendar import clock, season
    from perennial.data.features.days_off import kinds_of_days
    from perennial.data.features.lags import lag_parts
    from perennial.data.features.naive import naive

    series = _series(features)
    return (
        clock(features.zone),
        kinds_of_days(features.country),
        season(),
        *lag_parts(series, features.country),
        *_given(source, features, series.nearest_days),
        naive(series),
    )


def _given(source: WebSource, features: SeriesFeatures, nearest_days: int) -> tuple[Part, ...]:
    """A part per given field.

    Raises:
        UnknownNameError: where one is no number of another feed.
    """
    from perennial.data.features.given import given

    known = {
        f"{feed}.{field}": rule.unit
        for feed, of in source.feeds.items()
        for field, rule in of.fields.items()
        if feed not in OWN and rule.parse in ("number", "integer")
    }
    for name in features.given:
        if name not in known:
            raise UnknownNameError("FEED.FIELD in features.given", name, known)
    return tuple(
        given(_column(name), name.partition(".")[2], known[name], nearest_days, features.degree_days)
        for name in features.given
    )


def _series(features: SeriesFeatures) -> Series:
    import pandas as pd

    from perennial.data.features.lags import Series

    step = pd.Timedelta(minutes=features.step_minutes)
    ahead = pd.Timedelta(hours=features.horizon_hours) / step
    if ahead % 1:
        raise InputError(
            f"features.horizon_hours: expected a whole number of steps of {features.step_minutes} min, found "
            f"{features.horizon_hours:g} h"
        )
    return Series("load", "MW", features.lags, step, int(ahead))


def _origins(truth: pd.Series[float], found: tuple[Part, ...], features: SeriesFeatures) -> Origins:
    """The origins behind the first week of known load, up to the last known step."""
    import pandas as pd

    from perennial.data.features.origins import origins_between

    first = truth.index[0] if len(truth) else pd.Timestamp(0, tz="UTC")
    last = truth.index[-1] if len(truth) else first
    every, step = pd.Timedelta(hours=features.every_hours), pd.Timedelta(minutes=features.step_minutes)
    after = pd.Timedelta(hours=features.first_hour)
    moments = origins_between(first + pd.Timedelta(days=FIRST_DAYS), last, every, step, after)
    if not len(moments):
        raise NotEnoughDataError(
            "system load, days of records before an origin", (last - first).days, FIRST_DAYS
        )
    return _around(moments, found, features)


def _around(moments: pd.DatetimeIndex, found: tuple[Part, ...], features: SeriesFeatures) -> Origins:
    """The origins with as many steps around each as the parts read."""
    from perennial.data.features.origins import Origins

    series = _series(features)
    back = max(part.look_back for part in found) // series.step + series.ahead
    return Origins(moments, series.step, int(back), series.ahead, features.zone)


def _history(records: pd.DataFrame, source: WebSource, origins: Origins, features: SeriesFeatures) -> Any:
    """What was known at the origins of the load before them, and of given series around them."""
    from perennial.data.features.known import known_windows, spacing
    from perennial.data.features.lags import without_gaps
    from perennial.data.features.part import History

    load = records[records["feed"] == "load"]
    known = known_windows(load, "load_mw", origins)
    known[:, origins.back :] = float("nan")
    series = {"load": without_gaps(known, origins)}
    for name in features.given:
        feed, _, field = name.partition(".")
        series[_column(name)] = known_windows(records[records["feed"] == feed], field, origins)
    delay_s = source.feeds["load"].available_after_s or 0.0
    late = delay_s - min(spacing(load), origins.step).total_seconds()
    return History(origins, series, shift=max(int(-(-late // origins.step.total_seconds())), 0))


def _column(name: str) -> str:
    return name.replace(".", "_")


SYSTEM = System(
    name="load",
    title="electricity load of the next 48 hours",
    task="regression",
    contract=contract,
    prepare=prepare,
    segments=("day_type",),
    horizon="horizon_hours",
    ahead=ahead,
    follows=follows,
)
