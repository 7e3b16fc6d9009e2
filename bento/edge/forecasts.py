"""Forecasts on a device: the service's own code over the device's releases and what was observed there."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bento.answering import Answering, Exchange
from bento.edge.agent import Agent
from bento.edge.before import Before
from bento.edge.queue import set_aside
from bento.edge.serving import Serving
from bento.edge.slots import Device
from bento.forecast.forecaster import Forecaster
from bento.state import Ready
from perennial.live.journal.store import open_store
from perennial.live.predict import Predictor

KEPT = 2
"""Releases that are ready to forecast: the one that is asked, and the one before it."""

logger = logging.getLogger("bento.edge")


class Forecasts:
    """Needs the packages of `bento.edge.layer`; belongs to one thread.

    Args:
        agent: knows which release answers.
        device: its slots, and the folder of the observations.
        late: by how much the newest value of a history may be older than it usually is.
    """

    def __init__(self, agent: Agent, device: Device, late: timedelta) -> None:
        self._agent, self._before = agent, Before(agent, device)
        path = device.root / "observations.sqlite"
        self._known: dict[str, Answering] = {}
        set_aside_if_broken(path)
        self._forecaster = Forecaster(self._previous, lambda system: open_store(system, path), late)

    def forecast(self, serving: Serving, body: bytes, caller_id: str | None, now: datetime) -> Exchange:
        """The answer to a request.

        Raises:
            Refused: the request is wrong, or nothing can be forecast from what is known.
            StrictlyFailed: the release is on trial, and its model failed.
            BundleError: the release was made by another version of Perennial.
        """
        asked = replace(self._forecaster, is_strict=serving.on_trial)
        return asked.forecast(self._answering(serving.predictor), body, caller_id, now)

    def observe(self, serving: Serving, body: bytes, now: datetime) -> dict[str, Any]:
        """Keeps the rows of a feed, and says what became of them; raises Refused or BundleError.

        During a trial also what the confirmed release alone looks back on.
        """
        confirmed = self._agent.confirmed if serving.on_trial else None
        other = None if confirmed is None else self._answering(confirmed.predictor)
        return self._forecaster.observe(self._answering(serving.predictor), body, now, other)

    def _answering(self, predictor: Predictor) -> Answering:
        digest = predictor.bundle.digest
        known = self._known.pop(digest, None)
        if known is None or known.ready.predictor is not predictor:
            known = Answering(Ready(predictor, 1))
            known.plan  # noqa: B018  (read now, while its slot still holds it)
        while len(self._known) >= KEPT:
            del self._known[next(iter(self._known))]
        self._known[digest] = known
        return known

    def _previous(self, answering: Answering) -> Answering | None:
        predictor = self._before(answering.ready.bundle.digest)
        return None if predictor is None else self._answering(predictor)


def set_aside_if_broken(path: Path) -> None:
    """Return once the file is whole, or gone: one that is no database any more is kept under another name."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=5.0)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        logger.error("%s cannot be read now: %s", path, error)
        return
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        logger.error("%s is damaged (%s): it is set aside, and observations begin anew", path, found)
        set_aside(path)
