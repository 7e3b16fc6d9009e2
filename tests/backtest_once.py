"""A backtest that a test runs in a process of its own, to kill it: `python tests/backtest_once.py FOLDER`."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from series_rows import daily_table
from test_learn_models import learn_config

from perennial.config import Backtest, TimeSplit
from perennial.config_stack import ThreadsCompute
from perennial.data.walk import walk
from perennial.learn.backtest.plan import Plan
from perennial.learn.backtest.walked import backtest
from steps.residuals import folds_for

SPLIT = TimeSplit(kind="time", gap_hours=24)
RIDGE = {"name": "ridge", "parameters": {"alpha": 3.0}}


def plan_of(table, *candidates, split=SPLIT, **rules):
    """A plan for the table: the last fifth is predicted, in weeks, unless `rules` say otherwise."""
    found = walk(table, Backtest(**rules), split)
    contract = table.contract.fitted(table.rows(found.refits[0][0]).frame)
    return Plan(
        table=replace(table, contract=contract),
        refits=found.refits,
        epochs=found.epochs,
        learn=learn_config(*(candidates or (RIDGE,))).model_copy(update={"threads": 1}),
        levels=(0.8, 0.9),
        seed=1,
        folds_of=lambda train, one: folds_for(train, *one, split, 3, 1),
    )


def slow_plan():
    """Some dozens of fits."""
    forest = {"name": "random_forest", "parameters": {"n_estimators": 5}}
    return plan_of(daily_table(250, lags=5), forest, refit_days=2)


if __name__ == "__main__":
    walked, _ = backtest(slow_plan(), ThreadsCompute(), Path(sys.argv[1]), lambda _: time.sleep(0.1))
    np.savetxt(sys.stdout, walked[0].model.answers.prediction, fmt="%r")
