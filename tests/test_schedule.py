"""Schedules: what is made up for, one run at a time, pauses and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scheduling import ROOT, Moments, Scheduler, seconds_from_now, spec

from perennial.cron import Calendar, read_cron
from perennial.errors import BusyError, InputError
from perennial.live import schedule
from perennial.live.job_lock import holder, holding, path_of, take
from perennial.live.schedule import Job, Record, Run, due_now
from tests.scheduled import HOURLY, NOON, PYTHON

MINUTE = timedelta(minutes=1)


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
