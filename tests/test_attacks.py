"""Attacks on the real thing: full disks, kills, closed networks, hostile files, tampering, odd environments."""

from __future__ import annotations

import gc
import gzip
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import run as run_py
from perennial import systems
from perennial.config import Config
from perennial.config_file import load
from perennial.data import checks, dataset
from perennial.errors import PerennialError
from perennial.live import release
from perennial.live.build import build_bundle
from perennial.live.bundle import open_bundle
from perennial.live.shelf import newest_released
from perennial.live.sign import PRIVATE, PUBLIC, key_pair
from tests.listings import listings
from tests.project import ROOT, SMALL, Project
from tests.releases import NOW, build, parts, promote

gc.enable()  # run.py switches it off, which is meant for processes that end soon

CONFIG = "configs/synthetic.yaml"
CARS = "configs/used_cars.yaml"
STORE = Path("stacks/local/zenml/local_stores/default_zen_store/zenml.db")

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def can_unshare() -> bool:
    """Whether this user may make a network namespace of its own."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0


def only_sentence(output: str) -> str:
    """The sentence of a command that failed: one line, the last, and no trace anywhere."""
    assert "Traceback" not in output, output
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and output.splitlines()[-1] == lines[0], output
    assert "unexpected" not in lines[0], output
    return lines[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A home with two releases of `synthetic`; v2 serves. Tests copy it before they damage it."""
    project = Project(tmp_path_factory.mktemp("trained") / "home")
    for seed in (7, 8):
        assert "promoted v" in project.train("--set", f"seed={seed}")
    return project


@pytest.fixture
def copy(trained: Project, tmp_path: Path) -> Project:
    """The releases and keys of `trained`, to damage."""
    home = tmp_path / "home"
    for name in ("releases", "keys"):
        shutil.copytree(trained.home / name, home / name)
    return Project(home)


@pytest.fixture
def rows(trained: Project, tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in trained.bundle("v2", "golden.json")["rows"]))
    return path


def call(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str]:
    """Exit code and output of a light command, run in this process for speed."""
    monkeypatch.setenv("PERENNIAL_HOME", str(project.home))
    monkeypatch.chdir(ROOT)
    code = run_py.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out + captured.err


# ------------------------------------------------------------------------------------------- a full disk


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of that size in `folder`."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k"]
    if subprocess.run(["mount", *options, "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def enlarge(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=400m", str(folder)], check=True)


@root_only
def test_a_full_disk_leaves_a_whole_bundle_and_a_whole_ledger_or_none(tmp_path: Path) -> None:
    outcomes = []
    for kilobytes in (16, 24, 32, 40, 48, 56, 64, 80, 96, 128):
        with small_disk(tmp_path / f"{kilobytes}", kilobytes) as disk:
            key = key_pair(tmp_path / "keys")
            try:
                promote(disk, key, build(disk, key, "prices", 1.0))
                outcomes.append("released")
            except OSError as error:
                assert error.errno == 28
                found = list((disk / "prices" / "bundles").glob("*"))
                assert all(re.fullmatch(r"v\d+", p.name) for p in found), "no half bundle, no rubbish"
                for path in found:
                    open_bundle(path, key.public_path)
                outcomes.append("bundled" if found else "nothing")
                assert release.history(disk, "prices") == ()
                enlarge(disk)
                promote(disk, key, build(disk, key, "prices", 1.0))
            assert [e.facts.version for e in release.history(disk, "prices")] == ["v1"]
            assert release.status(disk)[0].version == "v1"
    assert {"nothing", "released"} <= set(outcomes)


