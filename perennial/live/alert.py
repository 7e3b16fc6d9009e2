"""Alerts: telling people of incidents, once each, wherever they are.

Addresses are secrets. They are looked up when they are used, go to a sending process through a pipe, and are
spoken of by the name of their `env:` reference alone. Delivery is at least once: an alert that a killed run did
not send, or that a dead address did not take, is sent by a later run.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Protocol

from perennial.errors import BundleError, CheckError, CollectionError, LedgerError, PerennialError
from perennial.live import incident
from perennial.live.incident import Incident, Kind
from perennial.live.post import Alert as Alert
from perennial.live.post import post
from perennial.live.span import at, in_words

LINES = "alerts.jsonl"
HERE = "file"
WITHIN_S = 20.0
RETRY_S = 600.0
LONGEST = 1500
TITLES = {
    "collection": ("collection breached its contract", "collection keeps its contract again"),
    "validation": ("checks block training", "checks let training pass again"),
    "training": ("training failed", "training works again"),
    "promotion": ("promotion failed", "promotion works again"),
    "died": ("{key} died without a word", "{key} runs to its end again"),
    "journal": ("the journal cannot be written", "the journal is written again"),
}
RUN = "run"
RUN_TITLES = ("collection failed", "collection works again")
MEANING = {
    "collection": "What was collected is not in the dataset; the last good version stays, and training waits.",
    "validation": "No model was trained; the champion goes on serving.",
    "training": "No model was trained; the champion goes on serving.",
    "promotion": "The champion goes on serving.",
    "died": "What was stored before is safe.",
    "journal": "Predictions are answered; those that say X-Journal: not-written may be missing in the journal.",
}
logger = logging.getLogger(__name__)


class Addressed(Protocol):
    """Whoever has addresses: the `alerts` section of a config, or what a service was told of it."""

    @property
    def to(self) -> tuple[str, ...]:
        """References such as `env:PERENNIAL_SLACK` to addresses in Apprise's form."""
        ...


def send(alert: Alert, to: Sequence[str], within_s: float = WITHIN_S) -> list[str]:
    """A sentence for every address that could not be told; waits `within_s` seconds for all together.

    `to` holds references such as `env:PERENNIAL_SLACK` to addresses in Apprise's form.
    """
    return [problem for problem in post([(alert, reference) for reference in to], within_s) if problem]


def tell(
    alerts: Addressed, folder: Path, system: str, now: datetime, within_s: float = WITHIN_S
) -> list[str]:
    """A sentence for whatever kept people from being told of a system's incidents; logs them as well.

    Every message is written to `alerts.jsonl` in `folder`, and goes to the terminal where no address is
    configured or one fails. Never raises for an address, a full disk or a damaged store.
    """
    try:
        problems = _tell(alerts, folder, system, now, within_s)
    except (OSError, sqlite3.Error) as error:
        problems = [
            f"expected to keep incidents in {folder}, found: {error}; alerts may come late or twice until it "
            "can be written"
        ]
    for problem in problems:
        logger.warning("alert not sent: %s", problem)
    return problems


def send_test(alerts: Addressed, folder: Path, system: str, now: datetime) -> list[str]:
    """Sends a test message to every address; a sentence for each that could not be told."""
    body = f"This is a test, sent by hand at {at(now)}. Nothing is wrong."
    message = Alert(f"{system}: test alert", body, recovered=True)
    _write_line(folder, message, {"at": now.astimezone(UTC).isoformat(), "system": system, "event": "test"})
    return send(message, alerts.to)


@contextmanager
def attended(
    alerts: Addressed, folder: Path, system: str, what: Kind, clock: Callable[[], datetime]
) -> Iterator[None]:
    """Runs a block as a run of `what` (`collection` or `training`) whose failure is told, and its recovery.

    Runs that died earlier are reported first. An exception becomes an incident and is raised again; a clean
    end closes the incidents of this kind of run.
    """
    with _minding(folder):
        incident.report_dead(folder, clock())
    tell(alerts, folder, system, clock())
    try:
        with incident.running(folder, system, what, clock()):
            yield
    except Exception as error:
        kind, key = _classified(error, what)
        _reported(alerts, folder, Incident(0, system, kind, key, _sentence(error), clock(), clock(), None, 1))
        raise
    else:
        with _minding(folder):
            _recovered(folder, system, what, clock())
    finally:
        tell(alerts, folder, system, clock())


def opened(one: Incident) -> Alert:
    """What people are told when an incident is opened.

    >>> then = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> print(opened(Incident(7, "used_cars", "promotion", "run", "No.", then, then, None, 1)).title)
    used_cars: promotion failed
    """
    body = f"{_shortened(one.sentence)}\nSince {at(one.opened_at)}. {MEANING[one.kind]}\n{_footer(one)}"
    return Alert(f"{one.system}: {_titles(one)[0]}", body)


