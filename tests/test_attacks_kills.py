"""Training runs and first runs that are killed or interrupted."""

from __future__ import annotations

import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.attacks import CONFIG, STORE, only_sentence
from tests.project import ROOT, SMALL, Project
from tests.ready_homes import Homes


def kill_when(project: Project, path: str, delay_s: float) -> bool:
    """Kills a first training run `delay_s` after `path` appeared in its state folder; False if it was too late."""
    process = project.start("train", "--config", CONFIG, *SMALL)
    while process.poll() is None and not (project.home / path).exists():
        time.sleep(0.005)
    time.sleep(delay_s)
    alive = process.poll() is None
    process.kill()
    process.communicate()
    return alive


def first_run_is_mended(tmp_path: Path, path: str, delay_s: float) -> None:
    project = Project(tmp_path / "home")
    assert kill_when(project, path, delay_s), "the run was over before the kill"
    output = project.train()
    assert "promoted v1 in place of nothing" in output
    assert len(project.ledger()) == 1
    with sqlite3.connect(project.home / STORE) as store:
        assert store.execute("select count(*) from pipeline_run where status = 'running'").fetchone() == (0,)
    assert not list((project.home / "stacks/local/artifacts").glob(".*.partial"))


@pytest.mark.torture
@pytest.mark.slow
def test_a_killed_first_creation_needs_no_help(tmp_path: Path) -> None:
    first_run_is_mended(tmp_path, str(STORE), 0.15)


@pytest.mark.slow
def test_a_killed_creation_of_mlflows_store_leaves_none_and_the_next_is_whole(tmp_path: Path) -> None:
    project, path = Project(tmp_path / "home"), tmp_path / "artifacts" / "mlflow.db"
    make = "import sys; from pathlib import Path; from steps.tracking import make_store; "
    make += "make_store(Path(sys.argv[1]))"
    environment = {**project.environment(), "MLFLOW_DISABLE_TELEMETRY": "true", "HOME": str(tmp_path)}

    def creation() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", make, str(path)], cwd=ROOT, env=environment)

    process = creation()
    partial = path.with_name(".mlflow.db.partial") / path.name
    while process.poll() is None and not partial.exists():
        time.sleep(0.002)
    time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL and partial.exists() and not path.exists()
    assert creation().wait() == 0
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with sqlite3.connect(path) as store:
        assert {"experiments", "runs", "spans"} <= {
            row[0] for row in store.execute("select name from sqlite_master where type = 'table'")
        }
        assert store.execute("select count(*) from alembic_version").fetchone() == (1,)


@pytest.mark.torture
@pytest.mark.parametrize(
    ("path", "delay_s"),
    [
        ("stacks/local/zenml", 0.0),
        ("stacks/local/zenml/.lock", 0.05),
        ("stacks/local/zenml/config.yaml", 0.0),
        (str(STORE), 0.0),
        (str(STORE), 0.3),
        (str(STORE), 0.6),
        (str(STORE), 1.0),
        ("stacks/local/zenml/.ready", 0.0),
        ("stacks/local/artifacts/.mlflow.db.partial", 0.0),
        ("stacks/local/artifacts/.mlflow.db.partial/mlflow.db", 0.1),
        ("stacks/local/artifacts/.mlflow.db.partial/mlflow.db", 0.4),
    ],
)
def test_a_killed_first_creation_needs_no_help_at_any_moment(
    tmp_path: Path, path: str, delay_s: float
) -> None:
    first_run_is_mended(tmp_path, path, delay_s)


@pytest.mark.torture
@pytest.mark.timeout(420)
def test_twenty_kills_at_random_lose_nothing_and_need_no_help(tmp_path: Path) -> None:
    project, moments = Project(tmp_path / "home"), random.Random(20)
    started = time.monotonic()
    project.train()
    length_s = time.monotonic() - started
    acknowledged = {"v1"}
    for kill in range(20):
        process = project.start("train", "--config", CONFIG, *SMALL, "--set", f"seed={7 + kill // 3}")
        try:
            output = process.communicate(timeout=moments.uniform(0.3, 1.1 * length_s))[0]
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            output = process.communicate()[0]
        acknowledged |= set(re.findall(r"^promoted (v\d+)", output, re.M))
        assert project.run("status").count("serves") == 1
        if time.monotonic() - started > 300:
            break
    assert "outcome" in project.train("--set", "seed=99")
    entries = project.ledger()
    assert [e["number"] for e in entries] == list(range(1, len(entries) + 1))
    assert acknowledged <= {e["version"] for e in entries}
    with sqlite3.connect(project.home / STORE) as store:
        for table in ("pipeline_run", "step_run"):
            asked = f"select count(*) from {table} where status in ('running', 'initializing')"
            assert store.execute(asked).fetchone() == (0,), table
    assert not list((project.home / "releases/synthetic/bundles").glob(".staging*"))
    assert not list((project.home / "stacks/local/running").glob("*.lock"))
    assert "golden rows match" in project.run("doctor")


@pytest.mark.slow
def test_control_c_is_no_stack_trace(homes: Homes, tmp_path: Path) -> None:
    project = homes.empty(tmp_path / "home")
    process = project.start("train", "--config", CONFIG, "--set", "learn.candidates.0.trials=60")
    assert process.stdout is not None
    seen = ""
    while "split:" not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    output = seen + process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "interrupted; run the same command again" in only_sentence(output)
    with sqlite3.connect(project.home / STORE) as store:
        assert store.execute("select count(*) from pipeline_run where status = 'running'").fetchone() == (0,)