def train_on_a_disk_of(kilobytes: int, folder: Path) -> bool:
    """Whether training ended well on a disk of that size; checks what a failure leaves, and the way out."""
    with small_disk(folder, kilobytes) as disk:
        project = Project(disk / "home")
        process = project.start("train", "--config", CONFIG, *SMALL)
        output = process.communicate(timeout=250)[0]
        if process.returncode == 0:
            return True
        assert process.returncode == 1
        assert "no space left; free some space" in only_sentence(output)
        bundles = project.home / "releases" / "synthetic" / "bundles"
        for path in bundles.glob("v*"):
            open_bundle(path, project.home / "keys" / PUBLIC)
        entries = len(release.history(project.home / "releases", "synthetic"))
        assert entries <= 1
        enlarge(disk)
        again = project.train()
        assert ("already serving" if entries else "promoted v1 in place of nothing") in again
        with sqlite3.connect(project.home / STORE) as store:
            asked = "select count(*) from pipeline_run where status in ('running', 'initializing')"
            assert store.execute(asked).fetchone() == (0,)
    return False


@root_only
@pytest.mark.torture
@pytest.mark.parametrize("kilobytes", [200, 700, 1_500, 3_500, 5_000, 6_000, 7_000, 8_000, 9_000, 10_000])
def test_training_survives_a_disk_that_fills_at_any_step(tmp_path: Path, kilobytes: int) -> None:
    ended_well = train_on_a_disk_of(kilobytes, tmp_path / "disk")
    assert not (ended_well and kilobytes < 5_000)


# -------------------------------------------------------------------------------------- a closed network


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
def test_no_command_calls_home(trained: Project, rows: Path, tmp_path: Path) -> None:
    home = tmp_path / "user"
    home.mkdir()
    files = ("--input", str(rows), "--output", str(tmp_path / "answers.csv"))
    for command in (
        ("doctor",),
        ("status",),
        ("stack", "check", "local"),
        ("predict", "--config", CONFIG, *files),
        ("train", "--config", CONFIG, *SMALL, "--set", "seed=8"),
    ):
        assert calls_home(traced(trained, home, sys.executable, "run.py", *command)) == [], command
    assert device_ids(home) == []


@pytest.mark.torture
@traceable
def test_a_model_that_serves_for_long_does_not_call_home(trained: Project, tmp_path: Path) -> None:
    """ONNX Runtime's telemetry would ask for its collector's address within seconds, had it been left on."""
    wait = (
        "import sys, time; from pathlib import Path; from perennial.live.models import OnnxModel; "
        "OnnxModel(Path(sys.argv[1])); time.sleep(4)"
    )
    model = trained.home / "releases" / "synthetic" / "bundles" / "v2" / "model.onnx"
    assert calls_home(traced(trained, tmp_path, sys.executable, "-c", wait, str(model))) == []
    assert device_ids(tmp_path) == []


# ---------------------------------------------------------------------------------------- odd surroundings


def measured(project: Project, version: str) -> object:
    return project.bundle(version, "metrics.json")["evaluation"]


@pytest.mark.torture
def test_nothing_depends_on_folder_names_locale_time_zone_or_home(trained: Project, tmp_path: Path) -> None:
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
    assert measured(here, "v1") == measured(trained, "v1")
    ours, theirs = (p.bundle("v1", "manifest.json") for p in (here, trained))
    assert ours["files"]["model.onnx"] == theirs["files"]["model.onnx"]
    assert ours["created_at"].endswith("+00:00")
    assert "v1 serves" in run("status")
    (elsewhere / "rows é.jsonl").write_text(json.dumps(here.bundle("v1", "golden.json")["rows"][0]))
    out = ("--input", "rows é.jsonl", "--output", "answers ü.csv")
    assert "predicted 1 rows" in run("predict", "--config", "my config.yaml", *out)
    assert (elsewhere / "answers ü.csv").is_file()
    assert not (elsewhere / ".perennial").exists() and not (ROOT / "state of übung").exists()


@pytest.mark.torture
def test_a_state_folder_may_be_moved(trained: Project, tmp_path: Path) -> None:
    before, after = Project(tmp_path / "before"), Project(tmp_path / "after")
    shutil.copytree(trained.home, before.home)
    left = sorted(p.name for p in (trained.home / STORE).parent.iterdir())
    runs = "select count(*) from pipeline_run"
    with sqlite3.connect(trained.home / STORE) as store:
        (count,) = store.execute(runs).fetchone()
    before.home.rename(after.home)
    assert "already serving" in after.train("--set", "seed=8")
    with sqlite3.connect(after.home / STORE) as store:
        assert store.execute(runs).fetchone() == (count + 1,)
    with sqlite3.connect(trained.home / STORE) as store:
        assert store.execute(runs).fetchone() == (count,), "the copy wrote where it came from"
    assert sorted(p.name for p in (trained.home / STORE).parent.iterdir()) == left


