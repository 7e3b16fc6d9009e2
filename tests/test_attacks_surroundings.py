"""A closed network, odd folder names, another locale and time zone, a state folder that moved."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks import CONFIG, STORE, golden_rows
from tests.project import ROOT, SMALL, Project


@pytest.fixture
def rows(twice: Project, tmp_path: Path) -> Path:
    return golden_rows(twice, tmp_path / "rows.jsonl")


def can_unshare() -> bool:
    """Whether this user may make a network namespace of its own."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0


ADDRESS = re.compile(r"sin6?_port=htons\((\d+)\).*?(?:inet_addr\(\"|inet_pton\(AF_INET6, \")([0-9a-f.:]+)")


def calls_home(trace: str) -> list[tuple[str, str]]:
    """The addresses and ports of every connection that leaves this machine, name servers included."""
    found = [(m[2], m[1]) for m in ADDRESS.finditer(trace)]
    return [(host, port) for host, port in found if port == "53" or not host.startswith(("127.", "::1"))]


def test_a_call_to_the_outside_would_be_seen() -> None:
    line = 'connect(7, {sa_family=AF_INET, sin_port=htons(%s), sin_addr=inet_addr("%s")}, 16) = 0'
    assert calls_home(line % (53, "127.0.0.53")) == [("127.0.0.53", "53")]
    assert calls_home(line % (443, "10.1.2.3")) == [("10.1.2.3", "443")]
    assert calls_home(line % (443, "127.0.0.1")) == []


def traced(project: Project, home: Path, *command: str) -> str:
    """The connections that a command and its children try to make, as strace writes them."""
    log = home / "trace.txt"
    strace = ("strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=connect,sendto", "-o", str(log))
    done = subprocess.run(
        [*strace, *command],
        cwd=ROOT,
        env={**project.environment(), "HOME": str(home)},
        text=True,
        capture_output=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return log.read_text()


def can_trace() -> bool:
    if not shutil.which("strace"):
        return False
    return subprocess.run(["strace", "-f", "true"], capture_output=True, check=False).returncode == 0


def device_ids(home: Path) -> list[Path]:
    """What tools leave in a user's folder to know the machine again."""
    return [p for p in home.rglob("*") if p.name in ("deviceid", "telemetry.json", ".user_id")]


traceable = pytest.mark.skipif(not can_trace(), reason="strace is not here, or not permitted")


@pytest.mark.slow
@traceable
@pytest.mark.skipif(not can_unshare(), reason="no permission to make a network namespace")
def test_the_whole_demo_runs_without_a_network_and_does_not_look_for_one(tmp_path: Path) -> None:
    project, home = Project(tmp_path / "state"), tmp_path / "user"
    home.mkdir()
    alone = ("unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    assert calls_home(traced(project, home, *alone, sys.executable, "run.py", "demo")) == []
    assert device_ids(home) == []
    assert [(e["version"], e["kind"]) for e in project.ledger()] == [("v1", "promotion")]


@pytest.mark.torture
@traceable
def test_no_command_calls_home(twice: Project, rows: Path, tmp_path: Path) -> None:
    project, home = Project(tmp_path / "home"), tmp_path / "user"
    shutil.copytree(twice.home, project.home)
    home.mkdir()
    files = ("--input", str(rows), "--output", str(tmp_path / "answers.csv"))
    for command in (
        ("doctor",),
        ("status",),
        ("stack", "check", "local"),
        ("predict", "--config", CONFIG, *files),
        ("train", "--config", CONFIG, *SMALL, "--set", "seed=8"),
    ):
        assert calls_home(traced(project, home, sys.executable, "run.py", *command)) == [], command
    assert device_ids(home) == []


@pytest.mark.torture
@traceable
def test_a_model_that_serves_for_long_does_not_call_home(twice: Project, tmp_path: Path) -> None:
    """ONNX Runtime's telemetry would ask for its collector's address within seconds, had it been left on."""
    wait = (
        "import sys, time; from pathlib import Path; from perennial.live.models import OnnxModel; "
        "OnnxModel(Path(sys.argv[1])); time.sleep(4)"
    )
    model = twice.home / "releases" / "synthetic" / "bundles" / "v2" / "model.onnx"
    assert calls_home(traced(twice, tmp_path, sys.executable, "-c", wait, str(model))) == []
    assert device_ids(tmp_path) == []


def measured(project: Project, version: str) -> object:
    return project.bundle(version, "metrics.json")["evaluation"]


@pytest.mark.torture
def test_nothing_depends_on_folder_names_locale_time_zone_or_home(twice: Project, tmp_path: Path) -> None:
    """A relative state folder with blanks and umlauts, from elsewhere, in India, as nobody in particular."""
    elsewhere = tmp_path / "büro von ÅÄ 東京"
    elsewhere.mkdir()
    shutil.copy(ROOT / CONFIG, elsewhere / "my config.yaml")
    kept = {
        k: v for k, v in os.environ.items() if k not in ("HOME", "PYTHONUTF8") and not k.startswith("LC_")
    }
    environment = {**kept, "PERENNIAL_HOME": "state of übung", "LANG": "C", "TZ": "Asia/Kolkata"}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, str(ROOT / "run.py"), *arguments],
            cwd=elsewhere,
            env=environment,
            text=True,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=250,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    run("train", "--config", "my config.yaml", *SMALL)
    here = Project(elsewhere / "state of übung")
    assert measured(here, "v1") == measured(twice, "v1")
    ours, theirs = (p.bundle("v1", "manifest.json") for p in (here, twice))
    assert ours["files"]["model.onnx"] == theirs["files"]["model.onnx"]
    assert ours["created_at"].endswith("+00:00")
    assert "v1 serves" in run("status")
    (elsewhere / "rows é.jsonl").write_text(json.dumps(here.bundle("v1", "golden.json")["rows"][0]))
    out = ("--input", "rows é.jsonl", "--output", "answers ü.csv")
    assert "predicted 1 rows" in run("predict", "--config", "my config.yaml", *out)
    assert (elsewhere / "answers ü.csv").is_file()
    assert not (elsewhere / ".perennial").exists() and not (ROOT / "state of übung").exists()


@pytest.mark.torture
def test_a_state_folder_may_be_moved(twice: Project, tmp_path: Path) -> None:
    before, after = Project(tmp_path / "before"), Project(tmp_path / "after")
    shutil.copytree(twice.home, before.home)
    left = sorted(p.name for p in (twice.home / STORE).parent.iterdir())
    runs = "select count(*) from pipeline_run"
    with sqlite3.connect(twice.home / STORE) as store:
        (count,) = store.execute(runs).fetchone()
    before.home.rename(after.home)
    assert "already serving" in after.train("--set", "seed=8")
    with sqlite3.connect(after.home / STORE) as store:
        assert store.execute(runs).fetchone() == (count + 1,)
    with sqlite3.connect(twice.home / STORE) as store:
        assert store.execute(runs).fetchone() == (count,), "the copy wrote where it came from"
    assert sorted(p.name for p in (twice.home / STORE).parent.iterdir()) == left
