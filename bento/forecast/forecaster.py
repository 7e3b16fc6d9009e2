"""Answers `/forecast` and `/observe` in one worker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from bento import asked
from bento.answering import Answering, Exchange
from bento.asked import Refused
from bento.forecast import request
from bento.forecast.history import history
from bento.forecast.ladder import CHAMPION, PREVIOUS, StepDown, Stood, first_to_hold
from bento.forecast.plan import Plan
from bento.forecast.rungs import Forecast, by_model, naive_rungs
from bento.received import nothing_kept, unavailable
from perennial.errors import JournalError, PerennialError
from perennial.live import observed
from perennial.live.journal.entry import about
from perennial.live.journal.store import Store
from perennial.live.predict import json_rows

if TYPE_CHECKING:
    import pandas as pd

LATE = timedelta(hours=6)
"""By how much the newest value may be older than it usually is."""

logger = logging.getLogger("bento.service")
_encoder = msgspec.json.Encoder()

Open = Callable[[str], Store]
Previous = Callable[[Answering], Answering | None]


@dataclass(frozen=True)
class Forecaster:
    """Everything that answers forecasts; may be shared between threads.

    Attributes:
        previous: the release that a champion came after, loaded; None where there is none. May raise
            PerennialError.
        store: opens the place where observations are kept, for a system; None where none are.
        late: by how much the newest value of a history may be older than it usually is.
    """

    previous: Previous
    store: Open | None
    late: timedelta = LATE

    def forecast(self, answering: Answering, body: bytes, caller_id: str | None, now: datetime) -> Exchange:
        """The answer to a request for a forecast; raises Refused."""
        plan = _plan(answering)
        wanted = request.wanted(body, plan, now, caller_id)
        stood = self._climb(answering, plan, wanted)
        forecast = stood.answer
        ids = asked.row_ids(None, wanted.prediction_id, len(forecast.times))
        told = zip(forecast.times, json_rows(forecast.answered), ids, strict=True)
        rows = [{"time": time.isoformat(), **row, "prediction_id": row_id} for time, row, row_id in told]
        answer = {
            **forecast.answering.names,
            "prediction_id": wanted.prediction_id,
            "origin": wanted.origin.isoformat(),
            "quality": stood.quality,
            "reason": stood.reason,
            "predictions": rows,
        }
        features = tuple(forecast.inputs[0]) if forecast.inputs else ()
        return Exchange(
            wanted.prediction_id,
            ids,
            features,
            [tuple(row.values()) for row in forecast.inputs],
            [{name: value for name, value in row.items() if name != "time"} for row in rows],
            forecast.answered,
            _encoder.encode(answer),
            forecast.answering,
            quality=stood.quality,
            abouts=tuple(about(time, {}) for time in forecast.times),
        )

    def observe(self, answering: Answering, body: bytes, now: datetime) -> dict[str, Any]:
        """Keeps the rows of a feed, and says what became of them; raises Refused."""
        from bento.forecast.frames import observations

        plan = _plan(answering)
        name, rows, left_out = request.observed(body, plan)
        if self.store is None:
            raise nothing_kept()
        found, unfinished = observations(name, rows, plan.source, now)
        oldest, newest = now - plan.reach, now + plan.reach
        near = [one for one in found if oldest <= one.event_time <= newest]
        try:
            with closing(self.store(answering.names["model"])) as store:
                kept = observed.keep(store, near, oldest)
        except JournalError as error:
            raise unavailable(error) from None
        return {
            "feed": name,
            "new": kept.new,
            "revised": kept.revised,
            "repeated": kept.repeated,
            "unfinished": unfinished,
            "out_of_reach": len(found) - len(near),
            "left_out": left_out[: asked.SHOWN],
        }

    def _climb(self, answering: Answering, plan: Plan, wanted: request.Wanted) -> Stood[Forecast]:
        rows = self._remembered(answering, plan, wanted)

        def own(chosen: Plan) -> pd.DataFrame:
            from bento.forecast.frames import remembered, sent

            if wanted.history is not None:
                return sent(wanted.history, chosen.source, wanted.origin)
            return remembered(rows, chosen.source)

        found = history(own(plan), plan, wanted.origin)

        def before() -> Forecast:
            release = self._before(answering)
            other = None if release is None else _plan(release)
            if release is None or other is None:
                raise StepDown("there is no previous champion")
            past = history(own(other), other, wanted.origin)
            return by_model(release, other, past, wanted.origin, wanted.steps, self.late)

        rungs: list[tuple[str, Callable[[], Forecast]]] = [
            (CHAMPION, lambda: by_model(answering, plan, found, wanted.origin, wanted.steps, self.late)),
            (PREVIOUS, before),
            *naive_rungs(answering, plan, found, wanted.origin, wanted.steps),
        ]
        try:
            return first_to_hold(rungs)
        except StepDown as step:
            raise Refused(
                422, "no_history", f"expected a history to forecast from, found none that will do ({step})"
            ) from None

    def _remembered(
        self, answering: Answering, plan: Plan, wanted: request.Wanted
    ) -> list[observed.Observation]:
        if wanted.history is not None:
            return []
        if self.store is None:
            raise asked.invalid(
                "expected a history in the request, found none, and no observation is kept here"
            )
        try:
            with closing(self.store(answering.names["model"])) as store:
                return observed.kept(store, wanted.origin - plan.reach, wanted.origin)
        except JournalError as error:
            raise unavailable(error) from None

    def _before(self, answering: Answering) -> Answering | None:
        try:
            return self.previous(answering)
        except PerennialError as error:
            logger.warning("the previous champion could not be loaded: %s", error)
            return None


def _plan(answering: Answering) -> Plan:
    """The plan of a release, made once; raises Refused with 404 where its system forecasts nothing."""
    found: Plan | None = answering.plan
    if found is None:
        system = answering.names["model"]
        raise Refused(
            404,
            "not_found",
            f"expected a system that forecasts, found {system}, which does not; see /predict",
        )
    return found