@contextmanager
def read_only(folder: Path, at: Path) -> Iterator[Path]:
    at.mkdir()
    if subprocess.run(["mount", "--bind", str(folder), str(at)], check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(at)], check=True)
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


@root_only
@pytest.mark.slow
def test_a_read_only_state_folder_can_be_read_and_nothing_else(
    trained: Project, rows: Path, tmp_path: Path
) -> None:
    with read_only(trained.home, tmp_path / "sealed") as home:
        project = Project(home)
        assert "v2 serves" in project.run("status")
        answers = str(tmp_path / "answers.csv")
        assert "predicted" in project.run(
            "predict", "--config", CONFIG, "--input", str(rows), "--output", answers
        )
        for arguments in (
            ("train", "--config", CONFIG),
            ("rollback", "--config", CONFIG),
            ("promote", "--config", CONFIG, "--version", "v1", "--reason", "x"),
            ("serve", "--config", CONFIG, "--port", "8391"),
            ("dashboard", "--no-browser", "--port", "8392"),
        ):
            output = project.run(*arguments, code=1)
            assert "found a read-only file system" in only_sentence(output), arguments
            assert output.count("\n") == 1, output


# --------------------------------------------------------------------------------------------------- kills


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
def test_control_c_is_no_stack_trace(tmp_path: Path) -> None:
    project = Project(tmp_path / "home")
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


# ------------------------------------------------------------------------------------------- hostile files


def csv_of(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False)


GOOD = csv_of(listings(600).frame)
LINES = GOOD.splitlines()
TRAINING = (
    "--set",
    "learn.candidates=[{name: ridge}]",
    "--set",
    "promotion={coverage_tolerance: 0.1}",
    "--set",
    "evaluate.resamples=100",
)


