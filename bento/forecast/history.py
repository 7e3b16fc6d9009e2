"""The history of one forecast: records without values that cannot be believed, and the followed series in steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from bento.forecast.ladder import Past, flat_from
from bento.forecast.plan import Plan
from perennial.errors import NotEnoughDataError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class History:
    """What is known at an origin.

    Attributes:
        past: the followed series.
        records: what was available at the origin, for a model; values that were not believed are missing.
        believed: the same for naive forecasts: without a stretch at the end that does not change.
        unbelieved: how many records had a value that was not believed.
    """

    past: Past
    records: pd.DataFrame
    believed: pd.DataFrame
    unbelieved: int

    @property
    def flags(self) -> tuple[str, ...]:
        """What an answer must say of the history."""
        if not self.unbelieved:
            return ()
        values = f"{self.unbelieved} value{'s' * (self.unbelieved > 1)}"
        return (f"{values} of {self.past.name} cannot be believed: treated as missing",)


def history(records: pd.DataFrame, plan: Plan, origin: datetime) -> History:
    """The history of a forecast that is made at `origin`."""
    import pandas as pd

    followed, moment = plan.followed, pd.Timestamp(origin)
    known = records[records["available_at"] <= moment]
    values = known[followed.field].astype(float)
    is_absurd = (known["feed"] == followed.feed) & ((values < plan.low) | (values > plan.high))
    kept = known.assign(**{followed.field: values.mask(is_absurd)})
    n = int(followed.look_back / followed.step)
    steps = pd.date_range(end=moment.floor(_step(plan)) - followed.step, periods=n, freq=_step(plan))
    place = steps.get_indexer(pd.DatetimeIndex(known["event_time"][is_absurd]).floor(_step(plan)))
    absurd = np.zeros(n, dtype=bool)
    absurd[place[place >= 0]] = True
    past = Past(
        followed.field,
        np.asarray(_means(kept, plan, moment).reindex(steps), dtype=np.float64),
        absurd,
        origin,
        followed.step,
        followed.delay,
    )
    start = flat_from(past) if plan.is_lively else None
    still = False if start is None else known["event_time"] >= pd.Timestamp(past.starts(start))
    own = (known["feed"] == followed.feed) & still
    believed = kept.assign(**{followed.field: kept[followed.field].mask(own)})
    return History(past, kept, believed, int(is_absurd.sum()))


def moving(found: History, plan: Plan) -> Past:
    """The past without the stretch at its end that does not change."""
    start = flat_from(found.past) if plan.is_lively else None
    known = found.past.known.copy()
    if start is not None:
        known[start:] = np.nan
    return Past(
        found.past.name, known, found.past.absurd, found.past.origin, found.past.step, found.past.delay
    )


def rows_ahead(records: pd.DataFrame, plan: Plan, origin: datetime) -> pd.DataFrame:
    """The rows of the forecast by the system's plugin; none where there is no record to make them from."""
    import pandas as pd

    make = plan.system.ahead
    if make is None:
        return pd.DataFrame()
    try:
        return make(records, plan.source, plan.features, origin)
    except NotEnoughDataError:
        return pd.DataFrame()


def _means(records: pd.DataFrame, plan: Plan, moment: pd.Timestamp) -> pd.Series[float]:
    """The mean per step of what was known of the series."""
    import pandas as pd

    from perennial.data.features.known import step_means
    from perennial.data.records import as_of

    followed = plan.followed
    return step_means(as_of(records, moment, followed.feed), followed.field, pd.Timedelta(followed.step))


def _step(plan: Plan) -> str:
    """The length of a step in pandas' words."""
    return f"{int(plan.followed.step.total_seconds())}s"
