"""The Crypto Fear & Greed index of the next day, from its past and from bitcoin's candles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from perennial.config import Source
from perennial.config_features import DailyFeatures
from perennial.systems import System, feeds_of, own_features, require_records
from perennial.table import Column, Contract

if TYPE_CHECKING:
    import pandas as pd

    from perennial.config_features import Features

OWN = ("index", "candles")
INDEX_LAGS, INDEX_MEANS, RETURN_DAYS = (1, 2, 3, 7), (7, 30), (1, 7, 30)
POINTS = Column("", "number", "", unit="points", minimum=0, maximum=100)

COLUMNS = (
    Column("id", "text", "digest of the row's content", role="id"),
    Column("time", "time", "day that is predicted", role="time"),
    Column("known_at", "time", "when the newest value of the index was known", role="known_at"),
    replace(POINTS, name="index", description="newest value of the index"),
    *(
        replace(POINTS, name=f"index_lag_{days}", description=f"index {days} days before that", nullable=True)
        for days in INDEX_LAGS
    ),
    *(
        replace(POINTS, name=f"index_mean_{days}", description=f"mean of the last {days} days", nullable=True)
        for days in INDEX_MEANS
    ),
    *(
        Column(f"return_{days}", "number", f"log return of bitcoin over {days} days", unit="1", nullable=True)
        for days in RETURN_DAYS
    ),
    Column("volatility_30", "number", "standard deviation of 30 daily log returns", unit="1", nullable=True),
    replace(POINTS, name="index_next", description="index of the next day", role="target"),
)


def contract(source: Source, features: Features | None = None) -> Contract:
    """The features of a day, and one more per outside series of the source."""
    own_features("fear_greed", features, DailyFeatures)
    from perennial.data.series import series_columns

    return Contract("fear_greed", (*COLUMNS, *series_columns(feeds_of("fear_greed", source, OWN), OWN)))


def prepare(records: pd.DataFrame, source: Source, features: Features | None = None) -> pd.DataFrame:
    """A row per day whose next day is known; features use what was available when the day's value came out."""
    import pandas as pd

    from perennial.data.records import current, first
    from perennial.data.series import with_series

    require_records("fear_greed", records, OWN)
    index = first(records, "index").set_index("event_time").sort_index()
    daily = index["fear_greed_index"].asfreq("D")
    day = pd.Timedelta(days=1)
    truth = current(records, "index").set_index("event_time")["fear_greed_index"]
    rows = pd.DataFrame(
        {
            "time": daily.index + day,
            "known_at": index["available_at"].reindex(daily.index),
            "index": daily,
            **{f"index_lag_{n}": daily.shift(n) for n in INDEX_LAGS},
            **{f"index_mean_{n}": daily.rolling(n).mean() for n in INDEX_MEANS},
            "index_next": truth.reindex(daily.index + day).to_numpy(),
        }
    )
    rows = rows.dropna(subset=["index", "index_next"]).sort_values("known_at", kind="stable")
    joined = pd.merge_asof(
        rows, _candles(records), left_on="known_at", right_on="available_at", direction="backward"
    )
    return with_series(joined.drop(columns="available_at"), records, feeds_of("fear_greed", source, OWN), OWN)


def _candles(records: pd.DataFrame) -> pd.DataFrame:
    """What a day's candle says about returns and volatility, by when the candle was known."""
    import numpy as np

    from perennial.data.records import first

    candles = first(records, "candles").set_index("event_time").sort_index()
    closes = np.log(candles["close_usdt"].asfreq("D"))
    known = candles["available_at"].reindex(closes.index)
    features = {f"return_{n}": closes.diff(n) for n in RETURN_DAYS}
    frame = closes.to_frame("close").assign(
        available_at=known, volatility_30=closes.diff().rolling(30).std(), **features
    )
    candles_known: pd.DataFrame = frame.drop(columns="close").dropna(subset=["available_at"])
    return candles_known.sort_values("available_at")


SYSTEM = System(
    name="fear_greed",
    title="Crypto Fear & Greed index of the next day",
    task="regression",
    contract=contract,
    prepare=prepare,
)
