"""A scheduler in a process of its own, with jobs at moments to the second: `python tests/scheduling.py SPEC`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FAR = datetime(2999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Moments:
    """Times due that are given one by one, ascending."""

    all: tuple[datetime, ...]

    def next_after(self, moment: datetime) -> datetime:
        return next((m for m in self.all if m > moment), FAR)

    def last_until(self, moment: datetime, after: datetime) -> datetime | None:
        return next((m for m in reversed(self.all) if after < m <= moment), None)


class Scheduler:
    """A running scheduler of one job and the lines it has written so far."""

    def __init__(self, home: Path, spec: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(spec)],
            env={**os.environ, "PERENNIAL_HOME": str(home), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            with self._more:
                self.lines.append(line)
                self._more.notify_all()
        with self._more:
            self._more.notify_all()

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, words: str, timeout_s: float = 30.0) -> str:
        """The first line that holds `words`."""
        with self._more:
            found = self._more.wait_for(
                lambda: any(words in line for line in self.lines) or not self._reader.is_alive(), timeout_s
            )
        line = next((line for line in self.lines if words in line), None)
        assert line is not None, f"expected {words!r} ({found=}) in:\n{self.text}"
        return line

    def end(self, number: int) -> int:
        """The exit code after a signal, once all output has come."""
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join(10)
        return code


def spec(
    command: Sequence[str],
    moments: Sequence[datetime] = (),
    missed: str = "once",
    grace_s: float = 60.0,
    patience_s: float = 10.0,
) -> dict[str, Any]:
    """What a scheduler process is told."""
    times = [m.isoformat() for m in moments]
    return {
        "command": list(command),
        "moments": times,
        "missed": missed,
        "grace_s": grace_s,
        "patience_s": patience_s,
    }


def seconds_from_now(*seconds: float) -> list[datetime]:
    now = datetime.now(UTC)
    return [now + timedelta(seconds=s) for s in seconds]


def main(told: dict[str, Any]) -> None:
    from commands.schedule_jobs import writer
    from perennial.home import home
    from perennial.live.schedule import Job
    from perennial.live.schedule_run import Runner

    times = Moments(tuple(datetime.fromisoformat(m) for m in told["moments"]))
    job = Job("cars", "collect", "at times UTC", times, told["missed"], told["grace_s"])
    say = writer({job.label: UTC})
    Runner([job], home().schedules, lambda _: told["command"], say, patience_s=told["patience_s"]).run()
    say("schedule", "ended")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
