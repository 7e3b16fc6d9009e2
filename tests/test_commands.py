"""Every command: its help, its options, its exit codes, and one sentence for whatever is wrong."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import click
import jsonschema
import pytest
import yaml

from tests.project import ROOT, SMALL, Project

CONFIG = "configs/synthetic.yaml"
COMMANDS = (
    *(
        "demo",
        "collect",
        "data",
        "train",
        "backtest",
        "schedule",
        "promote",
        "rollback",
        "ab",
        "serve",
        "predict",
    ),
    *("truth", "journal", "score", "review", "status", "leaderboard", "compare", "alerts", "ui", "dashboard"),
    *("config", "stack", "doctor"),
)
TAKE_A_CONFIG = (
    *("collect", "data log", "data show", "data diff", "data export", "train", "backtest", "schedule"),
    *("promote", "rollback", "serve", "predict", "config show", "leaderboard", "compare"),
    *("ab start", "ab stop", "ab report", "ab promote"),
    *("score", "review export", "review import", "ui", "journal status", "journal prune"),
)
ALL = (
    *("", *COMMANDS, "config show", "config schema", "stack list", "stack check"),
    *("data log", "data show", "data diff", "data export", "review export", "review import"),
    *("journal status", "journal prune", "ab start", "ab stop", "ab report", "ab promote"),
)
HEAVY = {
    "zenml",
    "mlflow",
    "sklearn",
    "pandas",
    "numpy",
    "scipy",
    "bentoml",
    "lightgbm",
    "evidently",
    "pydantic",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "home")


def command(name: str) -> click.Command:
    """The click command behind a name such as `config show`."""
    first, *rest = name.split()
    found: click.Command = importlib.import_module(f"commands.{first}").cli
    for part in rest:
        assert isinstance(found, click.Group)
        found = found.commands[part]
    return found


def options(name: str) -> set[str]:
    return {opt for p in command(name).params if isinstance(p, click.Option) for opt in p.opts}


def refused(project: Project, *arguments: str) -> str:
    """The one sentence of a command that ends with 2, and that has made nothing."""
    output = project.run(*arguments, code=2)
    assert output.startswith("error: ") and output.count("\n") == 1, output
    assert "Traceback" not in output
    assert not project.home.exists()
    return output


@pytest.mark.parametrize("name", ALL)
def test_help_is_quick_and_lists_every_option(name: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "run.py", *name.split(), "--help"],
        cwd=ROOT,
        env=Project(tmp_path).environment(),
        text=True,
        capture_output=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert not imported & HEAVY
    assert done.stdout.startswith(f"Usage: run.py {name}".rstrip())
    for option in options(name) if name else {"--debug", "--version", "--help", *COMMANDS}:
        assert option in done.stdout


def test_the_list_of_commands_is_what_this_file_tests(project: Project) -> None:
    listed = project.run("--help").partition("Commands:")[2]
    assert tuple(
        line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "
    ) == (COMMANDS)
    assert {p.stem for p in (ROOT / "commands").glob("*.py")} >= set(COMMANDS)


@pytest.mark.parametrize("name", TAKE_A_CONFIG)
def test_whatever_takes_a_config_takes_settings_and_a_stack(name: str) -> None:
    assert {"--config", "--set", "--stack"} <= options(name)


def test_nothing_else_takes_a_config() -> None:
    groups = {"config", "stack", "data", "review"}
    found = {n for n in ALL[1:] if n not in groups and "--config" in options(n)}
    assert found == {*TAKE_A_CONFIG, "alerts", "truth"}  # incidents are the same on every stack, and truth


def test_status_and_config_show_stay_light(project: Project) -> None:
    for arguments, heavy in (
        (("status",), HEAVY - {"pydantic"}),
        (("config", "show", "--config", CONFIG), HEAVY - {"numpy", "pydantic"}),
    ):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "run.py", *arguments],
            cwd=ROOT,
            env=project.environment(),
            text=True,
            capture_output=True,
            check=True,
        )
        imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
        assert not imported & heavy, arguments


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("trian", "did you mean 'train'?"),
        ("config shw --config x", "Did you mean 'show'?"),
        ("stack chek local", "Did you mean 'check'?"),
        (f"train --confg {CONFIG}", "Did you mean '--config'?"),
        (f"predict --config {CONFIG} --input a --output b.csv --verson v1", "Did you mean '--version'?"),
        (f"train --config {CONFIG} --stack locl", "did you mean 'local'?"),
        ("stack check kubernets", "did you mean 'kubernetes'?"),
        ("status --stack serve", "did you mean 'server'?"),
        ("doctor --stack serve", "did you mean 'server'?"),
        (f"config show --config {CONFIG} --stack locl", "did you mean 'local'?"),
        ("train --config configs/syntetic.yaml", "did you mean 'synthetic.yaml'?"),
        (f"train --config {CONFIG} --set system=syntetic", "did you mean 'synthetic'?"),
        (f"config show --config {CONFIG} --set system=syntetic", "did you mean 'synthetic'?"),
        (f"train --config {CONFIG} --set learn.fold=3", "did you mean 'folds'?"),
        (f"train --config {CONFIG} --set source.kind=generater", "did you mean 'generator'?"),
        (f"train --config {CONFIG} --set seed=99999999999", "seed"),
        (f"train --config {CONFIG} --set learn.target_scale=log", "learn.target_scale: expected identity"),
        (f"serve --config {CONFIG} --port 0", "--port"),
        (f"promote --config {CONFIG} --version v1 --reason=", "expected a few words"),
        (f"rollback --config {CONFIG} --reason=", "expected a few words"),
        (f"promote --config {CONFIG} --version v1", "--reason"),
        ("train", "--config"),
        ("status more", "more"),
    ],
)
def test_a_wrong_call_gets_one_sentence_and_the_nearest_name(
    project: Project, arguments: str, sentence: str
) -> None:
    assert sentence in refused(project, *arguments.split())


def test_no_command_at_all_shows_the_help(project: Project) -> None:
    output = project.run(code=2)
    assert output.startswith("Usage: run.py") and "error:" not in output


@pytest.mark.parametrize("arguments", [("train",), ("config", "show"), ("serve",)], ids=" ".join)
def test_unknown_candidates_parameters_and_metrics_are_refused_at_once_and_with_their_lines(
    project: Project, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    text = (ROOT / CONFIG).read_text()
    for right, wrong in (
        ("n_estimators:", "n_estimator:"),
        ("name: logistic", "name: logistics"),
        ("accuracy_score:", "acuracy_score:"),
    ):
        assert text.count(right) == 1
        text = text.replace(right, wrong)
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    output = refused(
        project, *arguments, "--config", str(path), "--set", "promotion.ceilings.log_los_error=1"
    )
    assert "4 problems found" in output
    for wrong, right in (
        ("n_estimator", "n_estimators"),
        ("logistics", "logistic"),
        ("acuracy_score", "accuracy_score"),
    ):
        line = next(n for n, row in enumerate(text.splitlines(), 1) if wrong in row)
        assert f"{path}:{line}: " in output
        assert f"found {wrong!r}; did you mean {right!r}?" in output
    assert "--set: promotion.ceilings.log_los_error" in output and "did you mean 'log_loss_error'?" in output


def test_a_setting_of_an_unknown_parameter_is_refused_as_a_setting(project: Project) -> None:
    setting = "learn.candidates.0.parameters.max_dept=3"
    output = refused(project, "train", "--config", CONFIG, *SMALL, "--set", setting)
    assert "--set: learn.candidates.0.parameters.max_dept" in output
    assert "did you mean 'max_depth'?" in output


@pytest.mark.parametrize("place", [0, 1, 3])
def test_the_trace_is_shown_where_it_was_asked_for_and_nowhere_else(project: Project, place: int) -> None:
    arguments = ["train", "--config", "absent.yaml"]
    assert "Traceback" not in refused(project, *arguments)
    arguments.insert(place, "--debug")
    output = project.run(*arguments, code=2)
    assert "Traceback" in output and "ConfigError" in output
    assert output.splitlines()[-1].startswith("error: ")


def test_a_trouble_with_the_disk_is_one_sentence_too(project: Project) -> None:
    ledger = project.home / "releases" / "synthetic" / "ledger"
    ledger.parent.mkdir(parents=True)
    ledger.write_text("no folder")
    for arguments in (("serve", "--config", CONFIG), ("rollback", "--config", CONFIG)):
        output = project.run(*arguments, code=1)
        assert output.startswith(f"error: expected to read and write {ledger}"), output
        assert output.count("\n") == 1 and "found a file in place of a folder" in output


def test_the_schema_is_a_schema_and_every_shipped_config_fits_it(project: Project) -> None:
    schema = json.loads(project.run("config", "schema"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        values = json.loads(json.dumps(yaml.safe_load(path.read_text()), default=str))
        assert list(validator.iter_errors(values)) == []
        assert list(validator.iter_errors({**values, "lern": {}})) != []


def test_config_show_tells_where_every_value_comes_from(project: Project) -> None:
    output = project.run("config", "show", "--config", CONFIG, "--set", "learn.folds=4", "--stack", "server")
    rows = {line.split()[0]: line for line in output.splitlines()[1:] if line.strip()}
    line = next(
        n for n, row in enumerate((ROOT / CONFIG).read_text().splitlines(), 1) if row.startswith("seed")
    )
    assert rows["seed"].split()[1:] == ["7", f"{CONFIG}:{line}"]
    assert rows["learn.folds"].split()[1:] == ["4", "--set"]
    assert rows["serve.port"].split()[1:] == ["3000", "default"]
    assert "http://127.0.0.1:8080" in rows["stack.metadata.url"] and "server" in rows["stack.metadata.url"]
    assert not project.home.exists()


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    environment = {**Project(tmp_path).environment(), "ZENML_API_KEY": "canary-of-a-secret"}
    for arguments in (
        ("config", "show", "--config", CONFIG, "--stack", "server"),
        ("stack", "check", "server"),
    ):
        done = subprocess.run(
            [sys.executable, "run.py", *arguments],
            cwd=ROOT,
            env=environment,
            text=True,
            capture_output=True,
            check=False,
        )
        assert "canary" not in done.stdout + done.stderr


def test_stacks_are_listed_and_the_local_one_works(project: Project) -> None:
    listed = project.run("stack", "list")
    assert [line.split()[0] for line in listed.splitlines()] == ["kubernetes", "local", "server"]
    checked = project.run("stack", "check", "local")
    assert [line.split()[:2] for line in checked.splitlines()] == [
        ["ok", part] for part in ("metadata", "artifacts", "tracking", "orchestrator")
    ]


def test_a_stack_that_does_not_answer_fails_part_by_part(project: Project) -> None:
    environment = {k: v for k, v in project.environment().items() if not k.startswith(("AWS_", "ZENML_"))}
    done = subprocess.run(
        [sys.executable, "run.py", "stack", "check", "server"],
        cwd=ROOT,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "metadata, artifacts" in done.stderr
    assert "expected the environment variable ZENML_API_KEY" in done.stdout


def test_doctor_finds_a_healthy_machine_healthy(project: Project) -> None:
    output = project.run("doctor")
    assert all(line.startswith("ok") for line in output.splitlines()), output
    assert "none yet; the first bundle makes one" in output


def test_an_empty_home_has_nothing_to_show(project: Project) -> None:
    assert "nothing is released yet" in project.run("status")
    assert "error: synthetic: expected a release to serve" in project.run("serve", "--config", CONFIG, code=1)
    assert "error: synthetic: expected a release to roll back" in project.run(
        "rollback", "--config", CONFIG, code=1
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user for whom no folder is closed to be ruled out")
def test_a_home_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("x")
    output = Project(tmp_path / "home").run("train", "--config", CONFIG, code=1)
    assert output.count("\n") == 1 and "found a file in place of a folder" in output
