"""The process behind `run.py schedule`: it starts what falls due, each run in a process of its own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from apscheduler.executors.pool import ThreadPoolExecutor  # type: ignore[import-untyped]
from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]
from apscheduler.triggers.base import BaseTrigger  # type: ignore[import-untyped]

from perennial.errors import PerennialError
from perennial.live import job_lock, schedule
from perennial.live.job_lock import Lock
from perennial.live.job_process import Processes, Say
from perennial.live.schedule import Due, Job, Record, Times, shown

TICK_S = 1.0
POLL_S = 0.25
PATIENCE_S = 10.0
LAST_WORDS_S = 3.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Moments(BaseTrigger):  # type: ignore[misc]
    """Our own times for APScheduler, whose cron runs 02:30 twice when the clocks go back."""

    def __init__(self, times: Times) -> None:
        self.times = times

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first time due after `now`."""
        return self.times.next_after(now)


class Runner:
    """Runs jobs when they fall due, until a signal comes.

    `command` is the program of a job, `folder` is `Home.schedules`, `say(label, text)` writes one line,
    `environment` is laid over this process's own for every run, and a run that was asked to end is killed
    after `patience_s`.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        folder: Path,
        command: Callable[[Job], Sequence[str]],
        say: Say,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        environment: Mapping[str, str] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._jobs, self._folder, self._command, self._say = jobs, folder.absolute(), command, say
        self._clock, self._environment, self._patience_s = clock, dict(environment or {}), patience_s
        self._processes = Processes(say)
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._attended: set[str] = set()
        self._again: set[str] = set()
        self._presence: dict[str, Lock] = {}
        self._paused: set[str] = set()

    def run(self) -> None:
        """Runs what falls due until SIGTERM, SIGINT or SIGHUP; then ends what is going on, and returns."""
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(2 * max(1, len(self._jobs)))},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 2},
        )
        self._tick()
        for job in self._jobs:
            first = datetime.now(UTC)  # a look at what was missed
            scheduler.add_job(self._attend, Moments(job.times), [job], id=job.label, next_run_time=first)
        with _signals() as pipe:
            scheduler.start()
            while not (received := _received(pipe, TICK_S)):
                self._tick()
                scheduler.wakeup()  # its timer stands still while the machine sleeps
            self._say("schedule", f"{signal.Signals(received).name}: starts no more, ends what is going on")
            self._stopping.set()
            scheduler.shutdown(wait=False)
            self._end(signal.Signals(received), pipe)
        for lock in self._presence.values():
            lock.close()

    def _tick(self) -> None:
        """Says what was paused or resumed, and takes the place of another scheduler once that has ended."""
        for system in sorted({job.system for job in self._jobs}):
            pause = schedule.pause_of(self._folder, system)
            paused = pause is not None and pause.paused
            if pause is not None and paused and system not in self._paused:
                self._say(system, f"paused by {pause.who}")
                self._paused.add(system)
            elif not paused and system in self._paused:
                self._say(system, "resumed; what fell due in the pause is not made up for")
                self._paused.discard(system)
            if system not in self._presence:
                lock = job_lock.take(presence_path(self._folder, system), self._clock())
                if lock is not None:
                    self._presence[system] = lock

    def _attend(self, job: Job) -> None:
        """Does all that is due of a job; where that is being done already, has it look once more."""
        with self._guard:
            if job.label in self._attended:
                self._again.add(job.label)
                return
            self._attended.add(job.label)
        while True:
            try:
                self._do(job)
            except (PerennialError, OSError) as error:
                self._say(job.label, f"error: {error}")
            with self._guard:
                if job.label not in self._again:
                    self._attended.discard(job.label)
                    return
                self._again.discard(job.label)

    def _do(self, job: Job) -> None:
        """Starts what is due, after the run of another process where one is going on, until nothing is."""
        path, told = job_lock.path_of(self._folder, job.system, job.name), False
        while not self._stopping.is_set() and (due := self._due(job)) is not None:
            lock = job_lock.take(path, self._clock())
            if lock is not None:
                with contextlib.closing(lock):
                    self._decide(job, lock)
                continue
            who = job_lock.holder(path) or job_lock.UNKNOWN
            if due.verdict != "start":
                self._say(job.label, f"{shown(due.at, job.zone)} is skipped: {who} is still at it")
                return
            if not told:
                self._say(job.label, f"{shown(due.at, job.zone)} waits: {who} is still at it")
                told = True
            self._stopping.wait(POLL_S)

    def _due(self, job: Job) -> Due | None:
        """What is due, if anything; a schedule that is seen for the first time counts from now."""
        now, record = self._clock(), schedule.read_record(self._folder, job)
        if record is None or record.wording != job.wording:
            run = record.run if record else None
            schedule.write_record(self._folder, job, Record(job.wording, now, run))
            return None
        pause = schedule.pause_of(self._folder, job.system)
        due = schedule.due_now(job, record, pause.at if pause and not pause.paused else None, now)
        if due is not None and pause is not None and pause.paused:
            if due.on_time:
                self._say(job.label, f"{shown(due.at, job.zone)} is not started: paused by {pause.who}")
            return None
        return due

    def _decide(self, job: Job, lock: Lock) -> None:
        """Runs or passes over what is due, with the lock held; another scheduler may just have done it."""
        due, record = self._due(job), schedule.read_record(self._folder, job)
        if due is None or record is None:
            return
        when = shown(due.at, job.zone)
        if due.verdict != "start":
            why = "the policy is to skip" if due.verdict == "skip" else f"more than {job.grace_s:g} s ago"
            self._say(job.label, f"{when} was missed and is not made up for: {why}")
            schedule.write_record(self._folder, job, schedule.passed_over(record, self._clock()))
            return
        begun = schedule.started(record, due, self._clock())
        schedule.write_record(self._folder, job, begun)
        before_s = time.monotonic()
        why = f"{when} started" if due.on_time else f"{when} was missed and is made up for: started"
        code = self._processes.run(job.label, self._command(job), self._environment, lock, self._clock(), why)
        took = f"after {time.monotonic() - before_s:.1f} s"
        if code is None or (code != 0 and self._stopping.is_set()):
            self._say(job.label, f"cut off {took}; counts as missed")
            return
        schedule.write_record(self._folder, job, schedule.ended(begun, self._clock(), code))
        self._say(job.label, f"done {took}" if code == 0 else f"failed {took}, exit code {code}")

    def _end(self, number: signal.Signals, pipe: int) -> None:
        """Hands the signal on, and kills what has not ended in time or when a second signal comes."""
        self._processes.close(number)
        deadline = time.monotonic() + self._patience_s
        while self._attended and time.monotonic() < deadline and not _received(pipe, 0.05):
            pass
        if self._attended:
            self._processes.close(signal.SIGKILL)
        deadline = time.monotonic() + LAST_WORDS_S
        while self._attended and time.monotonic() < deadline:
            time.sleep(0.05)


def presence_path(folder: Path, system: str) -> Path:
    """The lock that a scheduler of a system holds for as long as it lives."""
    return job_lock.path_of(folder, system, "scheduler")


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """The reading end of a pipe that receives the number of every signal that asks this process to end."""
    reading, writing = os.pipe()
    before = {s: signal.signal(s, lambda number, _: os.write(writing, bytes([number]))) for s in SIGNALS}
    try:
        yield reading
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _received(pipe: int, timeout_s: float) -> int:
    """The next signal's number; 0 where none came in time."""
    ready, _, _ = select.select([pipe], [], [], timeout_s)
    return os.read(pipe, 1)[0] if ready else 0
