"""Opens a ZenML stack from `configs/stacks/*.yaml`, without any `zenml` command.

Every stack has a config folder of its own: ZenML writes the store's address into it, so that two stacks in
one folder would end up on the same store.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.config_file import load, secret
from perennial.config_stack import (
    FolderArtifacts,
    KubernetesOrchestrator,
    LocalTracking,
    ServerStore,
    ServerTracking,
    Stack,
)
from perennial.errors import StackError, UnknownNameError
from pipelines.source_digest import ROOT

if TYPE_CHECKING:
    from uuid import UUID

STACKS = ROOT / "configs" / "stacks"
QUIET = {
    "ZENML_ANALYTICS_OPT_IN": "false",
    "ZENML_LOGGING_COLORS_DISABLED": "true",
    "ZENML_LOGGING_VERBOSITY": "CRITICAL",
    "ZENML_ENABLE_RICH_TRACEBACK": "false",
    "ZENML_AUTO_OPEN_DASHBOARD": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "BENTOML_DO_NOT_TRACK": "True",
    "ORT_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # OpenMP threads that wait by spinning slow a busy machine tenfold
}
Component = tuple[str, dict[str, Any]]


def names() -> list[str]:
    """The names of all stack files, sorted."""
    return sorted(path.stem for path in STACKS.glob("*.yaml"))


def read(name: str) -> Stack:
    """The stack called `name`, or in the file of that name (.yaml); raises UnknownNameError or ConfigError."""
    if name.endswith(".yaml"):
        return load(name, Stack).config
    if name not in names():
        raise UnknownNameError("stack", name, names())
    return load(STACKS / f"{name}.yaml", Stack).config


def open_stack(name: str, folder: Path) -> UUID:
    """Makes this process run on the stack called `name`, kept in `folder`, and returns the stack's id.

    Creates the store and registers or updates the components where needed; safe when several processes do it
    at once. Nothing of ZenML may have been imported before, since it reads its environment at import.

    Raises:
        StackError: when a component cannot be made or reached.
    """
    stack = read(name)
    _prepare_environment(stack, folder)
    with _exclusive(folder / "zenml" / ".lock"):
        _discard_half_made_store(folder)
        _tune_sqlite()
        try:
            from zenml.client import Client
            from zenml.utils.source_utils import set_custom_source_root

            set_custom_source_root(str(ROOT))
            stack_id = _ensure_stack(Client(), f"perennial-{folder.name}", _components(stack, folder))
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise StackError(
                f"stack {name}: expected to open it, found: {error}; run `run.py stack check {name}`"
            ) from error
        (folder / "zenml" / ".ready").touch()
        os.environ["ZENML_ACTIVE_STACK_ID"] = str(stack_id)
        _ensure_tracking_store(stack, folder / "artifacts" / "mlflow.db")
    return stack_id


def quieten() -> None:
    """Switches off telemetry, colours and chatter, which libraries read at import; what a user set stays."""
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)


def _prepare_environment(stack: Stack, folder: Path) -> None:
    """Sets what ZenML, MLflow and BentoML read at import, and makes the folders."""
    quieten()
    os.environ["ZENML_CONFIG_PATH"] = str(folder / "zenml")
    # ZenML lists packages twice a run, with the `uv` of the PATH or else with pip, which takes four times as long.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    if isinstance(stack.metadata, ServerStore):
        os.environ["ZENML_STORE_URL"] = stack.metadata.url
        os.environ["ZENML_STORE_API_KEY"] = secret(stack.metadata.api_key)
    else:  # ZenML remembers an absolute path, and would go on to write where the folder once was
        database = folder / "zenml" / "local_stores" / "default_zen_store" / "zenml.db"
        os.environ["ZENML_STORE_URL"] = f"sqlite:///{database}"
    (folder / "zenml").mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "artifacts").mkdir(exist_ok=True)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _discard_half_made_store(folder: Path) -> None:
    """Removes a store whose creation was killed: ZenML would never repair it, and it holds no run yet."""
    if not (folder / "zenml" / ".ready").exists():
        shutil.rmtree(folder / "zenml" / "local_stores", ignore_errors=True)


def _ensure_tracking_store(stack: Stack, path: Path) -> None:
    """MLflow's database where ZenML will look for it, beside the artifacts of a local stack."""
    local = isinstance(stack.tracking, LocalTracking) and isinstance(stack.artifacts, FolderArtifacts)
    if local and not path.exists():
        from steps.tracking import make_store

        make_store(path)


def _tune_sqlite() -> None:
    """Write-ahead log and fewer syncs for every SQLite file: far faster when others use the disk."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def _tune(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")


def _components(stack: Stack, folder: Path) -> dict[str, Component]:
    """ZenML's component type -> (flavor, configuration)."""
    artifacts: Component
    if isinstance(stack.artifacts, FolderArtifacts):
        artifacts = ("local", {"path": str(folder / "artifacts")})
    else:
        client: dict[str, Any] = {"region_name": stack.artifacts.region}
        if stack.artifacts.endpoint:
            client["endpoint_url"] = stack.artifacts.endpoint
        artifacts = ("s3", {"path": stack.artifacts.uri, "client_kwargs": client})
    tracking: dict[str, Any] = {"experiment_name": "perennial"}
    if isinstance(stack.tracking, ServerTracking):
        token = secret(stack.tracking.token) if stack.tracking.token else "open"
        tracking |= {"tracking_uri": stack.tracking.url, "tracking_token": token}
    components: dict[str, Component] = {
        "artifact_store": artifacts,
        "experiment_tracker": ("mlflow", tracking),
        "orchestrator": ("local", {}),
    }
    if isinstance(stack.orchestrator, KubernetesOrchestrator):
        runner = stack.orchestrator
        components["orchestrator"] = (
            "kubernetes",
            {
                "kubernetes_context": runner.context or None,
                "kubernetes_namespace": runner.namespace,
                "incluster": not runner.context,
                "pass_zenml_token_as_secret": True,
            },
        )
        components["container_registry"] = ("default", {"uri": runner.registry})
    return components


def _ensure_stack(client: Any, name: str, components: dict[str, Component]) -> UUID:
    from zenml.enums import StackComponentType

    ids = {
        StackComponentType(kind): _ensure_component(
            client, f"{name}-{kind}", StackComponentType(kind), *component
        )
        for kind, component in components.items()
    }
    try:
        stack = client.get_stack(name, allow_name_prefix_match=False)
    except KeyError:
        stack = client.create_stack(name=name, components=ids)
    else:
        registered = {kind: found[0].id for kind, found in stack.components.items() if found}
        if any(registered.get(kind) != component_id for kind, component_id in ids.items()):
            stack = client.update_stack(name, component_updates={kind: [i] for kind, i in ids.items()})
    stack_id: UUID = stack.id
    return stack_id


def _ensure_component(client: Any, name: str, kind: Any, flavor: str, configuration: dict[str, Any]) -> UUID:
    wanted = {key: value for key, value in configuration.items() if value is not None}
    try:
        component = client.get_stack_component(kind, name, allow_name_prefix_match=False)
    except KeyError:
        component = client.create_stack_component(
            name=name, flavor=flavor, component_type=kind, configuration=wanted
        )
    else:
        if any(component.configuration.get(key) != value for key, value in wanted.items()):
            component = client.update_stack_component(name, kind, configuration=wanted)
    component_id: UUID = component.id
    return component_id
