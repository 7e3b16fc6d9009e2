"""Schedules: what is made up for, one run at a time, pauses, signals, and the words of other schedulers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from project import Project
from scheduling import ROOT, Moments, Scheduler, seconds_from_now, spec

from commands.schedule import cli
from perennial.cron import Calendar, read_cron
from perennial.errors import BusyError, ConfigError, InputError
from perennial.live import job_lock, schedule
from perennial.live.job_lock import holder, holding, path_of, take
from perennial.live.schedule import Job, Record, Run, due_now
from perennial.live.schedule_units import Place, Unit, crontab, kubernetes, on_calendar, systemd_files

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOURLY = Job("cars", "collect", "0 * * * * UTC", Calendar(read_cron("0 * * * *"), UTC))
PYTHON = sys.executable


def job(missed: str = "once", grace_s: float = 3600.0, text: str = "0 * * * *") -> Job:
    return Job("cars", "collect", f"{text} UTC", Calendar(read_cron(text), UTC), missed, grace_s)  # type: ignore[arg-type]


@given(
    st.lists(st.integers(0, 600), min_size=1, max_size=8, unique=True).map(sorted),
    st.sampled_from(("once", "skip")),
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, 700), st.booleans()), max_size=4).map(sorted),
)
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink])
def test_over_any_times_and_downtimes_each_policy_keeps_its_law(
    due: list[int], missed: str, grace: int, switches: list[tuple[int, bool]]
) -> None:
    """A scheduler that is up or down by the minute: `skip` runs what falls due while it is up, `once` that, and
    one run for each downtime whose last time due is within the grace; no time is ever run for twice."""
    times = Moments(tuple(NOON + n * MINUTE for n in due))
    the_job = Job("cars", "collect", "x UTC", times, missed, 60.0 * grace)  # type: ignore[arg-type]
    record, ran, expected, pending = Record("x UTC", NOON - MINUTE), [], [], None
    for minute in range(701):
        up = next((state for at, state in reversed(switches) if at <= minute), True)
        if minute in due:
            pending = minute
        if not up:
            continue
        now = NOON + minute * MINUTE
        found = due_now(the_job, record, None, now)
        if pending is not None and (pending == minute or (missed == "once" and minute - pending <= grace)):
            expected.append(pending)
        pending = None
        if found is not None and found.verdict == "start":
            ran.append(int((found.at - NOON) / MINUTE))
            record = schedule.ended(schedule.started(record, found, now), now, 0)
        elif found is not None:
            record = schedule.passed_over(record, now)
    assert ran == expected


def test_one_run_makes_up_for_all_that_was_missed() -> None:
    record, now = Record("", NOON), NOON + timedelta(hours=5, minutes=10)
    due = due_now(job(), record, None, now)
    assert due is not None and due.verdict == "start" and due.at == NOON + timedelta(hours=5)
    after = schedule.ended(schedule.started(record, due, now), now + MINUTE, 0)
    assert due_now(job(), after, None, now + 2 * MINUTE) is None


def test_what_is_later_than_the_grace_or_missed_under_skip_is_passed_over() -> None:
    now = NOON + timedelta(hours=1, minutes=10)
    late, skipped = (due_now(j, Record("", NOON), None, now) for j in (job(grace_s=599), job("skip")))
    assert late is not None and late.verdict == "late"
    assert skipped is not None and skipped.verdict == "skip"
    assert due_now(job(grace_s=600), Record("", NOON), None, now).verdict == "start"  # type: ignore[union-attr]
    assert due_now(job(), schedule.passed_over(Record("", NOON), now), None, now) is None


def test_a_run_that_was_cut_off_counts_as_missed_and_one_that_failed_does_not() -> None:
    cut = Record("", NOON, Run(NOON, NOON))
    due = due_now(job(), cut, None, NOON + 5 * MINUTE)
    assert due is not None and due.at == NOON and due.verdict == "start" and not due.on_time
    assert due_now(job(), schedule.ended(cut, NOON + MINUTE, 1), None, NOON + 5 * MINUTE) is None


def test_what_fell_due_in_a_pause_is_not_made_up_for(tmp_path: Path) -> None:
    resumed = NOON + timedelta(hours=2, minutes=5)
    assert due_now(job(), Record("", NOON), resumed, resumed + MINUTE) is None
    assert due_now(job(), Record("", NOON, Run(NOON, NOON)), resumed, resumed + MINUTE) is None
    following = due_now(job(), Record("", NOON), resumed, NOON + timedelta(hours=3))
    assert following is not None and following.at == NOON + timedelta(hours=3)


def test_pauses_of_one_and_of_all(tmp_path: Path) -> None:
    def paused(system: str) -> bool:
        pause = schedule.pause_of(tmp_path, system)
        return pause is not None and pause.paused

    schedule.set_pause(tmp_path, "cars", True, NOON, "ann@host")
    assert (paused("cars"), paused("load")) == (True, False)
    schedule.set_pause(tmp_path, None, True, NOON + MINUTE, "bob@host")
    schedule.set_pause(tmp_path, "cars", False, NOON + 2 * MINUTE, "bob@host")
    assert (paused("cars"), paused("load")) == (True, True)
    schedule.set_pause(tmp_path, None, False, NOON + 3 * MINUTE, "bob@host")
    assert (paused("cars"), paused("load")) == (False, False)
    schedule.set_pause(tmp_path, None, False, NOON + 9 * MINUTE, "bob@host")
    assert schedule.pause_of(tmp_path, "load").at == NOON + 3 * MINUTE  # type: ignore[union-attr]


def test_a_record_comes_back_as_it_was_and_a_foreign_file_gets_one_sentence(tmp_path: Path) -> None:
    record = Record("0 * * * * UTC", NOON, Run(NOON, NOON + MINUTE, NOON + 2 * MINUTE, 3))
    schedule.write_record(tmp_path, HOURLY, record)
    assert schedule.read_record(tmp_path, HOURLY) == record
    assert list(schedule.known(tmp_path)) == [("cars", "collect", record)]
    (tmp_path / "cars" / "collect.json").write_text('{"seen": "yesterday"}')
    with pytest.raises(InputError, match="delete it"):
        schedule.read_record(tmp_path, HOURLY)


CONTENDER = """
import os, sys, time
from datetime import datetime, UTC
from pathlib import Path
from perennial.live.job_lock import take
path, book = Path(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
wins = 0
while wins < 5:
    lock = take(path, datetime.now(UTC))
    if lock is None:
        continue
    os.write(book, b"[")
    time.sleep(0.002)
    os.write(book, b"]")
    lock.close()
    wins += 1
    time.sleep(0.001)
"""


def test_of_many_processes_one_at_a_time_holds_the_lock(tmp_path: Path) -> None:
    book = tmp_path / "book"
    contenders = [
        subprocess.Popen([PYTHON, "-c", CONTENDER, str(tmp_path / "a.lock"), str(book)], cwd=ROOT)
        for _ in range(4)
    ]
    assert [c.wait(60) for c in contenders] == [0] * 4
    assert book.read_bytes() == b"[]" * 20


HOLDER = """
import subprocess, sys, time
from datetime import datetime, UTC
from pathlib import Path
from perennial.live.job_lock import take
lock = take(Path(sys.argv[1]), datetime.now(UTC))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=(lock.handle,))
lock.tell(child.pid, datetime.now(UTC))
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_run_keeps_its_lock_when_its_scheduler_is_killed_and_loses_it_when_it_dies(tmp_path: Path) -> None:
    path = path_of(tmp_path, "cars", "collect")
    scheduler = subprocess.Popen(
        [PYTHON, "-c", HOLDER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert scheduler.stdout is not None
    child = int(scheduler.stdout.readline())
    scheduler.kill()
    scheduler.wait()
    assert take(path, NOON) is None
    assert holder(path).pid == child  # type: ignore[union-attr]
    with pytest.raises(BusyError, match=f"process {child} on "), holding(tmp_path, "cars", "collect", NOON):
        pass
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while (lock := take(path, NOON)) is None:
        assert time.monotonic() < deadline
    lock.close()
    assert holder(path) is None


def test_a_run_that_was_handed_the_lock_goes_on_and_others_do_not(tmp_path: Path) -> None:
    path = path_of(tmp_path, "cars", "collect")
    lock = take(path, NOON)
    assert lock is not None
    program = (
        "import sys; from pathlib import Path; from datetime import *; from perennial.live.job_lock import holding\n"
        "with holding(Path(sys.argv[1]), 'cars', sys.argv[2], datetime.now(UTC)): print('in')"
    )

    def run(job_name: str, **how: object) -> subprocess.CompletedProcess[str]:
        own = {**os.environ, **lock.environment()}
        words = [PYTHON, "-c", program, str(tmp_path), job_name]
        return subprocess.run(words, cwd=ROOT, env=own, text=True, capture_output=True, **how)  # type: ignore[call-overload, no-any-return]

    assert run("collect", pass_fds=(lock.handle,)).stdout == "in\n"
    further_down = run("collect")
    assert further_down.stdout == "" and "BusyError: expected no other collect of cars" in further_down.stderr
    assert run("train", pass_fds=(lock.handle,)).stdout == "in\n", "another job has a lock of its own"
    lock.close()
    with holding(tmp_path, "cars", "collect", NOON):
        assert holder(path).pid == os.getpid()  # type: ignore[union-attr]
    assert holder(path) is None


def append(path: Path) -> list[str]:
    return [PYTHON, "-c", f"open({str(path)!r}, 'a').write('x'); print('found 3 cars')"]


def sleeper(path: Path, stubborn: bool = False) -> list[str]:
    """A run that says `asleep`, and writes into `path` which signal came; a stubborn one goes on."""
    rest = "" if stubborn else "; sys.exit(0 if number == 0 else 5)"
    program = (
        "import signal, sys, time\n"
        f"def on(number, _): open({str(path)!r}, 'a').write(f'{{number}} '){rest}\n"
        "for s in (2, 15): signal.signal(s, on)\n"
        "print('asleep', flush=True)\nwhile True: time.sleep(60)"
    )
    return [PYTHON, "-c", program]


@pytest.fixture
def schedulers(tmp_path: Path) -> Iterator[list[Scheduler]]:
    """Schedulers that a test started; killed with their runs at its end."""
    started: list[Scheduler] = []
    yield started
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
    if (found := holder(path_of(tmp_path / "schedules", "cars", "collect"))) is not None and found.pid:
        os.kill(found.pid, signal.SIGKILL)


def record_of(home: Path) -> Record:
    found = schedule.read_record(home / "schedules", HOURLY)
    assert found is not None
    return found


def test_two_schedulers_run_what_falls_due_once_and_pass_its_output_on(
    tmp_path: Path, schedulers: list[Scheduler]
) -> None:
    write_seen(tmp_path)
    told = spec(append(tmp_path / "runs"), seconds_from_now(2.5))
    schedulers += [Scheduler(tmp_path, told), Scheduler(tmp_path, told)]
    deadline = time.monotonic() + 30
    while not any("done after" in s.text for s in schedulers):
        assert time.monotonic() < deadline, [s.text for s in schedulers]
        time.sleep(0.02)
    time.sleep(0.5)  # for the other to do it again, if it would
    assert [schedulers[0].end(signal.SIGTERM), schedulers[1].end(signal.SIGINT)] == [0, 0]
    text = "".join(s.text for s in schedulers)
    assert text.count("started, process") == 1, text
    assert text.count("cars collect  | found 3 cars\n") == 1, text
    assert (tmp_path / "runs").read_text() == "x"
    run = record_of(tmp_path).run
    assert run is not None and run.code == 0 and run.due == datetime.fromisoformat(told["moments"][0])
    assert text.count(": starts no more") == 2 and text.count("schedule      ended") == 2


def test_a_signal_reaches_the_run_and_the_next_start_makes_up_for_it(
    tmp_path: Path, schedulers: list[Scheduler]
) -> None:
    told = spec(sleeper(tmp_path / "got"), seconds_from_now(0.0))
    write_seen(tmp_path)
    schedulers.append(first := Scheduler(tmp_path, told))
    first.wait_for("| asleep")
    assert first.end(signal.SIGINT) == 0
    assert (tmp_path / "got").read_text() == f"{signal.SIGINT.value} "
    assert "cut off" in first.text and record_of(tmp_path).run.ended is None  # type: ignore[union-attr]
    schedulers.append(second := Scheduler(tmp_path, {**told, "command": append(tmp_path / "runs")}))
    second.wait_for("done after")
    assert second.end(signal.SIGTERM) == 0
    assert (tmp_path / "runs").read_text() == "x"


def write_seen(home: Path) -> None:
    """Remembers a scheduler that ran an hour ago."""
    at = datetime.now(UTC) - timedelta(hours=1)
    schedule.write_record(home / "schedules", HOURLY, Record("at times UTC", at))


def test_a_run_that_does_not_heed_the_signal_is_killed(tmp_path: Path, schedulers: list[Scheduler]) -> None:
    write_seen(tmp_path)
    told = spec(sleeper(tmp_path / "got", stubborn=True), seconds_from_now(0.0), patience_s=0.3)
    schedulers.append(one := Scheduler(tmp_path, told))
    one.wait_for("| asleep")
    assert one.end(signal.SIGTERM) == 0
    assert "cut off" in one.text
    assert holder(path_of(tmp_path / "schedules", "cars", "collect")) is None


def test_after_sigkill_the_next_scheduler_waits_for_the_orphan_and_says_whose_it_is(
    tmp_path: Path, schedulers: list[Scheduler]
) -> None:
    write_seen(tmp_path)
    told = spec(sleeper(tmp_path / "got"), seconds_from_now(0.0))
    schedulers.append(first := Scheduler(tmp_path, told))
    first.wait_for("| asleep")
    orphan = int(first.wait_for("process").split()[-1])
    first.process.kill()
    first.process.wait()
    schedulers.append(second := Scheduler(tmp_path, {**told, "command": append(tmp_path / "runs")}))
    assert f"waits: process {orphan} on " in second.wait_for("is still at it")
    os.kill(orphan, signal.SIGKILL)
    second.wait_for("done after")
    assert second.end(signal.SIGTERM) == 0
    assert (tmp_path / "runs").read_text() == "x"
    assert second.text.count("is still at it") == 1


def test_under_skip_a_missed_run_is_told_and_not_started(tmp_path: Path, schedulers: list[Scheduler]) -> None:
    write_seen(tmp_path)
    told = spec(append(tmp_path / "runs"), seconds_from_now(-40.0), missed="skip")
    schedulers.append(one := Scheduler(tmp_path, told))
    one.wait_for("was missed and is not made up for: the policy is to skip")
    assert one.end(signal.SIGTERM) == 0
    assert one.text.count("was missed") == 1 and not (tmp_path / "runs").exists()


def test_a_running_scheduler_notices_pause_and_resume(tmp_path: Path, schedulers: list[Scheduler]) -> None:
    write_seen(tmp_path)
    told = spec(append(tmp_path / "runs"), seconds_from_now(2.0))
    folder = tmp_path / "schedules"
    schedule.set_pause(folder, "cars", True, datetime.now(UTC), "ann@host")
    schedulers.append(one := Scheduler(tmp_path, told))
    one.wait_for("paused by ann@host")
    one.wait_for("is not started: paused")
    schedule.set_pause(folder, "cars", False, datetime.now(UTC), "ann@host")
    one.wait_for("resumed")
    assert one.end(signal.SIGTERM) == 0
    assert "process" not in one.text and not (tmp_path / "runs").exists()


def test_a_program_that_cannot_be_started_is_told(tmp_path: Path, schedulers: list[Scheduler]) -> None:
    write_seen(tmp_path)
    schedulers.append(one := Scheduler(tmp_path, spec([str(tmp_path / "nothing")], seconds_from_now(0.0))))
    one.wait_for("cannot be started")
    one.wait_for("exit code 127")
    assert one.end(signal.SIGTERM) == 0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "synthetic.yaml"
    text = (ROOT / "configs" / "synthetic.yaml").read_text()
    path.write_text(text + '\nschedule: {zone: Europe/Berlin, collect: "30 2 * * *", train: "0 6 1 * mon"}\n')
    return path


def said(monkeypatch: pytest.MonkeyPatch, home: Path, *words: str) -> str:
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    result = CliRunner().invoke(cli, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


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
