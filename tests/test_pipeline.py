"""The whole loop in real processes: it closes, repeats itself to the digit, and survives being killed."""

from __future__ import annotations

import pickletools
import shutil
import signal
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from tests.project import ROOT, Project
from tests.ready_homes import Homes

pytestmark = pytest.mark.slow

STEPS = (
    *("collect", "check", "split", "search", "fit", "evaluate"),
    *("package", "judge", "promote", "report", "track"),
)
NEVER_CACHED = {"collect", "package", "judge", "promote", "report", "track"}


@pytest.fixture(scope="module")
def trained(homes: Homes, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    project = homes.empty(tmp_path_factory.mktemp("home"))
    return project, project.train()


def test_the_loop_closes(trained: tuple[Project, str]) -> None:
    project, output = trained
    assert tuple(project.outcomes(output)) == STEPS
    assert all(outcome.startswith("ran") for outcome in project.outcomes(output).values())
    assert "promoted v1 in place of nothing" in output
    assert [(e["version"], e["kind"]) for e in project.ledger()] == [("v1", "promotion")]
    assert "v1 serves" in project.run("status")
    report = (project.home / "reports" / "synthetic" / "v1.html").read_text()
    assert "v1 was promoted as the first release" in report
    assert "ok" in project.run("doctor") and "golden rows match" in project.run("doctor")


def test_the_named_default_is_what_ships_and_is_good_enough(trained: tuple[Project, str]) -> None:
    project, _ = trained
    manifest, measured = project.bundle("v1", "manifest.json"), project.bundle("v1", "metrics.json")
    assert manifest["candidate"] == "random_forest"
    assert {k: manifest["parameters"][k] for k in ("n_estimators", "max_depth")} == {
        "n_estimators": 100,
        "max_depth": 10,
    }
    accuracy = next(m for m in measured["evaluation"]["metrics"] if m["name"] == "accuracy_score")
    assert accuracy["value"] > 0.85 and accuracy["low"] > 0.5
    assert measured["evaluation"]["details"]["classification_report"]
    assert {"time", "seed", "dataset", "code_digest"} <= set(measured)


def test_nothing_new_is_cached_and_not_promoted_again(trained: tuple[Project, str]) -> None:
    project, _ = trained
    output = project.train()
    outcomes = project.outcomes(output)
    assert {step for step, outcome in outcomes.items() if outcome.startswith("ran")} == NEVER_CACHED
    assert all("cached because inputs, config and source" in outcomes[s] for s in set(STEPS) - NEVER_CACHED)
    assert "This very model is already serving" in output
    assert len(project.ledger()) == 1
    assert not (project.home / "releases" / "synthetic" / "bundles" / "v2").exists()


def test_a_change_of_config_reruns_only_what_reads_it(trained: tuple[Project, str]) -> None:
    project, _ = trained
    outcomes = project.outcomes(project.train("--set", "evaluate.resamples=500"))
    assert {s for s, o in outcomes.items() if o.startswith("ran")} == NEVER_CACHED | {"evaluate"}


def test_mlflow_keeps_parameters_metrics_intervals_and_the_manifest(trained: tuple[Project, str]) -> None:
    project, _ = trained
    database = project.home / "stacks" / "local" / "artifacts" / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection:
        parameters = dict(connection.execute("select key, value from params"))
        metrics = {row[0] for row in connection.execute("select key from metrics")}
        experiments = {row[0] for row in connection.execute("select name from experiments")}
    assert "synthetic" in experiments
    assert parameters["model"] == "random_forest" and parameters["learn.folds"] == "3"
    assert {"model.accuracy_score", "model.accuracy_score.low", "prior.accuracy_score.high"} <= metrics
    kept = {p.name for p in (database.parent / "mlflow_artifacts").rglob("*") if p.is_file()}
    assert {"report.html", "manifest.json", "requirements.txt", "metrics.json"} <= kept
    assert any(name.endswith(".svg") for name in kept)


def pickles(folder: Path) -> list[Path]:
    """The files that are a pickle, or hold one."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix in (".pkl", ".pickle", ".joblib", ".cloudpickle") or _is_pickle(path.read_bytes()):
            found.append(path)
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found += [path for name in archive.namelist() if _is_pickle(archive.read(name))]
        elif path.suffix == ".npy" and b"'O'" in path.read_bytes()[:256]:
            found.append(path)
    return found


def _is_pickle(data: bytes) -> bool:
    if not data.startswith(b"\x80"):
        return False
    try:
        return any(opcode.name == "STOP" for opcode, _, _ in pickletools.genops(data))
    except (ValueError, IndexError):
        return False


def test_no_artifact_is_a_pickle(trained: tuple[Project, str], tmp_path: Path) -> None:
    project, _ = trained
    assert pickles(project.home) == []
    (tmp_path / "x.bin").write_bytes(b"\x80\x04K\x01.")
    assert len(pickles(tmp_path)) == 1


@pytest.mark.torture
def test_the_same_seed_gives_the_same_metrics_to_the_last_digit(
    trained: tuple[Project, str], tmp_path: Path
) -> None:
    project, _ = trained
    other = Project(tmp_path)
    other.train()
    evaluations = [p.bundle("v1", "metrics.json")["evaluation"] for p in (project, other)]
    assert evaluations[0] == evaluations[1]
    models = [p.bundle("v1", "manifest.json")["files"]["model.onnx"] for p in (project, other)]
    assert models[0] == models[1]
    other.train("--set", "seed=8")
    assert other.bundle("v2", "metrics.json")["evaluation"] != evaluations[0]


def test_an_edited_helper_reruns_the_steps(trained: tuple[Project, str], tmp_path: Path) -> None:
    for name in (
        "perennial",
        "steps",
        "pipelines",
        "materializers",
        "commands",
        "configs",
        "bento",
        "run.py",
    ):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    project = Project(trained[0].home, tmp_path)
    assert "cached" in project.outcomes(project.train())["search"]
    helper = tmp_path / "perennial" / "learn" / "resampling.py"
    helper.write_text(helper.read_text() + "\nTOUCHED = True\n")
    outcomes = project.outcomes(project.train())
    assert all(outcome.startswith("ran") for outcome in outcomes.values())


def wait_for(process, text: str) -> str:
    """The output up to the line that holds `text`."""
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} never came:\n{seen}")


@pytest.mark.parametrize(
    "moment", ["split:", *(pytest.param(m, marks=pytest.mark.torture) for m in ("searched", "packaged"))]
)
def test_a_killed_run_leaves_nothing_that_the_same_command_does_not_mend(
    moment: str, homes: Homes, tmp_path: Path
) -> None:
    project = homes.empty(tmp_path)
    process = project.start(
        "train", "--config", "configs/synthetic.yaml", "--set", "learn.candidates.0.trials=1"
    )
    wait_for(process, moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    output = project.run(
        "train", "--config", "configs/synthetic.yaml", "--set", "learn.candidates.0.trials=1"
    )
    assert "had died with its process; marked as failed" in output
    assert "promoted v1 in place of nothing" in output
    assert len(project.ledger()) == 1
    with sqlite3.connect(
        project.home / "stacks/local/zenml/local_stores/default_zen_store/zenml.db"
    ) as store:
        assert store.execute("select count(*) from pipeline_run where status = 'running'").fetchone() == (0,)
        assert store.execute("select count(*) from step_run where status = 'running'").fetchone() == (0,)


@pytest.mark.torture
def test_two_first_runs_at_once_both_end_and_one_promotes(tmp_path: Path) -> None:
    project = Project(tmp_path)
    arguments = ("train", "--config", "configs/synthetic.yaml", "--set")
    runs = [project.start(*arguments, f"seed={seed}") for seed in (7, 8)]
    outputs = [run.communicate(timeout=280)[0] for run in runs]
    codes = sorted(run.returncode for run in runs)
    assert codes in ([0, 0], [0, 1]), outputs
    if codes == [0, 1]:
        assert any("another promotion or rollback came first" in output for output in outputs)
    assert "whole" in project.run("doctor")


def test_bad_data_blocks_training_with_a_sentence_and_keeps_the_rejected_rows(
    homes: Homes, tmp_path: Path
) -> None:
    project = homes.empty(tmp_path)
    output = project.train("--set", "checks.min_rows=5000", code=1)
    assert "error: checks blocked training" in output and "5,000" in output
    assert "Traceback" not in output
    assert project.home.joinpath("releases").exists() is False


@pytest.mark.torture
def test_the_mirror_in_mlflow_follows_the_ledger(trained: tuple[Project, str]) -> None:
    project, _ = trained
    project.train("--set", "seed=8", "--set", "promotion.champion_margin=100")
    version = project.ledger()[-1]["version"]
    assert version != "v1"
    assert f"MLflow's alias champion is {version} too" in project.run("doctor")
    back = project.run("rollback", "--config", "configs/synthetic.yaml")
    assert f"v1 serves again; {version} is barred" in back
    assert "expected MLflow's alias champion to be v1" in project.run("doctor", code=1)
    assert f"was {version}, set to v1" in project.run("doctor", "--mend")
    assert "MLflow's alias champion is v1 too" in project.run("doctor")
