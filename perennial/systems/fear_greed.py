"""The Crypto Fear & Greed index, or bitcoin's close, some days ahead."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from perennial.config import Source
from perennial.config_features import DailyFeatures
from perennial.systems import Followed, System, feeds_of, own_features, require_records
from perennial.table import Column, Contract

if TYPE_CHECKING:
    import pandas as pd

    from perennial.config_features import Features
    from perennial.config_web import WebSource

OWN = ("index", "candles")
CARRIED_DAYS = 3
"""How long the last value of the index stands in for days without one."""
HISTORY = 28
DAY = timedelta(days=1)
REMEMBERED_DAYS = 400
"""After so many days the slowest exponential mean has forgotten all but 1e-12 of what came before."""
CHANGES, GAPS, RETURNS, VOLATILITIES, AVERAGES = (1, 2, 3, 7), (7, 30), (7, 30, 90), (7, 30), (10, 50)
BASELINES = {
    "persistence": "the newest known value",
    "moving_average": "mean of the last 7 known values",
    "drift": "the newest value, and the mean change of 30 days from there on",
    "seasonal_naive_week": "the newest known value of the same weekday",
}
TARGETS = {"index": ("index", "fear_greed_index"), "close": ("candles", "close_usdt")}
UNITS = {"index": "points", "close": "USDT"}


def contract(source: Source, features: Features | None = None) -> Contract:
    """The features of a day, and one more per outside series of the source."""
    chosen = own_features("fear_greed", features, DailyFeatures)
    from perennial.data.series import series_columns

    unit = UNITS[chosen.target]
    columns = (
        Column("id", "text", "digest of the row's content", role="id"),
        Column("time", "time", "end of the day that is predicted", role="time"),
        Column("known_at", "time", "when the newest candle was known", role="known_at"),
        Column("index", "number", "newest known value of the index", unit="points", minimum=0, maximum=100),
        Column("close", "number", "newest known close of bitcoin", unit="USDT", minimum=0),
        *(_number(name, about) for name, about in _descriptions(chosen).items()),
        *(
            Column(name, "number", about, role="baseline", unit=unit, nullable=True)
            for name, about in BASELINES.items()
        ),
        *series_columns(feeds_of("fear_greed", source, OWN), OWN),
        Column(f"{chosen.target}_next", "number", "value of that day", role="target", unit=unit, minimum=0),
    )
    return Contract("fear_greed", columns)


def prepare(records: pd.DataFrame, source: Source, features: Features | None = None) -> pd.DataFrame:
    """A row per day whose candle is known and whose later day is: made when the candle was closed.

    At that moment the index of the next day is not out yet; a day of which it was is left out.
    """
    from perennial.data.series import with_series

    chosen = own_features("fear_greed", features, DailyFeatures)
    require_records("fear_greed", records, OWN)
    rows, came = _rows(records, chosen)
    is_ahead = came.to_numpy() > rows["known_at"].to_numpy()
    usable = rows[is_ahead].dropna(subset=["known_at", "index", "close", f"{chosen.target}_next"])
    return with_series(usable.reset_index(drop=True), records, feeds_of("fear_greed", source, OWN), OWN)


def ahead(records: pd.DataFrame, source: Source, features: Features | None, origin: datetime) -> pd.DataFrame:
    """The one row of the day whose candle is the last that should be closed at the origin.

    Where it is not there, its values are missing, and `known_at` is the origin.

    Raises:
        NotEnoughDataError: where no index or no candle was available at the origin.
    """
    import pandas as pd

    from perennial.data.series import with_series

    chosen = own_features("fear_greed", features, DailyFeatures)
    moment = pd.Timestamp(origin).tz_convert("UTC").as_unit("us")
    known = records[records["available_at"] <= moment]
    require_records("fear_greed", known, OWN)
    web = feeds_of("fear_greed", source, OWN)
    rows, _ = _rows(known, chosen, (moment - _closes_after(web)).floor("D"))
    row = rows.iloc[-1:].reset_index(drop=True).fillna({"known_at": moment})
    return with_series(row, known, web, OWN)


def follows(source: Source, features: Features | None) -> Followed:
    """The index, or bitcoin's close."""
    chosen = own_features("fear_greed", features, DailyFeatures)
    web = feeds_of("fear_greed", source, OWN)
    feed, field = TARGETS[chosen.target]
    return Followed(
        feed=feed,
        field=field,
        step=DAY,
        steps=1,
        looks_back=lambda: timedelta(days=REMEMBERED_DAYS),
        lead=DAY,
        after=chosen.horizon_days * DAY,
        delay=max(timedelta(seconds=web.feeds[feed].available_after_s or 0.0), DAY),
        every=DAY,
        first=timedelta(0),
        seasonal=(("seasonal_naive_week", 7 * DAY),),
    )


def _closes_after(source: WebSource) -> timedelta:
    """How long after its opening a candle is known."""
    delay_s = source.feeds["candles"].available_after_s
    return DAY if delay_s is None else timedelta(seconds=delay_s)


