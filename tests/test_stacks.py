"""Switching stacks for real: a ZenML server, an MLflow server and an S3 service on loopback, the same config."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bento.process import free_port
from tests.project import ROOT, SMALL, Project

pytestmark = pytest.mark.torture
PASSWORD = "only-for-this-test"


@contextmanager
def server(command: list[str], environment: dict[str, str], url: str, log: Path) -> Iterator[None]:
    """A server process, from its first answer at `url` to its end."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                assert process.poll() is None, log.read_text()
                try:
                    urllib.request.urlopen(url, timeout=2).close()
                    break
                except OSError:
                    time.sleep(0.3)
            else:
                raise AssertionError(f"{url} never answered:\n{log.read_text()}")
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)


def call(url: str, data: bytes, headers: dict[str, str]) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as response:
        return json.load(response)


def service_account_key(url: str) -> str:
    """An API key of a new service account of the ZenML server."""
    form = urllib.parse.urlencode({"username": "admin", "password": PASSWORD}).encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    token = call(f"{url}/api/v1/login", form, kind)["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    account = {"name": "perennial", "full_name": "Perennial", "active": True}
    made = call(f"{url}/api/v1/service_accounts", json.dumps(account).encode(), headers)
    address = f"{url}/api/v1/service_accounts/{made['id']}/api_keys"
    key: str = call(address, b'{"name": "test"}', headers)["body"]["key"]
    return key


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A ZenML server and an MLflow server, each with a SQLite file; the URLs and the key of an account."""
    folder = tmp_path_factory.mktemp("servers")
    zenml, mlflow = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    settings = {
        "ZENML_SERVER": "true",
        "ZENML_SERVER_DEPLOYMENT_TYPE": "other",
        "ZENML_SERVER_AUTO_ACTIVATE": "1",
        "ZENML_DEFAULT_USER_NAME": "admin",
        "ZENML_DEFAULT_USER_PASSWORD": PASSWORD,
        "ZENML_SERVER_JWT_SECRET_KEY": "0123456789abcdef" * 4,
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_CONFIG_PATH": str(folder / "zenml"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    start = [sys.executable, "-m", "uvicorn", "zenml.zen_server.zen_server_api:app", "--port"]
    track = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", mlflow.rsplit(":", 1)[1]]
    track += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    track += ["--artifacts-destination", str(folder / "mlflow")]
    with ExitStack() as running:
        command = [*start, zenml.rsplit(":", 1)[1]]
        running.enter_context(server(command, settings, f"{zenml}/health", folder / "zenml.log"))
        running.enter_context(server(track, settings, f"{mlflow}/health", folder / "mlflow.log"))
        yield {"zenml": zenml, "mlflow": mlflow, "key": service_account_key(zenml)}


def test_the_same_config_runs_on_servers_and_gives_the_same_model(
    servers: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = tmp_path / "team.yaml"
    stack.write_text(
        f"metadata: {{kind: server, url: {servers['zenml']}, api_key: env:TEAM_KEY}}\n"
        f"artifacts: {{kind: folder}}\ntracking: {{kind: server, url: {servers['mlflow']}}}\n"
        "orchestrator: {kind: local}\n"
    )
    project = Project(tmp_path / "home")
    refused = project.run("stack", "check", str(stack), code=1)
    assert "TEAM_KEY" in refused
    monkeypatch.setenv("TEAM_KEY", servers["key"])
    checked = project.run("stack", "check", str(stack))
    assert checked.count("ok  ") == 4 and servers["key"] not in checked
    output = project.train("--stack", str(stack))
    assert "promoted v1 in place of nothing" in output and servers["key"] not in output
    assert "cached because" in project.outcomes(project.train("--stack", str(stack)))["search"]
    runs = call(
        f"{servers['mlflow']}/api/2.0/mlflow/runs/search",
        json.dumps({"experiment_ids": ["0", "1"]}).encode(),
        {"Content-Type": "application/json"},
    )["runs"]
    assert any(p["key"] == "model" and p["value"] == "random_forest" for p in runs[0]["data"]["params"])
    local = Project(tmp_path / "local")
    local.run("train", "--config", "configs/synthetic.yaml", *SMALL)
    digests = [p.bundle("v1", "manifest.json")["files"] for p in (project, local)]
    assert {n: digests[0][n] for n in ("model.onnx", "model.skops", "contract.json")} == {
        n: digests[1][n] for n in ("model.onnx", "model.skops", "contract.json")
    }
    assert (ROOT / "configs" / "stacks" / "local.yaml").exists()


def test_a_dask_cluster_searches_and_the_model_is_the_same(tmp_path: Path) -> None:
    parts = (
        "metadata: {kind: sqlite}\nartifacts: {kind: folder}\ntracking: {kind: local}\n"
        "orchestrator: {kind: local}\n"
    )
    address = f"tcp://127.0.0.1:{free_port()}"
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--host", "127.0.0.1"]
    work = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    stack = tmp_path / "cluster.yaml"
    stack.write_text(f"{parts}compute: {{kind: dask, address: '{address}', timeout_s: 60}}\n")
    halving = ("--set", "learn.search.kind=halving", "--set", "learn.search.least_rows=100")
    settings = ["train", "--config", "configs/synthetic.yaml", *halving]
    cluster = Project(tmp_path / "cluster")
    commands = [[*start, "--port", address.rsplit(":", 1)[1]], work, work]
    with ExitStack() as running:
        for command in commands:
            process = running.enter_context(
                subprocess.Popen(
                    command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
                )
            )
            running.callback(process.terminate)
        assert "ok    compute" in cluster.run("stack", "check", str(stack))
        told = cluster.run(*settings, "--stack", str(stack))
    assert "(halving)" in told
    local = Project(tmp_path / "local")
    local.run(*settings)
    files = [p.bundle("v1", "manifest.json")["files"] for p in (cluster, local)]
    for name in ("model.onnx", "model.skops", "contract.json"):
        assert files[0][name] == files[1][name]