def recovered(one: Incident) -> Alert:
    """What people are told when an incident is over."""
    ended = one.closed_at or one.last_at
    span = f"It took {in_words(ended - one.opened_at)}, from {at(one.opened_at)} to {at(ended)}"
    reports = f"{one.count:,} report{'s' * (one.count != 1)}"
    body = f"{span}, with {reports}. It was: {_shortened(one.sentence)}\n{_footer(one)}"
    return Alert(f"{one.system}: recovered: {_titles(one)[1]}", body, recovered=True)


def _titles(one: Incident) -> tuple[str, str]:
    if (one.kind, one.key) == ("collection", RUN):
        return RUN_TITLES
    began, ended = TITLES[one.kind]
    return began.format(key=one.key), ended.format(key=one.key)


def _footer(one: Incident) -> str:
    return f"Incident {one.id}; all of them: python run.py alerts"


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= LONGEST else f"{sentence[:LONGEST]} ..."


def _classified(error: Exception, what: Kind) -> tuple[Kind, str]:
    """Which incident an exception belongs to."""
    if isinstance(error, CollectionError):
        return "collection", "contract"
    if isinstance(error, CheckError):
        return "validation", RUN
    if isinstance(error, (LedgerError, BundleError)):
        return "promotion", RUN
    return what, RUN


def _sentence(error: Exception) -> str:
    if isinstance(error, PerennialError):
        return str(error)
    found = (str(error).splitlines() or ["no message"])[0]
    return (
        f"unexpected {type(error).__name__}: {found}; run the same command with --debug for the stack trace"
    )


@contextmanager
def _minding(folder: Path) -> Iterator[None]:
    """Lets a run go on where the store of incidents is damaged or full, with a line on the terminal."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        logger.warning("incidents in %s cannot be kept: %s", folder, error)


def _recovered(folder: Path, system: str, what: Kind, now: datetime) -> None:
    """Closes every incident that a clean run of `what` proves to be over."""
    proven = ("collection",) if what == "collection" else ("validation", "training", "promotion")
    for one in incident.incidents(folder, system):
        if one.closed_at is None and (one.kind in proven or (one.kind, one.key) == ("died", what)):
            incident.recover(folder, system, one.kind, one.key, now)


def _reported(alerts: Addressed, folder: Path, one: Incident) -> None:
    """Opens an incident; where it cannot be stored, people are told at once, though perhaps not once."""
    try:
        incident.report(folder, one.system, one.kind, one.key, one.sentence, one.opened_at)
    except (OSError, sqlite3.Error) as trouble:
        logger.warning("ALERT %s; incidents in %s cannot be kept: %s", opened(one).title, folder, trouble)
        for problem in send(opened(one), alerts.to):
            logger.warning("alert not sent: %s", problem)


def _tell(alerts: Addressed, folder: Path, system: str, now: datetime, within_s: float) -> list[str]:
    if not (folder / incident.STORE).exists():
        return []
    with _only_teller(folder, within_s + 5.0) as alone:
        if not alone:
            return ["another process is busy telling people; a later run tells what it leaves"]
        messages = incident.due(folder, system, (HERE, *alerts.to), now, RETRY_S)
        for (one, event), group in groupby(messages, key=lambda m: (m.incident, m.event)):
            if HERE in {message.address for message in group}:
                _write_line(folder, _worded(one, event), _facts(one, event, alerts, now))
        outward = [m for m in messages if m.address != HERE]
        problems = post([(_worded(m.incident, m.event), m.address) for m in outward], within_s)
        unsent = [m for m, problem in zip(outward, problems, strict=True) if problem]
        local = [m for m in messages if m.address == HERE and (not alerts.to or unsent)]
        for alert in dict.fromkeys(_worded(m.incident, m.event) for m in (*local, *unsent)):
            logger.warning("ALERT %s: %s", alert.title, alert.body.splitlines()[0])
        incident.tick_off(folder, [m for m in messages if m not in unsent], unsent, now)
        return [problem for problem in problems if problem]


def _worded(one: Incident, event: str) -> Alert:
    return opened(one) if event == "opened" else recovered(one)


def _facts(one: Incident, event: str, alerts: Addressed, now: datetime) -> dict[str, object]:
    facts = {"at": now.astimezone(UTC).isoformat(), "system": one.system, "incident": one.id}
    return {**facts, "kind": one.kind, "key": one.key, "event": event, "to": list(alerts.to)}


def _write_line(folder: Path, alert: Alert, facts: dict[str, object]) -> None:
    """Appends an alert to `alerts.jsonl` durably; a line that an earlier writer left torn stays one line."""
    folder.mkdir(parents=True, exist_ok=True)
    line = json.dumps({**facts, "title": alert.title, "body": alert.body}).encode() + b"\n"
    with (folder / LINES).open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _only_teller(folder: Path, within_s: float) -> Iterator[bool]:
    """Whether this process alone may send now; waits up to `within_s` seconds for another to end."""
    deadline = time.monotonic() + within_s
    with (folder / "telling.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                yield False
                return
            yield True
            return
