"""Candidates on their way through the past, each fitted to what was known then."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import pandas as pd
from zenml import step

from perennial import systems
from perennial.config import Config, Learn
from perennial.config_stack import DaskCompute, ProcessesCompute, ThreadsCompute
from perennial.data.walk import walk
from perennial.evidence import BacktestResult, DatasetReference
from perennial.home import home
from perennial.learn import checkpoint
from perennial.learn.backtest.plan import Plan
from perennial.learn.backtest.result import forecasts, result
from perennial.learn.backtest.walked import backtest as walk_through
from perennial.learn.backtest.walked import naive_contenders
from perennial.table import Table
from steps.progress import backtest_progress
from steps.residuals import folds_for, follows

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def backtest(
    table: Table,
    dataset: DatasetReference,
    config: Config,
    compute: ThreadsCompute | ProcessesCompute | DaskCompute,
) -> tuple[Annotated[BacktestResult, "backtest"], Annotated[pd.DataFrame, "forecasts"]]:
    """How good each candidate would have been, and all that it would have said."""
    plan, kept = plan_of(table, config), home().searches / config.system
    checkpoint.clear_old(kept, datetime.now(UTC))
    with backtest_progress() as progress:
        walked, skipped = walk_through(plan, compute, kept, progress)
    for sentence in skipped:
        logger.warning("%s", sentence)
    naives = naive_contenders(plan)
    found = result(config, plan, walked, naives, dataset, systems.get(config.system).segments, tuple(skipped))
    for walker in found.walkers:
        evaluation = walker.evaluation
        told = ", ".join(f"{m.name} {m}" for m in evaluation.metrics[:3])
        logger.info("%s, %s refits in %.1f s: %s", evaluation.candidate, found.refits, walker.seconds, told)
    return found, forecasts(plan, walked, naives)


def plan_of(table: Table, config: Config) -> Plan:
    """What the config's backtest walks through."""
    learn, split, seed = config.learn, config.split, config.seed
    found = walk(table, config.backtest, split)
    contract = table.contract.fitted(table.rows(found.refits[0][0]).frame)
    return Plan(
        table=replace(table, contract=contract),
        refits=found.refits,
        epochs=found.epochs,
        learn=walking(learn, config.backtest.candidates == "all"),
        levels=config.evaluate.prediction_levels,
        seed=seed,
        folds_of=lambda train, one: folds_for(train, *one, split, learn.folds, seed),
        horizon=systems.get(config.system).horizon,
        recent=follows(config.evaluate.recent),
    )


def walking(learn: Learn, all_of_them: bool) -> Learn:
    """The rules of learning with the candidates that walk: all, or the default alone."""
    return learn if all_of_them else learn.model_copy(update={"candidates": learn.candidates[:1]})
