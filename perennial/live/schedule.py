"""What is due, and what becomes of runs that were missed: decisions over values, and the files they rest on.

`once`: everything that fell due while nothing could run (no scheduler, another run still going, the machine
asleep) is made up for by one run, unless the latest of these times is more than `grace_s` ago. `skip`: it is
not. A run that was cut off, by a kill or with its scheduler, counts as missed. What falls due in a pause is
never made up for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import msgspec

from perennial.errors import InputError
from perennial.live.files import write_atomic

ON_TIME_S = 30.0
JOBS = ("collect", "train")
T = TypeVar("T")


class Times(Protocol):
    """The moments at which a job falls due, such as a `perennial.cron.Calendar`."""

    def next_after(self, moment: datetime) -> datetime:
        """The first time due after `moment`."""
        ...

    def last_until(self, moment: datetime, after: datetime) -> datetime | None:
        """The last time due at or before `moment` and after `after`."""
        ...


@dataclass(frozen=True)
class Job:
    """Something that a system does on a schedule; `wording` is that schedule as people write it."""

    system: str
    name: str
    wording: str
    times: Times
    missed: Literal["once", "skip"] = "once"
    grace_s: float = 3600.0
    zone: tzinfo = UTC

    @property
    def label(self) -> str:
        """How the job is called in every line about it."""
        return f"{self.system} {self.name}"


@dataclass(frozen=True)
class Run:
    """One run: when it fell due, started and ended (None: going on, or cut off), and its exit code."""

    due: datetime
    started: datetime
    ended: datetime | None = None
    code: int | None = None


@dataclass(frozen=True)
class Record:
    """What is remembered of a job: everything due up to `seen` has been decided on under this `wording`."""

    wording: str
    seen: datetime
    run: Run | None = None


@dataclass(frozen=True)
class Pause:
    """The last word on a pause: paused, or resumed, at a moment by somebody."""

    paused: bool
    at: datetime
    who: str


@dataclass(frozen=True)
class Due:
    """The latest time due that nothing was decided on yet, and how late it is.

    `verdict` is `start`, `late` (missed, and beyond the grace) or `skip` (missed, and the policy is to skip).
    """

    at: datetime
    late_s: float
    verdict: Literal["start", "late", "skip"]

    @property
    def on_time(self) -> bool:
        """Whether it starts when it should, and is no making up for something missed."""
        return self.late_s <= ON_TIME_S


def due_now(job: Job, record: Record, resumed: datetime | None, now: datetime) -> Due | None:
    """What is to be decided on at `now`; None where nothing fell due. `resumed` is the end of the last pause."""
    run = record.run
    cut_off = run is not None and run.ended is None and run.due == record.seen
    after = record.seen - timedelta(microseconds=1) if cut_off else record.seen
    if resumed is not None and resumed > after:
        after = resumed
    at = job.times.last_until(now, after)
    if at is None:
        return None
    late_s = (now - at).total_seconds()
    if late_s <= ON_TIME_S:
        return Due(at, late_s, "start")
    if job.missed == "skip":
        return Due(at, late_s, "skip")
    return Due(at, late_s, "start" if late_s <= job.grace_s else "late")


def upcoming(job: Job, now: datetime, count: int) -> list[datetime]:
    """The next `count` times after `now`, in UTC."""
    times: list[datetime] = []
    for _ in range(count):
        times.append(job.times.next_after(times[-1] if times else now))
    return times


def started(record: Record, due: Due, now: datetime) -> Record:
    """The record once a run for `due` has begun."""
    return replace(record, seen=due.at, run=Run(due.at, now))


def ended(record: Record, now: datetime, code: int) -> Record:
    """The record once the run that it tells of has ended by itself."""
    if record.run is None:
        raise ValueError("expected a run to end, found none in the record")
    return replace(record, run=replace(record.run, ended=now, code=code))


def passed_over(record: Record, now: datetime) -> Record:
    """The record once it was decided that nothing due up to `now` is made up for."""
    return replace(record, seen=now)


def shown(moment: datetime, zone: tzinfo) -> str:
    """A moment on the clocks of a zone and in UTC.

    >>> from zoneinfo import ZoneInfo
    >>> shown(datetime(2025, 10, 26, 1, 30, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
    '2025-10-26 02:30 CET (01:30 UTC)'
    """
    local, utc = moment.astimezone(zone), moment.astimezone(UTC)
    if local.utcoffset() == utc.utcoffset():
        return f"{utc:%Y-%m-%d %H:%M} UTC"
    day = "" if local.date() == utc.date() else f"{utc:%Y-%m-%d} "
    return f"{local:%Y-%m-%d %H:%M %Z} ({day}{utc:%H:%M} UTC)"


def read_record(folder: Path, job: Job) -> Record | None:
    """What is remembered of a job; None where nothing is."""
    return _read(_record_path(folder, job.system, job.name), Record)


def write_record(folder: Path, job: Job, record: Record) -> None:
    """Remembers, durably."""
    _write(_record_path(folder, job.system, job.name), record)


def known(folder: Path) -> Iterator[tuple[str, str, Record]]:
    """System, job and record of everything that was ever scheduled, sorted."""
    for path in sorted(folder.glob("*/*.json")):
        if path.stem in JOBS and (record := _read(path, Record)) is not None:
            yield path.parent.name, path.stem, record


def set_pause(folder: Path, system: str | None, paused: bool, now: datetime, who: str) -> Pause | None:
    """Pauses or resumes a system, or everything (None); returns what stood there before."""
    path = _pause_path(folder, system)
    before = _read(path, Pause)
    if (before is not None and before.paused) != paused:
        _write(path, Pause(paused, now, who))
    return before


def pause_of(folder: Path, system: str) -> Pause | None:
    """The pause that holds for a system, its own or everybody's; else the last that ended; None for neither."""
    both = [p for p in (_read(_pause_path(folder, s), Pause) for s in (system, None)) if p is not None]
    return max(both, key=lambda p: (p.paused, p.at), default=None)


def paused_systems(folder: Path) -> list[str]:
    """The systems that are paused by their own name."""
    paths = sorted(folder.glob("*/pause.json"))
    return [p.parent.name for p in paths if (pause := _read(p, Pause)) is not None and pause.paused]


def all_paused(folder: Path) -> bool:
    """Whether everything is paused."""
    pause = _read(_pause_path(folder, None), Pause)
    return pause is not None and pause.paused


def _record_path(folder: Path, system: str, job: str) -> Path:
    return folder / system / f"{job}.json"


def _pause_path(folder: Path, system: str | None) -> Path:
    return (folder / system if system else folder) / "pause.json"


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, msgspec.json.encode(value))


def _read(path: Path, kind: type[T]) -> T | None:
    """The value of a file; None where there is no file. Raises InputError where it is not ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise InputError(
            f"expected {path} to hold what the schedule remembers, found something else ({error}); "
            "delete it, and the schedule starts anew from this moment"
        ) from error
