"""From a source to what its models would have said in the past. Nothing is released."""

from __future__ import annotations

from zenml import pipeline
from zenml.config import CachePolicy
from zenml.enums import ExecutionMode

import materializers  # noqa: F401  (first registration wins)
from perennial.config import Config
from perennial.config_stack import DaskCompute, ProcessesCompute, ThreadsCompute
from pipelines.source_digest import cache_key
from steps.backtest import backtest as walk
from steps.backtest_report import backtest_report
from steps.check import check
from steps.collect import collect

THREADS = ThreadsCompute()


@pipeline(
    name="backtest",
    cache_policy=CachePolicy(cache_func=cache_key),
    execution_mode=ExecutionMode.FAIL_FAST,
)
def backtest(
    config: Config,
    dataset_version: int | None = None,
    compute: ThreadsCompute | ProcessesCompute | DaskCompute = THREADS,
) -> None:
    """Candidates fitted again and again on their way through the past.

    Args:
        config: the resolved config.
        dataset_version: which version to walk through; None means the newest.
        compute: what fits the models, from the stack file.
    """
    dataset = collect(config.system, config.source, config.seed, dataset_version)
    table, _ = check(dataset, config.system, config.source, config.features, config.checks, config.seed)
    found, _ = walk(table, dataset, config, compute)
    backtest_report(found, config.source, config.features)
