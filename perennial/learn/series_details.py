"""What a report draws of a series: errors by horizon and over time, coverage by horizon, some forecasts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.learn.clusters import Origins
from perennial.learn.compare import Contender, row_losses
from perennial.learn.details import Coverage, Facts, Mask, first_metric
from perennial.learn.metrics import metric_value
from perennial.learn.pairs import pairs_of
from perennial.learn.tasks import TaskRules
from perennial.live.answer import Answers
from perennial.table import Table

Floats = npt.NDArray[np.float64]

MOST_HORIZONS = 48
MOST_PERIODS = 60


def series_details(
    table: Table,
    answers: Answers,
    naives: Sequence[Contender],
    horizon: str,
    task: TaskRules,
    coverage: Coverage,
    origins: Origins | None,
    **how: Any,
) -> Facts:
    """Plain values by name; empty where the rows are no series.

    `over_time` and, where rows have a horizon, `by_horizon` list an error per part of the rows, with the interval of
    `measure` (to which `how` goes) and the baselines' errors beside it; `coverage_by_horizon` how the intervals of
    every level cover (see `Coverage.of`); `forecasts` whole origins: the latest, the middling and the worst one.
    `horizon` names the column that says how far ahead a row looks.
    """
    if origins is None:
        return {}
    names = _metrics(task, table.y)

    def errors(parts: Iterator[tuple[Facts, Mask]]) -> list[Facts]:
        lines = (
            _error(part, chosen, table, answers, naives, names, origins, **how) for part, chosen in parts
        )
        return [line for line in lines if line is not None]

    found: Facts = {"over_time": errors(_periods(table))}
    if horizon:
        found["horizon"] = horizon
        found["by_horizon"] = errors(_horizons(table, horizon))
        found["coverage_by_horizon"] = [
            {**part, **line} for part, chosen in _horizons(table, horizon) for line in coverage.of(chosen)
        ]
        found["forecasts"] = _forecasts(table, answers, origins, row_losses(task.loss, table.y, answers))
    return found


def _metrics(task: TaskRules, truth: npt.NDArray[Any]) -> tuple[str, ...]:
    """What is measured in every part: no percentages where a truth is 0 or below, of which they make no sense."""
    if task.task == "classification":
        return (task.primary,)
    return task.segment_metrics if (truth > 0).all() else (task.primary,)


def _error(
    part: Facts,
    chosen: Mask,
    table: Table,
    answers: Answers,
    naives: Sequence[Contender],
    names: tuple[str, ...],
    origins: Origins,
    **how: Any,
) -> Facts | None:
    truth = table.y[chosen]
    metric = first_metric(truth, answers.rows(chosen), names, origins=origins.of(chosen), **how)
    if metric is None:
        return None
    beside = {
        naive.name: metric_value(metric.name, pairs_of(truth, naive.answers.rows(chosen), naive.classes))
        for naive in naives
    }
    return {
        **part,
        "rows": int(chosen.sum()),
        "metric": metric.name,
        "value": metric.value,
        "low": metric.low,
        "high": metric.high,
        "baseline": beside,
    }


def _horizons(table: Table, column: str) -> Iterator[tuple[Facts, Mask]]:
    """The rows of each horizon, or of groups of neighbouring ones where there are many."""
    values = table.frame[column].to_numpy(dtype=np.float64)
    for group in np.array_split(np.unique(values), min(MOST_HORIZONS, len(np.unique(values)))):
        yield {"horizon": float(group[0])}, (values >= group[0]) & (values <= group[-1])


def _periods(table: Table) -> Iterator[tuple[Facts, Mask]]:
    """The rows of each month of the time that is predicted; of each year where there are many months."""
    times = pd.DatetimeIndex(pd.to_datetime(table.frame[table.contract.of_role("time").name], utc=True))
    months = times.year * 12 + times.month - 1
    width = 1 if len(np.unique(months)) <= MOST_PERIODS else 12
    for number in np.unique(months // width):
        chosen = np.asarray(months // width == number)
        inside = times[chosen]
        yield {"start": inside.min().isoformat(), "end": inside.max().isoformat()}, chosen


def _forecasts(table: Table, answers: Answers, origins: Origins, losses: Floats) -> list[Facts]:
    """The origins whose mean loss is the median and the largest one, and the latest, in order of time."""
    counts = np.bincount(origins.place)
    means = np.bincount(origins.place, weights=losses) / counts
    whole = np.flatnonzero(counts == counts.max())
    ranked = whole[np.argsort(means[whole], kind="stable")]
    names = {int(ranked[len(ranked) // 2]): "median", int(ranked[-1]): "worst", int(whole[-1]): "latest"}
    time, known_at = (table.frame[table.contract.of_role(role).name] for role in ("time", "known_at"))
    lines = []
    for place in sorted(names):
        rows = np.flatnonzero(origins.place == place)
        rows = rows[np.argsort(time.to_numpy()[rows], kind="stable")]
        line = {
            "which": names[place],
            "origin": known_at.iloc[rows[0]].isoformat(),
            "times": [moment.isoformat() for moment in time.iloc[rows]],
            "truth": table.y[rows].tolist(),
            "predicted": answers.prediction[rows].tolist(),
        }
        if answers.low is not None and answers.high is not None:
            line |= {"low": answers.low[rows].tolist(), "high": answers.high[rows].tolist()}
        lines.append(line)
    return lines
