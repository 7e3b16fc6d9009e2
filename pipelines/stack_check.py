"""Tries a stack's parts before a run depends on them: reach, write, read, delete, versions."""

from __future__ import annotations

import json
import os
import platform
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from perennial.config_file import secret
from perennial.config_stack import (
    DaskCompute,
    FolderArtifacts,
    KubernetesOrchestrator,
    S3Artifacts,
    ServerStore,
    ServerTracking,
)
from perennial.errors import PerennialError
from pipelines.stack import read

LEAST_FREE_BYTES = 1 << 30
TIMEOUT_S = 10


@dataclass(frozen=True)
class Tried:
    """One thing that was tried: whether it works, and what was found or is to be done."""

    what: str
    works: bool
    sentence: str


def check_stack(name: str, folder: Path) -> list[Tried]:
    """Every part of the stack called `name`, tried for real; raises UnknownNameError or ConfigError."""
    stack = read(name)
    store, artifacts, tracking, runner = stack.metadata, stack.artifacts, stack.tracking, stack.orchestrator
    compute = stack.compute
    return [
        _server(store) if isinstance(store, ServerStore) else _folder("metadata", folder),
        _folder("artifacts", folder / "artifacts")
        if isinstance(artifacts, FolderArtifacts)
        else tried("artifacts", lambda: _s3(artifacts)),
        tried("tracking", lambda: _answers(f"{tracking.url}/health"))
        if isinstance(tracking, ServerTracking)
        else _folder("tracking", folder),
        tried("orchestrator", lambda: _kubernetes(runner))
        if isinstance(runner, KubernetesOrchestrator)
        else Tried("orchestrator", True, "steps run in this process"),
        *([tried("compute", lambda: _dask(compute))] if isinstance(compute, DaskCompute) else []),
    ]


def tried(what: str, attempt: Callable[[], str]) -> Tried:
    """What `attempt` says, or the sentence of the error that it ended with."""
    try:
        return Tried(what, True, attempt())
    except (PerennialError, OSError, ValueError, ImportError) as error:
        return Tried(what, False, f"{error}")


def _folder(what: str, folder: Path) -> Tried:
    def attempt() -> str:
        probe = folder / f".probe-{uuid4().hex}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"probe")
            found = probe.read_bytes()
            probe.unlink()
        except OSError as error:
            raise OSError(
                f"expected {folder} to be a folder that can be written, found: {error.strerror}; mend that, or "
                "let PERENNIAL_HOME name another"
            ) from error
        if found != b"probe":
            raise OSError(f"expected to read back what was written to {folder}, found something else")
        free = shutil.disk_usage(folder).free
        if free < LEAST_FREE_BYTES:
            raise OSError(
                f"expected at least 1 GB free in {folder}, found {free / 1e9:.1f} GB; free some space"
            )
        return f"{folder} can be written; {free / 1e9:.0f} GB free"

    return tried(what, attempt)


def _server(store: ServerStore) -> Tried:
    def attempt() -> str:
        secret(store.api_key)
        found = json.loads(_get(f"{store.url}/api/v1/info"))["version"]
        if found != version("zenml"):
            raise ValueError(
                f"expected a ZenML server {version('zenml')}, found {found}; use the same version"
            )
        return f"{store.url} answers, version {found}"

    return tried("metadata", attempt)


def _s3(artifacts: S3Artifacts) -> str:
    import s3fs

    if not os.environ.get("AWS_ACCESS_KEY_ID"):
        raise ValueError("expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, found none; set them")
    client = {"region_name": artifacts.region} | (
        {"endpoint_url": artifacts.endpoint} if artifacts.endpoint else {}
    )
    files = s3fs.S3FileSystem(client_kwargs=client)
    probe = f"{artifacts.uri}/.probe-{uuid4().hex}"
    files.pipe_file(probe, b"probe")
    found = files.cat_file(probe)
    files.rm_file(probe)
    if found != b"probe":
        raise OSError(f"expected to read back what was written to {artifacts.uri}, found something else")
    return f"{artifacts.uri} can be written, read and deleted"


def _kubernetes(runner: KubernetesOrchestrator) -> str:
    from kubernetes import client, config  # type: ignore[import-not-found]

    config.load_kube_config(context=runner.context or None)
    found = client.VersionApi().get_code().git_version
    return f"cluster {runner.context or '(in cluster)'} answers, version {found}"


def _dask(compute: DaskCompute) -> str:
    from perennial.learn.workers import open_workers

    with open_workers(compute, 1, None) as workers:
        versions = dict(workers.as_done(_python, [(0, None)]))
    return f"{compute.address} answers, {workers.count} fits at once, Python {versions[0]}"


def _python(_shared: None, _item: None) -> str:
    return platform.python_version()


def _answers(url: str) -> str:
    _get(url)
    return f"{url} answers"


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            content: bytes = response.read()
            return content
    except (urllib.error.URLError, TimeoutError) as error:
        raise OSError(f"expected an answer from {url}, found: {getattr(error, 'reason', error)}") from error