def _rows(
    records: pd.DataFrame, chosen: DailyFeatures, last: pd.Timestamp | None = None
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """A row per day from the first candle to the last one (or to `last`), and when its truth came.

    Whatever was not known is missing, the truth too.
    """
    import pandas as pd

    from perennial.data.records import current, first

    opened = first(records, "candles").set_index("event_time").sort_index()
    days = pd.date_range(opened.index[0], opened.index[-1] if last is None else last, freq="D", unit="us")
    candles = opened.reindex(days)
    index = first(records, "index").set_index("event_time").sort_index().reindex(days)
    known_at = candles["available_at"]
    known = index["fear_greed_index"].where(index["available_at"] <= known_at).astype(float)
    frame = candles[["open_usdt", "high_usdt", "low_usdt", "close_usdt", "volume_btc"]].astype(float)
    values = known.ffill(limit=CARRIED_DAYS)
    ahead = chosen.horizon_days
    feed, field = TARGETS[chosen.target]
    later = days + pd.Timedelta(days=ahead)
    truth = current(records, feed).set_index("event_time")[field].astype(float).reindex(later)
    came = first(records, feed).set_index("event_time")["available_at"].reindex(later)
    rows = pd.DataFrame(
        {
            "time": later + pd.Timedelta(days=1),
            "known_at": known_at,
            "index": values,
            "close": frame["close_usdt"],
            **_features(values, frame, chosen),
            **_naive(values if chosen.target == "index" else frame["close_usdt"], ahead),
            f"{chosen.target}_next": truth.to_numpy(),
        }
    )
    return rows, came


def _features(index: pd.Series[Any], candles: pd.DataFrame, chosen: DailyFeatures) -> dict[str, Any]:
    """The features of every day, by name, in the order of `_descriptions`."""
    import numpy as np

    from perennial.data.features import indicators

    close, volume = candles["close_usdt"], np.log(candles["volume_btc"].where(candles["volume_btc"] > 0))
    newest, busy = indicators.log_return(close, 1), indicators.mean_gap(volume, 30)
    history = index if chosen.target == "index" else close
    return {
        **{f"{chosen.target}_lag_{n}": history.shift(n) for n in range(1, HISTORY + 1)},
        **{f"index_change_{n}": index.diff(n) for n in CHANGES},
        **{f"index_gap_{n}": indicators.mean_gap(index, n) for n in GAPS},
        **{f"return_{n}_days_ago": newest.shift(n) for n in range(4)},
        **{f"return_{n}": indicators.log_return(close, n) for n in RETURNS},
        **{f"volatility_{n}": indicators.volatility(close, n) for n in VOLATILITIES},
        "return_scaled": newest / indicators.volatility(close, 30),
        "return_size": newest.abs(),
        "volume_gap": busy,
        "volume_move": busy * newest,
        "day_range": np.log(candles["high_usdt"] / candles["low_usdt"]),
        "relative_strength": indicators.relative_strength(close),
        "macd_gap": indicators.macd_gap(close),
        "band_position": indicators.band_position(close),
        **{f"average_gap_{n}": indicators.mean_gap(np.log(close), n) for n in AVERAGES},
    }


def _descriptions(chosen: DailyFeatures) -> dict[str, str]:
    of = "index" if chosen.target == "index" else "close"
    return {
        **{f"{of}_lag_{n}": f"{of} {n} days before the newest one" for n in range(1, HISTORY + 1)},
        **{f"index_change_{n}": f"change of the index in {n} days" for n in CHANGES},
        **{f"index_gap_{n}": f"index above its mean of {n} days" for n in GAPS},
        **{
            f"return_{n}_days_ago": f"bitcoin's log return of the day {n} days before the newest"
            for n in range(4)
        },
        **{f"return_{n}": f"bitcoin's log return over {n} days" for n in RETURNS},
        **{f"volatility_{n}": f"standard deviation of {n} daily log returns" for n in VOLATILITIES},
        "return_scaled": "newest log return over its standard deviation of 30 days",
        "return_size": "size of the newest log return",
        "volume_gap": "log volume above its mean of 30 days",
        "volume_move": "that times the newest log return",
        "day_range": "log of the day's high over its low",
        "relative_strength": "relative strength index of 14 days",
        "macd_gap": "moving averages' divergence less its signal, of the close",
        "band_position": "place between the Bollinger bands of 20 days",
        **{f"average_gap_{n}": f"log close above its mean of {n} days" for n in AVERAGES},
    }


def _number(name: str, about: str) -> Column:
    unit = "USDT" if name.startswith("close_") else "points" if name.startswith("index_") else "1"
    return Column(name, "number", about, unit=unit, nullable=True)


def _naive(values: pd.Series[Any], ahead: int) -> dict[str, Any]:
    """The naive forecasts of `BASELINES` (Hyndman and Athanasopoulos 2021, section 5.2)."""
    return {
        "persistence": values,
        "moving_average": values.rolling(7, min_periods=1).mean(),
        "drift": values + ahead * values.diff(30).fillna(0.0) / 30,
        "seasonal_naive_week": values.shift(-ahead % 7),
    }


SYSTEM = System(
    name="fear_greed",
    title="Crypto Fear & Greed index, or bitcoin's close, some days ahead",
    task="regression",
    contract=contract,
    prepare=prepare,
    ahead=ahead,
    follows=follows,
)
