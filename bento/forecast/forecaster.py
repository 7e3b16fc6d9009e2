"""Answers `/forecast` and `/observe` in one worker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bento import asked
from bento.answering import Again, Answering, Exchange
from bento.asked import Refused
from bento.forecast import request
from bento.forecast.known import Known
from bento.forecast.ladder import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    ModelFailed,
    StepDown,
    Stood,
    first_to_hold,
    strictly,
)
from bento.forecast.plan import Plan
from bento.forecast.rungs import Forecast, by_model, naive_rungs
from bento.forecast.told import exchange_of
from bento.received import nothing_kept, unavailable
from perennial.errors import JournalError, PerennialError
from perennial.live import observed
from perennial.live.journal.store import Store

LATE = timedelta(hours=6)
"""By how much the newest value may be older than it usually is."""

logger = logging.getLogger("bento.service")

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
        is_strict: whether StrictlyFailed is raised where the asked release's own model fails, and no rung steps in.
    """

    previous: Previous
    store: Open | None
    late: timedelta = LATE
    is_strict: bool = False

    def forecast(
        self,
        answering: Answering,
        body: bytes,
        caller_id: str | None,
        now: datetime,
        tried: Answering | None = None,
        leads: bool = False,
    ) -> Exchange:
        """The answer to a request for a forecast; raises Refused.

        Args:
            answering: the release that answers.
            body: the request.
            caller_id: the id of the request, from its header.
            now: when it is asked.
            tried: the challenger of a trial; the exchange says how it answers the same in shadow.
            leads: whether the challenger answers instead, with the ladder of `answering` below it.
        """
        plan = _plan(answering)
        wanted = request.wanted(body, plan, now, caller_id)
        known = self._known(answering, wanted, _reach(plan, tried))
        exchange = exchange_of(wanted, self._climb(answering, plan, wanted, known, tried if leads else None))
        if tried is None or leads:
            return exchange
        return replace(exchange, again=Again(known.rows, partial(self._again, exchange, wanted, known)))

    def observe(
        self, answering: Answering, body: bytes, now: datetime, tried: Answering | None = None
    ) -> dict[str, Any]:
        """Keeps the rows of a feed, and says what became of them; raises Refused.

        Those that are too old for the release are kept where `tried`, the challenger of a trial, looks back on them.
        """
        from bento.forecast.frames import observations

        plan = _plan(answering)
        name, rows, left_out = request.observed(body, plan)
        if self.store is None:
            raise nothing_kept()
        found, unfinished = observations(name, rows, plan.source, now)
        reach = _reach(plan, tried)
        oldest, newest = now - reach, now + reach
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

    def _climb(
        self,
        answering: Answering,
        plan: Plan,
        wanted: request.Wanted,
        known: Known,
        above: Answering | None = None,
    ) -> Stood[Forecast]:
        found = known.history(plan)

        def before() -> Forecast:
            release = self._before(answering)
            if release is None:
                raise StepDown("there is no previous champion")
            return self._of(release, wanted, known)

        def own_model() -> Forecast:
            return by_model(answering, plan, found, wanted.origin, wanted.steps, self.late)

        rungs: list[tuple[str, Callable[[], Forecast]]] = [
            (CHAMPION, strictly(own_model) if self.is_strict else own_model),
            (PREVIOUS, before),
            *naive_rungs(answering, plan, found, wanted.origin, wanted.steps),
        ]
        if above is not None:
            rungs.insert(0, (CHALLENGER, lambda: self._of_challenger(above, wanted, known)))
        try:
            return first_to_hold(rungs)
        except StepDown as step:
            raise Refused(
                422, "no_history", f"expected a history to forecast from, found none that will do ({step})"
            ) from None

    def _again(
        self, champion: Exchange, wanted: request.Wanted, known: Known, challenger: Answering
    ) -> Exchange | None:
        """What a challenger forecasts from what its champion knew; None where that did not do for either model.

        Raises:
            StepDown: the challenger does not answer where the champion's model did, or fails.
        """
        try:
            forecast = self._of_challenger(challenger, wanted, known)
        except ModelFailed:
            raise
        except StepDown:
            if champion.quality == CHAMPION:
                raise
            return None
        exchange = exchange_of(wanted, Stood(CHALLENGER, forecast, ""))
        if exchange.abouts != champion.abouts:
            raise ModelFailed("the challenger forecasts other times than the champion")
        return exchange

    def _of_challenger(self, release: Answering, wanted: request.Wanted, known: Known) -> Forecast:
        """What a challenger forecasts; raises StepDown whatever keeps it from that."""
        try:
            return self._of(release, wanted, known)
        except StepDown:
            raise
        except Exception as error:
            # Whatever its code does to the history, the champion can answer.
            logger.exception("a forecast of the challenger %s failed", release.names["version"])
            raise ModelFailed(
                f"the challenger failed ({type(error).__name__}); see the service's log"
            ) from error

    def _of(self, release: Answering, wanted: request.Wanted, known: Known) -> Forecast:
        """What another release forecasts under its own plan."""
        plan = _plan(release)
        return by_model(release, plan, known.history(plan), wanted.origin, wanted.steps, self.late)

    def _known(self, answering: Answering, wanted: request.Wanted, reach: timedelta) -> Known:
        if wanted.history is not None:
            return Known(wanted.origin, wanted.history)
        if self.store is None:
            raise asked.invalid(
                "expected a history in the request, found none, and no observation is kept here"
            )
        try:
            with closing(self.store(answering.names["model"])) as store:
                return Known(wanted.origin, None, observed.kept(store, wanted.origin - reach, wanted.origin))
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


def _reach(plan: Plan, tried: Answering | None) -> timedelta:
    """How far back records count, for a release and for the challenger that is on trial beside it."""
    other = tried.plan if tried is not None else None
    return plan.reach if other is None else max(plan.reach, other.reach)
