"""What MLflow keeps of a run. The only file that imports mlflow."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _initialize_tables
from sqlalchemy import create_engine
from zenml import step
from zenml.types import HTMLString

from perennial.config import Config
from perennial.config_file import dotted, leaves
from perennial.evidence import Evaluation, Outcome, SearchResult
from perennial.live.bundle import Bundle

logger = logging.getLogger(__name__)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it logs, with a trace, what it raises


@step(enable_cache=False, experiment_tracker=True)
def track(
    config: Config,
    bundle: Bundle,
    evaluation: Evaluation,
    found: SearchResult,
    outcome: Outcome,
    page: HTMLString,
    plots: dict[str, str],
) -> None:
    """Logs parameters, metrics with intervals, report, plots and bundle; mirrors a release as an alias."""
    manifest = bundle.manifest
    mlflow.log_params(parameters(config, bundle))
    mlflow.log_metrics(metrics(evaluation, found))
    mlflow.set_tags({"system": manifest.system, "version": manifest.version, "outcome": outcome.sentence})
    mlflow.log_text(str(page), "report.html")
    for name, svg in plots.items():
        mlflow.log_text(svg, f"plots/{name}.svg")
    mlflow.log_text(requirements(bundle), "requirements.txt")
    mlflow.log_artifacts(str(bundle.path), "bundle")
    register(manifest.system, manifest.version)
    if outcome.promoted:
        mirror(manifest.system, manifest.version)
    logger.info("tracked in MLflow as %s", mlflow.active_run().info.run_name)


def parameters(config: Config, bundle: Bundle) -> dict[str, Any]:
    """Every config value by its dotted key, and the chosen model with its parameters."""
    chosen = {f"model.{key}": value for key, value in bundle.manifest.parameters.items()}
    return (
        {dotted(key): value for key, value in leaves(config)} | {"model": bundle.manifest.candidate} | chosen
    )


def metrics(evaluation: Evaluation, found: SearchResult) -> dict[str, float]:
    """Every metric of the model and its baselines, with the ends of its interval."""
    measured = {"model": evaluation.metrics, **evaluation.baselines}
    values = {
        f"{who}.{metric.name}{suffix}": value
        for who, group in measured.items()
        for metric in group
        for suffix, value in (("", metric.value), (".low", metric.low), (".high", metric.high))
    }
    return values | {
        f"search.{found.best.metric}": found.best.score,
        "search.trials": float(len(found.trials)),
    }


def requirements(bundle: Bundle) -> str:
    """The packages that the model was fitted with, pinned, as pip reads them."""
    packages = bundle.manifest.environment.items()
    return "".join(f"{name}=={version}\n" for name, version in packages if name not in ("python", "platform"))


def register(system: str, version: str) -> None:
    """A model version in MLflow's registry for a bundle that has none yet."""
    client = mlflow.MlflowClient()
    try:
        client.create_registered_model(system)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    if not _registered(client, system, version):
        run = mlflow.active_run().info
        client.create_model_version(
            system, f"{run.artifact_uri}/bundle", run.run_id, tags={"bundle": version}
        )


def mirror(system: str, version: str) -> bool:
    """Repeats a release as the alias `champion`; False where MLflow has no such model. The ledger decides."""
    client = mlflow.MlflowClient()
    found = _registered(client, system, version)
    if found:
        client.set_registered_model_alias(system, "champion", found)
    return bool(found)


def mirrored(system: str) -> str:
    """The bundle version that MLflow's alias `champion` points at; "" where there is no alias."""
    try:
        found = mlflow.MlflowClient().get_model_version_by_alias(system, "champion")
    except MlflowException:
        return ""
    return str(found.tags.get("bundle", ""))


def _registered(client: mlflow.MlflowClient, system: str, version: str) -> str:
    """MLflow's own number for a bundle version; "" where it is not registered."""
    found = client.search_model_versions(f"name = '{system}'")
    return next((str(v.version) for v in found if v.tags.get("bundle") == version), "")


def make_store(path: Path) -> None:
    """Makes MLflow's database at `path`, whole or not at all; only one process at a time may do so.

    MLflow itself makes it table by table where it finds none. A kill or a full disk in between would leave a
    database that MLflow never opens again.
    """
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    engine = create_engine(f"sqlite:///{partial / path.name}")
    _initialize_tables(engine)
    engine.dispose()
    (partial / path.name).rename(path)
    partial.rmdir()
