"""The rungs of the ladder: what a model answers, and what naive forecasts do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bento.answering import Answering
from bento.forecast.history import History, moving, rows_ahead
from bento.forecast.ladder import LAST, SEASONAL, ModelFailed, StepDown, check_history
from bento.forecast.naive import band, errors_at, seasonal_lag
from bento.forecast.plan import Plan
from bento.forecast.recent import following
from perennial.errors import NotEnoughDataError, PerennialError
from perennial.live.answer import Answers
from perennial.live.predict import Answered
from perennial.live.rows import ParsedRows

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
SHOWN = 3
MOST_MISSING = 0.2
"""The share of a forecast's rows that may be without a feature that training had."""

logger = logging.getLogger("bento.service")


@dataclass(frozen=True)
class Forecast:
    """The answer of one rung, a row per step.

    Attributes:
        times: what the rows are about (UTC).
        answered: the answers, with the version that the release of the rung has.
        answering: the release whose model, or whose naive forecasts, answered.
        inputs: the features of every row; empty where no model was asked.
    """

    times: list[datetime]
    answered: Answered
    answering: Answering
    inputs: list[dict[str, Any]]


def by_model(
    answering: Answering, plan: Plan, found: History, origin: datetime, steps: int, late: timedelta
) -> Forecast:
    """What a model answers; raises StepDown where its history or inputs are not fit, ModelFailed where it is not."""
    _check_origin(origin, plan)
    check_history(found.past, plan.is_lively, late)
    try:
        rows = rows_ahead(found.records, plan, origin).iloc[:steps]
        _check_inputs(rows, plan)
        bundle = answering.ready.bundle
        features: dict[str, Any] = {
            column.name: rows[column.name].to_numpy() for column in bundle.contract.features
        }
        predictor = answering.ready.predictor
        answered = following(predictor.answer_columns(features), plan, found, origin, predictor)
    except NotEnoughDataError as error:
        raise StepDown(f"the model cannot answer: {error}") from None
    except PerennialError as error:
        raise ModelFailed(f"the model cannot answer: {error}") from None
    except StepDown:
        raise
    except Exception as error:
        # Whatever a model or its features raise, a lower rung can answer.
        logger.exception("a forecast of %s failed", answering.names["version"])
        raise ModelFailed(f"the model failed ({type(error).__name__}); see the service's log") from error
    if not all(np.isfinite(bound).all() for bound in _numbers(answered.answers)):
        raise ModelFailed("the model's answer is no finite number")
    told = replace(answered, flags=tuple((*flags, *found.flags) for flags in answered.flags))
    return Forecast(_times(rows), told, answering, _plain(features, len(rows)))


def naive_rungs(
    answering: Answering, plan: Plan, found: History, origin: datetime, steps: int
) -> list[tuple[str, Callable[[], Forecast]]]:
    """The rungs that need no model."""

    def seasonal() -> Forecast:
        rows = rows_ahead(found.believed, plan, origin).iloc[:steps]
        for column, season in plan.followed.seasonal:
            values = rows[column].to_numpy(dtype=np.float64) if len(rows) else np.empty(0)
            if len(values) and np.isfinite(values).all():
                period = int(season / plan.followed.step)
                return _naive(answering, plan, found, _times(rows), values, period)
        raise StepDown(f"no value of {plan.followed.field} of a day or a week before")

    def last() -> Forecast:
        past = moving(found, plan)
        if past.newest < 0:
            raise StepDown(f"no value of {plan.followed.field} that can be believed")
        value = past.known[past.newest]
        rows = rows_ahead(found.believed, plan, origin).iloc[:steps]
        first = [origin + plan.followed.after + k * plan.followed.step for k in range(steps)]
        return _naive(answering, plan, found, _times(rows) or first, np.full(steps, value), 0)

    return [(SEASONAL, seasonal), (LAST, last)]


def _naive(
    answering: Answering, plan: Plan, found: History, times: list[datetime], values: Floats, period: int
) -> Forecast:
    """A naive forecast with intervals from its own errors; `period` is 0 for the last value."""
    past, rule = moving(found, plan), answering.ready.bundle.rule
    newest = past.starts(past.newest)
    distances = [round((time - plan.followed.lead - newest) / past.step) for time in times]
    lags = [seasonal_lag(d, period) if period else max(d, 1) for d in distances]
    errors = {lag: errors_at(past.known, lag) for lag in set(lags)}
    target = answering.ready.bundle.contract.target
    low = -np.inf if target.minimum is None else target.minimum
    high = np.inf if target.maximum is None else target.maximum
    bounds = []
    for level in rule.interval.levels if rule.interval else ():
        bands = {lag: band(errors[lag], level) or (np.nan, np.nan) for lag in errors}
        own = np.array([bands[lag] for lag in lags])
        bounds.append((np.clip(values + own[:, 0], low, high), np.clip(values + own[:, 1], low, high)))
    first, *further = bounds or [(None, None)]
    answers = Answers(values, first[0], first[1], None, tuple(further))
    return Forecast(times, _answered(answers, answering, found.flags), answering, [{} for _ in times])


def _answered(answers: Answers, answering: Answering, flags: tuple[str, ...]) -> Answered:
    n = len(answers.prediction)
    nothing = np.zeros(n, dtype=bool)
    parsed = ParsedRows((), np.empty((n, 0)), (flags,) * n, nothing)
    bundle = answering.ready.bundle
    return Answered(answers, parsed.flags, nothing, bundle.manifest.version, bundle.rule, parsed)


def _check_origin(origin: datetime, plan: Plan) -> None:
    """Return if a model was trained on such origins; raises StepDown."""
    newest = plan.followed.origin(origin)
    if newest != origin:
        hours = plan.followed.every.total_seconds() / 3600
        raise StepDown(
            f"origin: the model is trained on origins every {hours:g} h, such as {newest.isoformat()}, found "
            f"{origin.isoformat()}"
        )


def _check_inputs(rows: pd.DataFrame, plan: Plan) -> None:
    """Return if no feature is missing that was there in training; raises StepDown."""
    if not len(rows):
        raise StepDown(f"missing: no value of {plan.followed.field} was known at the origin")
    gone = [name for name in rows if name in plan.always and rows[name].isna().mean() > MOST_MISSING]
    if gone:
        more = f" and {len(gone) - SHOWN} more" if len(gone) > SHOWN else ""
        raise StepDown(f"missing: no value of {', '.join(gone[:SHOWN])}{more}, which training had")


def _numbers(answers: Answers) -> list[Floats]:
    pairs = ((answers.low, answers.high), *answers.further)
    bounds = [bound for pair in pairs for bound in pair if bound is not None]
    return [np.asarray(answers.prediction, dtype=np.float64), *bounds]


def _times(rows: pd.DataFrame) -> list[datetime]:
    return [time.to_pydatetime() for time in rows["time"]] if len(rows) else []


def _plain(features: dict[str, Any], n: int) -> list[dict[str, Any]]:
    """The features as JSON values, a mapping per row."""
    columns = {name: [_json(value) for value in values.tolist()] for name, values in features.items()}
    return [{name: values[row] for name, values in columns.items()} for row in range(n)]


def _json(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