def hostile() -> dict[str, tuple[str, bytes, str]]:
    """Case -> (file name, content, what training says about it: "" where it is no problem)."""
    good, text = listings(600).frame, GOOD
    packed = gzip.compress(text.encode())
    return {
        "empty": ("a.csv", b"", "an empty file"),
        "blank lines": ("a.csv", b"\n\n  \n", "an empty file"),
        "header only": ("a.csv", f"{LINES[0]}\n".encode(), "expected rows, found none"),
        "binary": ("a.csv", bytes(range(256)) * 100, "zero bytes"),
        "random": ("a.csv", np.random.default_rng(0).bytes(5000), "expected readable csv in UTF-8"),
        "a picture": (
            "a.csv",
            b"\x89PNG\r\n\x1a\n" + bytes(range(1, 256)) * 9,
            "expected readable csv in UTF-8",
        ),
        "UTF-16": ("a.csv", text.encode("utf-16"), "as in UTF-16 text"),
        "UTF-16 without a mark": ("a.csv", text.encode("utf-16-le"), "as in UTF-16 text"),
        "latin-1": ("a.csv", text.replace("Fiesta", "Fiësta").encode("latin-1"), "save it in UTF-8"),
        "semicolons": ("a.csv", text.replace(",", ";").encode(), "semicolons"),
        "long rows": (
            "a.csv",
            _ragged(LINES, lambda row: f"{row},x,y"),
            "Expected 10 fields in line 4, saw 12",
        ),
        "long rows all over": (
            "a.csv",
            "\n".join([LINES[0], *(f"{r},x" for r in LINES[1:])]).encode(),
            "more fields",
        ),
        "short rows": ("a.csv", _ragged(LINES, lambda row: ",".join(row.split(",")[:4])), "to be rejected"),
        "one column": ("a.csv", csv_of(good[["price"]]).encode(), "make: expected a column called make"),
        "a column twice": (
            "a.csv",
            "\n".join(f"{r},{r.split(',')[3]}" for r in LINES).encode(),
            "price more than once",
        ),
        "a column missing": (
            "a.csv",
            csv_of(good.drop(columns="mileage")).encode(),
            "mileage_miles or mileage",
        ),
        "no price": ("a.csv", csv_of(good.assign(price=np.nan)).encode(), "price_gbp: expected a value"),
        "a constant": ("a.csv", csv_of(good.assign(year=2015)).encode(), "year: expected values that differ"),
        "one price": (
            "a.csv",
            csv_of(good.assign(price=9000)).encode(),
            "price_gbp: expected values that differ",
        ),
        "infinity": (
            "a.csv",
            csv_of(good.assign(price=np.inf)).encode(),
            "price_gbp: expected a finite number",
        ),
        "beyond floats": (
            "a.csv",
            csv_of(good.assign(tax="1e999")).encode(),
            "tax_gbp: expected a finite number",
        ),
        "huge whole numbers": (
            "a.csv",
            csv_of(good.assign(year="9" * 30)).encode(),
            "year: expected 1900 to 2021",
        ),
        "a huge cell": ("a.csv", text.replace("Fiesta", "F" * 10_000_000, 1).encode(), ""),
        "a huge name": (
            "a.csv",
            text.replace("make", "m" * 10_000_000, 1).encode(),
            "field larger than field limit",
        ),
        "zero bytes": ("a.csv", text.replace("Fiesta", "Fie\0sta").encode(), "zero bytes"),
        "an open quote": ("a.csv", text.replace(" Fiesta", '"Fiesta', 1).encode(), "EOF inside string"),
        "quoted line breaks": ("a.csv", text.replace(" Fiesta", '"Fie\nsta"').encode(), ""),
        "a broken name": (
            "a.csv",
            text.replace("make", '"ma\nke"', 1).encode(),
            "make: expected a column called make",
        ),
        "Windows line ends": ("a.csv", text.replace("\n", "\r\n").encode(), ""),
        "old Macintosh line ends": ("a.csv", text.replace("\n", "\r").encode(), ""),
        "a byte order mark": ("a.csv", text.encode("utf-8-sig"), ""),
        "trailing commas": ("a.csv", "\n".join(f"{row},," for row in LINES).encode(), ""),
        "half a gz": ("a.csv.gz", packed[: len(packed) // 2], "Compressed file ended"),
        "a gz with a wrong sum": ("a.csv.gz", packed[:-8] + b"\1\2\3\4\5\6\7\10", "CRC check failed"),
        "gz by name alone": ("a.csv.gz", text.encode(), "Not a gzipped file"),
        "gz under a wrong name": ("a.csv", packed, "expected readable csv in UTF-8"),
        "a web page": ("a.csv", b"<html><body>403</body></html>", "expected rows, found none"),
        "no parquet": ("a.parquet", b"PAR1" + b"x" * 100 + b"PAR1", "expected readable parquet"),
        "a JSON array": ("a.jsonl", good.to_json(orient="records").encode(), "no JSON object"),
        "deep JSON": ("a.jsonl", b'{"a":' * 100_000, "maximum recursion depth"),
        "a JSON number of 400 digits": ("a.jsonl", b'{"year": %s}\n' % (b"9" * 400), "too large"),
        "half a surrogate pair": ("a.jsonl", b'{"make": "\\ud800"}\n' * 300, "half of a surrogate pair"),
    }


def _ragged(lines: list[str], change: object) -> bytes:
    return "\n".join(change(row) if n % 7 == 3 else row for n, row in enumerate(lines)).encode()  # type: ignore[operator]


HOSTILE = hostile()


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_source_gets_one_sentence_that_names_the_file(case: str, tmp_path: Path) -> None:
    name, data, told = HOSTILE[case]
    path = tmp_path / name
    path.write_bytes(data)
    config = load(ROOT / CARS, Config, [f"source.path={path}"]).config
    plugin = systems.get("used_cars")

    def train_until_the_split() -> int:
        reference = dataset.commit(plugin.collect(config.source, 7), tmp_path / "dataset")
        records = plugin.prepare(dataset.read(reference), config.source)
        checked = checks.check(records, plugin.contract(config.source), config.checks)
        checks.require(checks.quarantine(checked, tmp_path / "rejected.parquet"), str(path))
        return len(checked.table)

    if not told:
        assert train_until_the_split() > 590
        return
    with pytest.raises(PerennialError) as caught:
        train_until_the_split()
    sentence = str(caught.value)
    assert told in sentence and str(path) in sentence and "\n" not in sentence
    assert "; " in sentence and caught.value.exit_code in (1, 2)


def test_no_cell_that_a_file_holds_can_swell_a_bundle(tmp_path: Path) -> None:
    name, data, _ = HOSTILE["a huge cell"]
    (tmp_path / name).write_bytes(data)
    config = load(ROOT / CARS, Config, [f"source.path={tmp_path / name}"]).config
    plugin = systems.get("used_cars")
    checked = checks.check(plugin.collect(config.source, 7), plugin.contract(config.source), config.checks)
    assert checked.table.frame["model"].str.len().max() <= checks.LONGEST_TEXT
    long = checked.rejected[checked.rejected["reason"].str.contains("at most 1,000 characters")]
    assert len(long) == 1 and len(long["reason"].iloc[0]) < 200


def test_numbers_in_a_file_keep_every_digit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    path = tmp_path / "a.csv"
    pd.DataFrame({"a": values, "b": values}).to_csv(path, index=False)
    from perennial.data.source import read_rows

    assert np.array_equal(read_rows(path)["a"].to_numpy(), values)


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A release of `used_cars`, trained on a few made-up listings by the real pipeline."""
    folder = tmp_path_factory.mktemp("cars")
    (folder / "good.csv").write_text(GOOD)
    project = Project(folder / "home")
    project.run("train", "--config", CARS, "--set", f"source.path={folder / 'good.csv'}", *TRAINING)
    return project


@pytest.mark.slow
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_rows_to_predict_get_one_sentence_or_an_answer_each(
    cars: Project,
    case: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, data, _ = HOSTILE[case]
    source, output = tmp_path / name, tmp_path / "answers.csv"
    source.write_bytes(data)
    arguments = ("predict", "--config", CARS, "--input", str(source), "--output", str(output))
    code, said = call(cars, capsys, monkeypatch, *arguments)
    if code == 0:
        assert "predicted 600 rows" in said and len(pd.read_csv(output)) == 600
        return
    assert code == 2 and str(source) in only_sentence(said) and said.count("\n") == 1
    assert not output.exists()


@pytest.mark.slow
@pytest.mark.parametrize("case", ["a column missing"])
def test_a_hostile_source_ends_a_training_run_with_one_sentence(
    cars: Project, case: str, tmp_path: Path
) -> None:
    name, data, told = HOSTILE[case]
    (tmp_path / name).write_bytes(data)
    process = cars.start("train", "--config", CARS, "--set", f"source.path={tmp_path / name}", *TRAINING)
    output = process.communicate(timeout=200)[0]
    assert process.returncode in (1, 2)
    assert told in only_sentence(output) and str(tmp_path / name) in only_sentence(output)
    assert len(cars.ledger("used_cars")) == 1


@pytest.mark.torture
@pytest.mark.parametrize("case", [case for case in HOSTILE if HOSTILE[case][2]])
def test_every_hostile_source_ends_a_training_run_with_one_sentence(
    cars: Project, case: str, tmp_path: Path
) -> None:
    test_a_hostile_source_ends_a_training_run_with_one_sentence(cars, case, tmp_path)


# ------------------------------------------------------------------------------------------- wrong releases


def test_rolling_back_goes_back_and_there_it_ends(
    copy: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(code: int, *arguments: str) -> str:
        command, *rest = arguments
        found, output = call(copy, capsys, monkeypatch, command, "--config", CONFIG, *rest)
        assert found == code, output
        return output if code == 0 else only_sentence(output)

    assert "v1 serves again; v2 is barred" in said(0, "rollback")
    assert "expected a release before v1 to go back to, found none" in said(1, "rollback")
    assert "v2 serves again; v1 is barred" in said(0, "rollback", "--to", "v2")
    assert "found v2, the champion" in said(1, "rollback", "--to", "v2")
    assert "known are: v1, v2" in said(2, "rollback", "--to", "v9")
    assert "known are: v1, v2" in said(2, "promote", "--version", "v9", "--reason", "x")
    assert "known are: v1, v2" in said(2, "promote", "--version", "../bundles/v1", "--reason", "x")
    assert "found v2, the champion" in said(1, "promote", "--version", "v2", "--reason", "x")
    assert "v1 serves now (was: v2)" in said(0, "promote", "--version", "v1", "--reason", "the shop asked")
    assert copy.ledger()[-1]["reasons"] == ["the shop asked"]
    assert [e["version"] for e in copy.ledger()] == ["v1", "v2", "v1", "v2", "v1"]


def test_of_two_rollbacks_at_once_none_goes_too_far(copy: Project) -> None:
    both = [copy.start("rollback", "--config", CONFIG) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], outputs
    lost = only_sentence(outputs[codes.index(1)])
    assert "another promotion or rollback came first" in lost or "before v1 to go back to, found none" in lost
    assert [(e["kind"], e["version"]) for e in copy.ledger()][2:] == [("rollback", "v1")]


def test_a_version_is_never_given_twice_even_where_its_bundle_was_deleted(
    copy: Project, tmp_path: Path
) -> None:
    releases, key = copy.home / "releases", key_pair(copy.home / "keys")
    for name in ("v1", "v2"):
        shutil.rmtree(releases / "synthetic/bundles" / name)
    after = newest_released(releases, "synthetic")
    folder = releases / "synthetic/bundles"
    made = [build_bundle(parts("kinds", c, "synthetic"), folder, key, NOW, after) for c in (1.0, 5.0, 5.0)]
    assert [m.version for m in made] == ["v3", "v4", "v4"]


def damage_key_replaced(home: Path) -> None:
    shutil.rmtree(home / "keys")
    key_pair(home / "keys")


def damage_public_key_garbage(home: Path) -> None:
    (home / "keys" / PUBLIC).write_text("junk")


def damage_bundle_deleted(home: Path) -> None:
    shutil.rmtree(home / "releases/synthetic/bundles/v2")


def damage_model_flipped(home: Path) -> None:
    path = home / "releases/synthetic/bundles/v2/model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damage_entry_edited(home: Path) -> None:
    path = home / "releases/synthetic/ledger/000001.json"
    path.write_text(path.read_text().replace('"kind": "promotion"', '"kind": "rollback"'))


def damage_entry_removed(home: Path) -> None:
    (home / "releases/synthetic/ledger/000001.json").unlink()


def damage_entry_emptied(home: Path) -> None:
    (home / "releases/synthetic/ledger/000002.json").write_text("")


DAMAGES = {
    damage_key_replaced: ("expected a signature of manifest.json", False),
    damage_public_key_garbage: ("expected an Ed25519 public key", False),
    damage_bundle_deleted: ("restore it from a copy, roll back, or promote another version", True),
    damage_model_flipped: ("model.onnx was changed after the bundle was signed", False),
    damage_entry_edited: ("found an edited one; restore it from a copy", True),
    damage_entry_removed: ("000001.json: expected to find it", True),
    damage_entry_emptied: ("000002.json: expected the entry as it was written", True),
}
"""Damage -> (what every command says that needs the champion, whether `status` sees it too)."""


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__.removeprefix("damage_"))
def test_tampering_is_told_by_whatever_needs_the_champion(
    copy: Project,
    damage: object,
    rows: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damage(copy.home)  # type: ignore[operator]
    told, seen_by_status = DAMAGES[damage]  # type: ignore[index]
    code, output = call(copy, capsys, monkeypatch, "status")
    if seen_by_status:
        assert code == 1 and told in only_sentence(output)
    else:
        assert code == 0 and "v2 serves" in output
    answers = tmp_path / "answers.csv"
    files = ("--input", str(rows), "--output", str(answers))
    code, output = call(copy, capsys, monkeypatch, "predict", "--config", CONFIG, *files)
    assert code == 1 and told in only_sentence(output) and not answers.exists()
    assert told in only_sentence(copy.run("serve", "--config", CONFIG, "--port", "8390", code=1))


@pytest.mark.torture
def test_doctor_names_every_damage_at_once(copy: Project) -> None:
    shutil.copytree(copy.home / "releases/synthetic", copy.home / "releases/other")
    damage_entry_edited(copy.home)
    (copy.home / "keys" / PRIVATE).chmod(0o644)
    output = copy.run("doctor", code=1)
    failed = {line.split()[1] for line in output.splitlines() if line.startswith("FAIL")}
    assert {"signing", "synthetic"} <= failed
    assert "chmod 600" in output and "found an edited one" in output and "Traceback" not in output


def damage_private_readable(home: Path) -> None:
    (home / "keys" / PRIVATE).chmod(0o644)


def damage_private_gone(home: Path) -> None:
    (home / "keys" / PRIVATE).unlink()


def damage_private_garbage(home: Path) -> None:
    (home / "keys" / PRIVATE).write_text("junk")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (damage_private_readable, "chmod 600"),
        (damage_private_gone, "expected it beside"),
        (damage_private_garbage, "expected an Ed25519 key in PEM"),
    ],
    ids=["readable", "gone", "garbage"],
)
@pytest.mark.torture
def test_a_private_key_out_of_order_stops_training_and_nothing_else(
    trained: Project, damage: object, told: str, rows: Path, tmp_path: Path
) -> None:
    project = Project(tmp_path / "home")
    shutil.copytree(trained.home, project.home)
    damage(project.home)  # type: ignore[operator]
    public = (project.home / "keys" / PUBLIC).read_bytes()
    assert "v2 serves" in project.run("status")
    answers = str(tmp_path / "answers.csv")
    assert "predicted" in project.run(
        "predict", "--config", CONFIG, "--input", str(rows), "--output", answers
    )
    doctor = project.run("doctor", code=1)
    assert any(line.startswith("FAIL  signing key") and told in line for line in doctor.splitlines()), doctor
    process = project.start("train", "--config", CONFIG, *SMALL, "--set", "seed=8")
    output = process.communicate(timeout=200)[0]
    assert process.returncode == 2 and told in only_sentence(output)
    assert (project.home / "keys" / PUBLIC).read_bytes() == public
    assert len(project.ledger()) == 2


@pytest.mark.torture
def test_a_deleted_bundle_stops_training_until_it_is_rolled_back_and_its_version_is_never_given_again(
    trained: Project, tmp_path: Path
) -> None:
    project = Project(tmp_path / "home")
    shutil.copytree(trained.home, project.home)
    damage_bundle_deleted(project.home)
    process = project.start("train", "--config", CONFIG, *SMALL, "--set", "seed=9")
    output = process.communicate(timeout=200)[0]
    assert process.returncode == 1
    assert "the bundle that ledger entry 2 released is gone" in only_sentence(output)
    project.run("rollback", "--config", CONFIG)
    assert re.search(r"promoted v3|not v3", project.train("--set", "seed=9"))
    assert not (project.home / "releases/synthetic/bundles/v2").exists()


@pytest.mark.torture
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__.removeprefix("damage_"))
def test_tampering_stops_training_with_one_sentence(trained: Project, damage: object, tmp_path: Path) -> None:
    project = Project(tmp_path / "home")
    shutil.copytree(trained.home, project.home)
    damage(project.home)  # type: ignore[operator]
    before = sorted((project.home / "releases/synthetic/ledger").glob("*"))
    process = project.start("train", "--config", CONFIG, *SMALL, "--set", "seed=8")
    output = process.communicate(timeout=200)[0]
    assert process.returncode in (1, 2), output
    assert "; " in only_sentence(output)
    assert sorted((project.home / "releases/synthetic/ledger").glob("*")) == before
