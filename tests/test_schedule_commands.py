"""`run.py schedule`, and what it writes for systemd, cron and Kubernetes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from project import Project
from scheduling import ROOT

from perennial.cron import Calendar, read_cron
from perennial.errors import ConfigError, InputError
from perennial.live import job_lock, schedule
from perennial.live.schedule import Job, Record
from perennial.live.schedule_units import Place, Unit, crontab, kubernetes, on_calendar, systemd_files
from tests.scheduled import HOURLY, PYTHON, said


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "synthetic.yaml"
    text = (ROOT / "configs" / "synthetic.yaml").read_text()
    path.write_text(text + '\nschedule: {zone: Europe/Berlin, collect: "30 2 * * *", train: "0 6 1 * mon"}\n')
    return path


def test_the_command_makes_up_for_a_missed_run_with_the_projects_own_program(
    config: Path, tmp_path: Path
) -> None:
    project = Project(tmp_path / "home")
    now = datetime.now(UTC)
    late = f"{now - timedelta(minutes=3):%M %H} * * *"
    config.write_text(config.read_text().replace("30 2 * * *", late).replace("Europe/Berlin", "UTC"))
    wording = f"{read_cron(late)} UTC"
    before = Record(wording, now - timedelta(days=2))
    schedule.write_record(
        project.home / "schedules", Job("synthetic", "collect", wording, HOURLY.times), before
    )
    process = project.start("schedule", "--config", str(config))
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]
    config.write_text("systm: synthetic\n")  # what the run is to stumble over
    while "exit code" not in lines[-1] and lines[-1]:
        lines.append(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    lines += process.communicate(timeout=30)[0].splitlines(keepends=True)
    text = "".join(lines)
    assert process.returncode == 0, text
    assert "is made up for: started, process" in text
    assert "synthetic collect  | error: config " in text, text
    assert "failed after" in text and "exit code 2" in text
    shown = project.run("schedule", "status")
    assert "exit code 2" in shown and "no scheduler is at work" in shown and "synthetic train" in shown


def test_the_next_times_are_shown_in_the_zone_and_in_utc(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = said(monkeypatch, tmp_path, "--config", str(config), "--next", "3").splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "synthetic collect: 30 2 * * * Europe/Berlin",
        "synthetic train: 0 6 1 * 1 Europe/Berlin",
    ]
    calendar = Calendar(read_cron("30 2 * * *"), ZoneInfo("Europe/Berlin"))
    moment = datetime.now(UTC)
    for line in lines[1:4]:
        moment = calendar.next_after(moment)
        local = moment.astimezone(ZoneInfo("Europe/Berlin"))
        assert local.isoformat(" ", "minutes")[:16] in line and local.isoformat()[-6:] in line
        assert f"{moment:%Y-%m-%d %H:%M} UTC" in line
    assert len(said(monkeypatch, tmp_path, "--next", "--config", str(config)).splitlines()) == 12


def test_pause_resume_and_status_tell_what_they_did(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--config", str(config))
    assert "synthetic: paused" in said(monkeypatch, tmp_path, "pause", *words)
    assert "nothing changed, paused since" in said(monkeypatch, tmp_path, "pause", *words)
    assert said(monkeypatch, tmp_path, "status", *words).count("  paused   since ") == 2
    assert "paused by" in said(monkeypatch, tmp_path, *words, "--next")
    said(monkeypatch, tmp_path, "pause")
    with pytest.raises(InputError, match="without --config"):
        said(monkeypatch, tmp_path, "resume", *words)
    assert "every system: resumed\nsynthetic: resumed" in said(monkeypatch, tmp_path, "resume")
    assert "  next     " in said(monkeypatch, tmp_path, "status", *words)


def test_wrong_schedules_get_one_sentence(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="two of synthetic"):
        said(monkeypatch, tmp_path, "--config", str(config), "--config", str(config), "--next")
    with pytest.raises(InputError, match="found neither"):
        said(monkeypatch, tmp_path, "--config", str(ROOT / "configs" / "synthetic.yaml"), "--next")
    config.write_text(config.read_text().replace("30 2 * * *", "30 25 * * *"))
    with pytest.raises(
        ConfigError,
        match=r"synthetic\.yaml:\d+: schedule\.collect: expected values from 0 to 23 in the field hour",
    ):
        said(monkeypatch, tmp_path, "--config", str(config), "--next")


EXPRESSIONS = (
    "* * * * *", "*/15 * * * *", "30 2 * * *", "0 6,18 * * 1-5", "5 4 1,15 * *", "0 0 13 * 5", "0 9 1-7/2 2-11/3 *",
    "59 23 31 12 *", "0 0 29 2 *", "10-50/20 */6 * jan,jun sun",
)  # fmt: skip


def unit(text: str = "30 2 * * *", missed: str = "once", zone: str = "Europe/Berlin") -> Unit:
    arguments = ("collect", "--config", "/a b/100%/$x.yaml")
    return Unit("used_cars", "collect", read_cron(text), zone, missed, 1800.5, arguments)  # type: ignore[arg-type]


def place(folder: Path) -> Place:
    return Place(folder, Path(PYTHON), ROOT / "run.py", folder / "ho me%")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_systemd_reads_the_same_times_from_what_is_written_for_it(text: str) -> None:
    zone, base, count = "Asia/Kathmandu", datetime(2025, 3, 5, 10, tzinfo=UTC), 4
    words = [
        "systemd-analyze",
        "calendar",
        f"--iterations={count}",
        f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC",
    ]
    written = on_calendar(read_cron(text), zone)
    output = subprocess.run(
        [*words, *written],
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    lines = [
        line.split(": ", 1)[1] for line in output.splitlines() if "Next elapse:" in line or "Iter. #" in line
    ]
    found = sorted(
        {datetime.strptime(line[4:], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC) for line in lines}
    )
    the_job = Job("cars", "collect", text, Calendar(read_cron(text), ZoneInfo(zone)))
    assert found[:count] == schedule.upcoming(the_job, base, count)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units_even_with_strange_paths(tmp_path: Path) -> None:
    files = systemd_files([unit("0 6 1 * 1", "skip")], place(tmp_path))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", *(str(tmp_path / name) for name in files)],
        text=True,
        capture_output=True,
    )
    assert not [line for line in checked.stderr.splitlines() if "perennial" in line], checked.stderr
    service, timer = files["perennial-used-cars-collect.service"], files["perennial-used-cars-collect.timer"]
    assert '"/a b/100%%/$$x.yaml"' in service and f'"PERENNIAL_HOME={tmp_path}/ho me%%"' in service
    assert timer.count("OnCalendar=") == 2 and "Persistent=false" in timer


def test_a_crontab_line_runs_the_very_command_in_the_very_place(tmp_path: Path) -> None:
    """The line is run by a shell after what cron does to it: `\\%` becomes `%`."""
    recorder = tmp_path / "python"
    recorder.write_text(f'#!/bin/sh\npwd > "{tmp_path}/seen"\nprintf "%s\\n" "$@" >> "{tmp_path}/seen"\n')
    recorder.chmod(0o755)
    folder = tmp_path / "it's 50%"
    folder.mkdir()
    text = crontab([unit("0 6 * * 7")], Place(folder, recorder, ROOT / "run.py", tmp_path))
    line = next(line for line in text.splitlines() if line.startswith("0 6 * * 0 "))
    assert text.splitlines()[text.splitlines().index(line) - 1] == "CRON_TZ=Europe/Berlin"
    command = line.removeprefix("0 6 * * 0 ")
    assert "%" not in command.replace(r"\%", "")
    subprocess.run(["/bin/sh", "-c", command.replace(r"\%", "%")], check=True)
    assert (tmp_path / "seen").read_text().splitlines() == [
        str(folder), str(ROOT / "run.py"), "collect", "--config", "/a b/100%/$x.yaml",
    ]  # fmt: skip


def test_kubernetes_own_client_takes_the_cron_jobs() -> None:
    from kubernetes import client

    text = kubernetes([unit("0 6 * * sun"), unit("0 7 * * *", "skip", "UTC")], "registry/image:1", "cars")
    read = client.ApiClient()
    found = []
    for document in yaml.safe_load_all(text):
        answer = type("Answer", (), {"data": json.dumps(document)})()
        job_object = read.deserialize(answer, "V1CronJob")
        assert read.sanitize_for_serialization(job_object) == document, (
            "a field that Kubernetes does not know"
        )
        found.append(job_object)
    first, second = (one.spec for one in found)
    assert (first.schedule, first.time_zone, first.concurrency_policy) == (
        "0 6 * * 0",
        "Europe/Berlin",
        "Forbid",
    )
    assert (first.starting_deadline_seconds, second.starting_deadline_seconds) == (1801, 30)
    pod = first.job_template.spec.template.spec
    assert pod.restart_policy == "Never" and pod.containers[0].image == "registry/image:1"
    assert found[0].metadata.name == "perennial-used-cars-collect" and found[0].metadata.namespace == "cars"


def test_the_command_prints_for_kubernetes_only_what_the_image_holds(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = ("--config", str(ROOT / "configs" / "synthetic.yaml"), "--set", "schedule.train=0 6 * * *")
    text = said(monkeypatch, tmp_path, *inside, "--print", "kubernetes", "--stack", "kubernetes")
    command = yaml.safe_load(text)["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0][
        "command"
    ]
    assert command[:5] == ["python", "run.py", "train", "--config", "configs/synthetic.yaml"]
    with pytest.raises(InputError, match="that the image holds"):
        said(monkeypatch, tmp_path, "--config", str(config), "--print", "kubernetes", "--stack", "kubernetes")
    with pytest.raises(InputError, match="runs on Kubernetes"):
        said(monkeypatch, tmp_path, *inside, "--print", "kubernetes")


def test_the_command_writes_units_that_run_here(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--config", str(config), "--print", "systemd")
    printed = said(monkeypatch, tmp_path, *words)
    said(monkeypatch, tmp_path, *words, "--into", str(tmp_path / "units"))
    names = sorted(path.name for path in (tmp_path / "units").iterdir())
    assert names == [
        f"perennial-synthetic-{j}.{kind}" for j in ("collect", "train") for kind in ("service", "timer")
    ]
    for name in names:
        assert (tmp_path / "units" / name).read_text() in printed + "\n"
    assert f"WorkingDirectory={Path.cwd()}" in printed and f"{PYTHON} {ROOT / 'run.py'} collect" in printed
    assert job_lock.HANDED not in printed
