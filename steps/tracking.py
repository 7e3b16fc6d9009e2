"""What MLflow keeps of a run. The only file that imports mlflow."""

from __future__ import annotations

import logging
from typing import Any

import mlflow
from zenml import step
from zenml.types import HTMLString

from perennial.config import Config
from perennial.config_file import dotted, leaves
from perennial.evidence import Evaluation, Outcome, SearchResult
from perennial.live.bundle import Bundle

logger = logging.getLogger(__name__)


@step(enable_cache=False, experiment_tracker=True)
def track(
    config: Config,
    bundle: Bundle,
    evaluation: Evaluation,
    found: SearchResult,
    outcome: Outcome,
    page: HTMLString,
) -> None:
    """Logs parameters, metrics with their intervals, the report, and the bundle's manifest to MLflow."""
    manifest = bundle.manifest
    mlflow.log_params(_parameters(config, bundle))
    mlflow.log_metrics(_metrics(evaluation, found))
    mlflow.set_tags({"system": manifest.system, "version": manifest.version, "outcome": outcome.sentence})
    mlflow.log_text(str(page), "report.html")
    mlflow.log_artifacts(str(bundle.path), "bundle")
    logger.info("tracked in MLflow as %s", mlflow.active_run().info.run_name)


def _parameters(config: Config, bundle: Bundle) -> dict[str, Any]:
    chosen = {f"model.{key}": value for key, value in bundle.manifest.parameters.items()}
    return (
        {dotted(key): value for key, value in leaves(config)} | {"model": bundle.manifest.candidate} | chosen
    )


def _metrics(evaluation: Evaluation, found: SearchResult) -> dict[str, float]:
    measured = {"model": evaluation.metrics, **evaluation.baselines}
    values = {
        f"{who}.{metric.name}{suffix}": value
        for who, metrics in measured.items()
        for metric in metrics
        for suffix, value in (("", metric.value), (".low", metric.low), (".high", metric.high))
    }
    return values | {
        f"search.{found.best.metric}": found.best.score,
        "search.trials": float(len(found.trials)),
    }
