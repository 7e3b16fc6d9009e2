"""From configs to jobs, and the process that runs them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from commands.options import read_config
from perennial.errors import InputError

if TYPE_CHECKING:
    from datetime import tzinfo

    from perennial.live.schedule import Job
    from perennial.live.schedule_units import Unit


def read_jobs(
    paths: Sequence[str], settings: Sequence[str], stack: str
) -> tuple[list[Job], dict[str, list[str]]]:
    """The jobs of all configs, and the program of each by its label.

    Raises:
        InputError: two configs of one system, or none with a schedule.
        ConfigError, UnknownNameError: a config or the stack is wrong.
    """
    from zoneinfo import ZoneInfo

    from perennial.cron import Calendar
    from perennial.live.schedule import Job
    from pipelines.source_digest import ROOT

    jobs, programs = [], {}
    for unit in read_units(paths, settings, stack):
        zone = ZoneInfo(unit.zone)
        wording = f"{unit.cron} {unit.zone}"
        times = Calendar(unit.cron, zone)
        job = Job(unit.system, unit.job, wording, times, unit.missed, unit.grace_s, zone)
        jobs.append(job)
        programs[job.label] = [sys.executable, str(ROOT / "run.py"), *unit.arguments]
    return jobs, programs


def read_units(paths: Sequence[str], settings: Sequence[str], stack: str) -> list[Unit]:
    """What the configs schedule, with the arguments of run.py for each; raises as `read_jobs` does."""
    from perennial.cron import read_cron
    from perennial.live.schedule import JOBS
    from perennial.live.schedule_units import Unit
    from pipelines.stack import read

    read(stack)
    units: list[Unit] = []
    for path in paths:
        config = read_config(path, tuple(settings))
        if any(unit.system == config.system for unit in units):
            raise InputError(
                f"expected one config per system, found two of {config.system}; schedule one of them"
            )
        laid_over = tuple(word for setting in settings for word in ("--set", setting))
        places = ("--config", str(Path(path).absolute()), "--stack", _stack_argument(stack))
        for job in JOBS:
            if expression := getattr(config.schedule, job):
                part = config.schedule
                units.append(
                    Unit(
                        config.system,
                        job,
                        read_cron(expression),
                        part.zone,
                        part.missed,
                        part.grace_s,
                        (job, *places, *laid_over),
                    )
                )
    if not units:
        raise InputError(
            f"expected schedule.collect or schedule.train in {', '.join(paths)}, found neither; "
            'add one, such as collect: "30 6 * * *"'
        )
    return units


def run_jobs(jobs: Sequence[Job], command: Callable[[Job], Sequence[str]]) -> None:
    """Runs jobs at their times until a signal comes."""
    from datetime import UTC, datetime

    from perennial.home import home
    from perennial.live.job_lock import holder
    from perennial.live.schedule import pause_of, shown
    from perennial.live.schedule_run import Runner, presence_path

    folder = home().schedules
    say = writer({job.label: job.zone for job in jobs})
    for system in sorted({job.system for job in jobs}):
        if other := holder(presence_path(folder, system)):
            say(system, f"another scheduler is at work too, {other}; every run happens once")
    for job in jobs:
        paused = (p := pause_of(folder, job.system)) is not None and p.paused
        first = "paused" if paused else f"next {shown(job.times.next_after(datetime.now(UTC)), job.zone)}"
        say(job.label, f"{job.wording}: {first}")
    Runner(jobs, folder, command, say, environment={"PERENNIAL_HOME": str(home().root)}).run()


def writer(zones: dict[str, tzinfo]) -> Callable[[str, str], None]:
    """Writes a line with the time and its label; several threads may call it. Goes on where nobody reads."""
    import os
    import threading
    from datetime import UTC, datetime

    guard = threading.Lock()
    width = max(map(len, zones), default=0)

    def say(label: str, text: str) -> None:
        now = datetime.now(UTC).astimezone(zones.get(label, UTC))
        with guard:
            try:
                print(f"{now:%Y-%m-%d %H:%M:%S %Z}  {label:<{width}}  {text}", flush=True)  # noqa: T201
            except BrokenPipeError:
                sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115

    return say


def _stack_argument(stack: str) -> str:

    return str(Path(stack).absolute()) if stack.endswith(".yaml") else stack
