"""Tells people once when the journal cannot be written, and once when it can again; no answer waits for it."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

from bento.prune import number
from perennial.config_section import is_reference
from perennial.errors import InputError
from perennial.live import alert, incident
from perennial.live.incident import Incident, Kind

logger = logging.getLogger("bento.service")

ALERTS, AFTER_S = "PERENNIAL_ALERTS", "PERENNIAL_JOURNAL_ALERT_AFTER_S"
KIND: Kind = "journal"
KEY = alert.RUN
ENDING_S = 1.0
LONGER = 6
"""Recovery is told after so many times `after_s` without trouble, so that a flapping disk is told of once."""


@dataclass(frozen=True)
class People:
    """Who is told.

    Attributes:
        to: references such as `env:PERENNIAL_SLACK` to addresses in Apprise's form.
        after_s: how long the trouble lasts before.
    """

    to: tuple[str, ...] = ()
    after_s: float = 10.0


def people(environment: Mapping[str, str]) -> People:
    """Who PERENNIAL_ALERTS and PERENNIAL_JOURNAL_ALERT_AFTER_S name; raises InputError."""
    names = [name.strip() for name in environment.get(ALERTS, "").split(",") if name.strip()]
    try:
        to = tuple(map(is_reference, names))
    except ValueError as error:
        raise InputError(f"{ALERTS}: {error}") from error
    return People(to, number(environment, AFTER_S, People.after_s, least=0.01))


class Alarm:
    """One worker's watch over its journal.

    Workers share the store of incidents in `folder`, so that one of them tells. Where that store cannot be written
    either, as on a full disk, the worker that holds the folder's lock tells.

    Args:
        trouble: whose journal it is and why it cannot be written, "" for no trouble; None while that is not known.
        people: who is told.
        folder: where incidents are kept.
        clock: the time, UTC.
        ticks: seconds that only grow.
    """

    def __init__(
        self,
        trouble: Callable[[], tuple[str, str] | None],
        people: People,
        folder: Path,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        ticks: Callable[[], float] = monotonic,
    ) -> None:
        self._trouble, self._people, self._folder = trouble, people, folder
        self._clock, self._ticks = clock, ticks
        self._since: tuple[bool, float] | None = None
        self._next = 0.0
        self._told: Incident | None = None
        self._lock: int | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="journal alarm", daemon=True)

    def start(self) -> None:
        """Look again and again from now on, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a message that takes longer than `ENDING_S` is sent by whoever looks next."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(ENDING_S)

    def look(self) -> None:
        """Tell of trouble that has lasted, or that it has been over for long enough."""
        found = self._trouble()
        if found is None:
            return
        (system, reason), now = found, self._ticks()
        is_down = bool(reason)
        if self._since is None or self._since[0] != is_down:
            self._since, self._next = (is_down, now), 0.0
        patience = self._people.after_s * (1 if is_down else LONGER)
        if now < max(self._since[1] + patience, self._next):
            return
        self._next = now + patience
        if is_down:
            self._report(system, reason)
        else:
            self._recover(system, patience)

    def _follow(self) -> None:
        while not self._over.wait(min(1.0, self._people.after_s / 2)):
            self.look()

    def _report(self, system: str, reason: str) -> None:
        if self._told is not None:
            return
        now = self._clock()
        try:
            opened = incident.report(self._folder, system, KIND, KEY, reason, now)
        except (OSError, sqlite3.Error) as error:
            logger.warning("incidents in %s cannot be kept: %s", self._folder, error)
            if self._alone():
                self._told = Incident(0, system, KIND, KEY, reason, now, now, None, 1)
                self._send(alert.opened(self._told))
            return
        if opened is not None:
            logger.warning("incident %d: %s", opened.id, alert.opened(opened).title)
        alert.tell(self._people, self._folder, system, now)

    def _recover(self, system: str, quiet_s: float) -> None:
        now = self._clock()
        if self._told is not None:
            over = self._told
            self._told = None
            self._leave()
            self._send(alert.recovered(replace(over, closed_at=now)))
        try:
            quiet = now - timedelta(seconds=quiet_s)
            found = [i for i in incident.incidents(self._folder, system) if i.kind == KIND]
            if any(i.closed_at is None and i.last_at <= quiet for i in found):
                incident.recover(self._folder, system, KIND, KEY, now)
        except (OSError, sqlite3.Error) as error:
            logger.warning("incidents in %s cannot be kept: %s", self._folder, error)
        if (self._folder / incident.STORE).exists():
            alert.tell(self._people, self._folder, system, now)

    def _send(self, message: alert.Alert) -> None:
        logger.warning("ALERT %s: %s", message.title, message.body.splitlines()[0])
        for problem in alert.send(message, self._people.to):
            logger.warning("alert not sent: %s", problem)

    def _alone(self) -> bool:
        """Whether this worker holds the folder itself, which takes no room on its disk; True where there is none."""
        try:
            if self._lock is None:
                self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            logger.warning("%s cannot be locked, so that every worker tells: %s", self._folder, error)
        return True

    def _leave(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None
