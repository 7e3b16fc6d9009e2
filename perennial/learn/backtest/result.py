"""What a backtest came to: every candidate measured, compared with the first, and all forecasts in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perennial.evidence import BacktestResult, Comparison, DatasetReference, Walker
from perennial.learn.backtest.plan import Plan
from perennial.learn.backtest.walked import Walked
from perennial.learn.clusters import origins_of
from perennial.learn.compare import Contender, adjusted, compare_answers
from perennial.learn.evaluate import measured
from perennial.learn.tasks import RULES
from perennial.live.predict import bound_columns
from perennial.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from perennial.config import Config, Evaluate


def result(
    config: Config,
    plan: Plan,
    walked: Sequence[Walked],
    naives: Sequence[Contender],
    dataset: DatasetReference,
    segments: tuple[str, ...],
    skipped: tuple[str, ...] = (),
) -> BacktestResult:
    """Every candidate measured on all predicted rows, beside the baselines and the first candidate.

    Args:
        config: that of the backtest.
        plan: what was walked through.
        walked: what the candidates answered.
        naives: what the baselines answered.
        dataset: which records the rows are made of.
        segments: features by which errors are broken down.
        skipped: a sentence per candidate that could not run.
    """
    rows, rules = plan.table.rows(plan.predicted), config.evaluate
    first = plan.table.rows(plan.refits[0][0])
    base = [float((first.y == name).mean()) for name in walked[0].model.rule.classes]
    since, until, origins = _moments(plan)
    walkers = (
        Walker(
            evaluation=measured(
                config.system, rows, one.model, naives, rules, segments, plan.seed, plan.horizon, base
            ),
            parameters=one.parameters,
            seconds=one.seconds,
            against_default=against,
        )
        for one, against in zip(walked, (None, *_between(rows, walked, rules, plan.seed)), strict=True)
    )
    return BacktestResult(
        system=config.system,
        dataset=dataset,
        since=since,
        until=until,
        origins=origins,
        refits=len(plan.refits),
        rules=config.backtest.model_dump(mode="json"),
        walkers=tuple(walkers),
        skipped=skipped,
    )


def forecasts(plan: Plan, walked: Sequence[Walked], naives: Sequence[Contender]) -> pd.DataFrame:
    """A row per predicted row: when it was predicted, the time, the truth, and what everyone said.

    A candidate's numbers have its name, and its bounds `_low` and `_high` behind it, further levels with their
    percentage; of classes the probability of the last one is told.
    """
    import pandas as pd

    rows = plan.table.rows(plan.predicted)
    contract = rows.contract
    names = [contract.of_role(role).name for role in ("known_at", "time")]
    told: dict[str, Any] = {name: rows.frame[name] for name in (*names, plan.horizon) if name}
    told[contract.target.name] = rows.frame[contract.target.name]
    for one in walked:
        model = one.model
        if model.answers.probabilities is not None:
            told[model.candidate] = model.answers.probabilities[:, -1]
            continue
        told[model.candidate] = model.answers.prediction
        for name, bound in bound_columns(model.answers, model.rule).items():
            told[name.replace("prediction", model.candidate)] = bound
    for naive in naives:
        shares = naive.answers.probabilities
        told[naive.name] = naive.answers.prediction if shares is None else shares[:, -1]
    return pd.DataFrame(told).sort_values(names, kind="stable", ignore_index=True)


def _moments(plan: Plan) -> tuple[str, str, int]:
    """The first and the last moment at which rows are predicted (ISO 8601, UTC), and how many there are."""
    import pandas as pd

    name = plan.table.contract.of_role("known_at").name
    found = pd.to_datetime(plan.table.rows(plan.predicted).frame[name], utc=True)
    return found.min().isoformat(), found.max().isoformat(), int(found.nunique())


def _between(rows: Table, walked: Sequence[Walked], rules: Evaluate, seed: int) -> list[Comparison]:
    """Every further candidate against the first, with adjusted p-values."""
    contenders = [Contender(w.model.candidate, w.model.answers, w.model.rule.classes) for w in walked]
    rule, origins = walked[0].model.rule, origins_of(rows)
    found = [
        compare_answers(
            one,
            contenders[0],
            rows.y,
            loss=RULES[rule.task].loss,
            unit=rule.unit or "1",
            resamples=rules.resamples,
            level=rules.level,
            seed=seed,
            origins=origins,
        )
        for one in contenders[1:]
    ]
    return adjusted(found)
