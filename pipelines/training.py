"""From a source to a verdict: one challenger, collected, checked, trained, proven, judged and reported."""

from __future__ import annotations

from zenml import pipeline
from zenml.config import CachePolicy
from zenml.enums import ExecutionMode

import materializers  # noqa: F401  (first registration wins)
from perennial.config import Config
from perennial.config_stack import DaskCompute, ProcessesCompute, ThreadsCompute
from pipelines.source_digest import cache_key
from steps.check import check
from steps.collect import collect
from steps.evaluate import evaluate
from steps.fit import fit
from steps.judge import judge
from steps.package import package
from steps.promote import promote
from steps.report import report
from steps.search import search
from steps.split import split
from steps.tracking import track

THREADS = ThreadsCompute()


@pipeline(
    name="training",
    cache_policy=CachePolicy(cache_func=cache_key),
    execution_mode=ExecutionMode.FAIL_FAST,
)
def training(
    config: Config,
    digests: dict[str, str],
    releases: str,
    dataset_version: int | None = None,
    compute: ThreadsCompute | ProcessesCompute | DaskCompute = THREADS,
) -> None:
    """One challenger from collection to verdict. Every step that may be cached gets its own config section alone.

    Args:
        config: the resolved config.
        digests: SHA-256 of the `config` and of the `code`, for the bundle's manifest.
        releases: the folder of bundles and ledgers.
        dataset_version: which version to train on; None means the newest.
        compute: what fits the models of the search, from the stack file.
    """
    system, seed = config.system, config.seed
    dataset = collect(system, config.source, seed, dataset_version)
    table, checks = check(dataset, system, config.source, config.features, config.checks, seed)
    train, holdout = split(table, config.split, seed)
    found = search(train, system, config.split, config.learn, seed, compute)
    rules = config.evaluate
    model = fit(train, found, config.split, config.learn, system, rules.prediction_levels, seed, rules.recent)
    evaluation = evaluate(model, train, holdout, system, config.evaluate, config.learn, seed)
    bundle = package(model, train, holdout, evaluation, dataset, config, digests, releases)
    judgement = judge(
        bundle, evaluation, train, holdout, config.promotion, config.evaluate.resamples, seed, releases
    )
    outcome = promote(bundle, evaluation, judgement, releases)
    page, plots = report(bundle, dataset, checks, found, evaluation, judgement)
    track.with_options(settings={"experiment_tracker": {"experiment_name": system}})(
        config, bundle, evaluation, found, outcome, page, plots
    )
