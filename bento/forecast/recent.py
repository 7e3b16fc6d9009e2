"""How wide a forecast's intervals are, by how those of the last origins would have held."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bento.forecast.history import History
from bento.forecast.plan import Plan
from perennial.errors import NotEnoughDataError
from perennial.live.predict import Answered, Predictor
from perennial.live.recent import factors, ratios, scaled

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]


def following(
    answered: Answered, plan: Plan, found: History, origin: datetime, predictor: Predictor
) -> Answered:
    """The answers with intervals that follow the last ones, where the model's rule says so.

    The model forecasts again from the earlier origins of the history, each as it was known then, and the rule of
    training (`perennial.live.recent`) compares these with what came. A history that reaches no farther back than the
    features read leaves the intervals as they were learned.
    """
    rule = answered.rule
    if rule.interval is None or rule.interval.recent is None:
        return answered
    past = _past(plan, found, origin, timedelta(days=rule.interval.recent.days))
    if past is None:
        return answered
    contract = predictor.bundle.contract
    answers = predictor.answer_columns({c.name: past[c.name].to_numpy() for c in contract.features}).answers
    moments = np.column_stack(
        [_hours(past[contract.of_role(role).name]) for role in ("known_at", "time")]  # type: ignore[arg-type]
    )
    truth = past[contract.target.name].to_numpy(dtype=np.float64)
    at = np.array([origin.timestamp() / 3600.0])
    by = factors(ratios(answers, rule, truth), moments, at, rule.interval)
    widened = scaled(answered.answers, rule, np.repeat(by, len(answered.answers.prediction), axis=0))
    return replace(answered, answers=widened)


def _past(plan: Plan, found: History, origin: datetime, back: timedelta) -> pd.DataFrame | None:
    """The rows of earlier origins whose truth is known; None where the history is too short for any."""
    import pandas as pd

    look_back = plan.followed.look_back
    happened = found.records["event_time"]
    records = found.records[happened >= pd.Timestamp(origin - back - look_back)]
    own = records["event_time"][records["feed"] == plan.followed.feed]
    if not len(own):
        return None
    try:
        rows = plan.system.prepare(records, plan.source, plan.features)
    except NotEnoughDataError:
        return None
    known = rows["known_at"]
    is_whole = (known >= own.min() + look_back) & (known < pd.Timestamp(origin))
    return rows[is_whole] if is_whole.any() else None


def _hours(times: pd.Series[pd.Timestamp]) -> Floats:
    import pandas as pd

    since = pd.to_datetime(times, utc=True) - pd.Timestamp(0, tz="UTC")
    return np.asarray(since.dt.total_seconds(), dtype=np.float64) / 3600.0
