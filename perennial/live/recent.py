"""Intervals that follow how the last ones held: narrower after a calm stretch, wider after a wild one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from perennial.live.answer import AnswerRule, Answers, Interval

Floats = npt.NDArray[np.float64]

DRAWN_TO_ONE = 5.0
"""Days that the factor is drawn towards 1 by: after as many days of forecasts it counts half, on its logarithm."""
FEWEST_DAYS = 5
"""Below as many days of forecasts the factor is 1."""


def followed(answers: Answers, rule: AnswerRule, truth: Floats, moments: Floats) -> Answers:
    """The answers of successive origins, each with intervals as wide as those before it should have been.

    Args:
        answers: answers as the model gives them, in the unit of the target.
        rule: how they were made; without `interval.recent` they stay as they are.
        truth: what happened, shape (n_rows,). A row's own truth counts for later origins alone.
        moments: when each row was predicted, and the time that it is about, in hours, shape (n_rows, 2).
    """
    if rule.interval is None or rule.interval.recent is None or answers.low is None:
        return answers
    origins, place = np.unique(moments[:, 0], return_inverse=True)
    found = factors(ratios(answers, rule, truth), moments, origins, rule.interval)
    return scaled(answers, rule, found[place.reshape(-1)])


def ratios(answers: Answers, rule: AnswerRule, truth: Floats) -> Floats:
    """How far each truth lies from the middle of each interval, in half widths, shape (n_rows, n_levels).

    Up to 1 the interval holds it; NaN where the truth or the interval is missing. Both are taken on the scale on
    which the model learned.
    """
    own, found = _learned(rule, truth), []
    for _, lower, upper in answers.bounds(rule):
        low, high = _learned(rule, lower), _learned(rule, upper)
        middle, half = (low + high) / 2.0, (high - low) / 2.0
        away = np.abs(own - middle)
        without_width = np.where(away > 0, math.inf, np.where(np.isnan(away), math.nan, 0.0))
        found.append(np.divide(away, half, out=without_width, where=half > 0))
    return np.column_stack(found)


def factors(found: Floats, moments: Floats, at: Floats, interval: Interval) -> Floats:
    """What half widths are multiplied with at the origins `at`, in hours, shape (n_at, n_levels).

    It is the conformal quantile of the ratios of the last `recent.days` days of forecasts whose truth was known,
    drawn towards 1 on its logarithm where there are few. With the quantile over all rows in place of an adaptive
    level it follows the idea of Gibbs and Candès (2021), Adaptive conformal inference under distribution shift:
    in the long run intervals hold as often as they say, also where the world has become calmer or wilder than it
    was in the training rows.

    Args:
        found: see `ratios`; NaN where a truth is unknown.
        moments: of the same rows, see `followed`.
        at: the origins, in hours.
        interval: whose widths these are; without `recent` the factors are 1.
    """
    recent, levels = interval.recent, interval.levels
    if recent is None:
        return np.ones((len(at), len(levels)))
    origin, known = moments[:, 0], moments[:, 1] + recent.delay_hours
    usable = np.isfinite(found).all(axis=1)
    result = np.ones((len(at), len(levels)))
    for place, moment in enumerate(at):
        past = usable & (known <= moment) & (origin < moment) & (origin >= moment - 24.0 * recent.days)
        days = len(np.unique(origin[past] // 24.0))
        if days < FEWEST_DAYS:
            continue
        rows = int(past.sum())
        for column, level in enumerate(levels):
            rank = min(math.ceil((rows + 1) * level - 1e-9), rows) - 1
            quantile = float(np.partition(found[past, column], rank)[rank])
            if quantile > 0.0:
                result[place, column] = quantile ** (days / (days + DRAWN_TO_ONE))
    return result


def scaled(answers: Answers, rule: AnswerRule, by: Floats) -> Answers:
    """The answers with half widths multiplied, shape (n_rows, n_levels); a wider level still holds a narrower one."""
    bounds = []
    for column, (level, lower, upper) in enumerate(answers.bounds(rule)):
        low, high = _learned(rule, lower), _learned(rule, upper)
        middle, half = (low + high) / 2.0, (high - low) / 2.0 * by[:, column]
        bounds.append((level, column, middle - half, middle + half))
    inner: tuple[Floats, Floats] | None = None
    placed: dict[int, tuple[Floats, Floats]] = {}
    for _, column, low, high in sorted(bounds, key=lambda bound: bound[0]):
        inner = (low, high) if inner is None else (np.minimum(low, inner[0]), np.maximum(high, inner[1]))
        placed[column] = (_natural(rule, inner[0]), _natural(rule, inner[1]))
    (low, high), *further = (placed[column] for column in range(len(bounds)))
    return replace(answers, low=low, high=high, further=tuple(further))


def _learned(rule: AnswerRule, values: Floats) -> Floats:
    return np.log(values) if rule.scale == "log" else np.asarray(values, dtype=np.float64)


def _natural(rule: AnswerRule, values: Floats) -> Floats:
    return np.exp(values) if rule.scale == "log" else values
