"""Who answers a request while two models are on trial: by the caller's unit, the same one every time."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bento import asked
from bento.answering import Answering, Exchange
from bento.asked import Refused
from bento.forecast import ladder
from bento.shadow import Shadow
from bento.wire import Headers
from perennial.live.trial.book import CHALLENGER, CHAMPION, SHADOW, Trial

if TYPE_CHECKING:
    from bento.metrics import Metrics
    from bento.watch import Standing

logger = logging.getLogger("bento.service")

ARM_HEADERS: dict[str, Headers] = {arm: ((b"x-arm", arm.encode()),) for arm in (CHAMPION, CHALLENGER)}

Answer = Callable[[Answering], Awaitable[Exchange]]
Forecast = Callable[[Answering | None, bool], Awaitable[Exchange]]
"""The forecast of the champion beside a challenger, or, where that leads, of the challenger above the champion."""


def unit_of(headers: dict[bytes, bytes]) -> str:
    """Whom a request is for, from its header; "" where nobody says so. Raises Refused."""
    return asked.header_id(headers.get(b"x-unit-id"), "X-Unit-Id") or ""


def trial_told(standing: Standing) -> dict[str, Any]:
    """What `/readyz` says of a trial, and whether its challenger answers; nothing where none runs."""
    trial = standing.trial
    if trial is None:
        return {}
    told = {"name": trial.name, "mode": trial.mode, "challenger": trial.challenger, "share": trial.share}
    answers = standing.challenger is not None
    return {"trial": {**told, "answers": answers, "trouble": standing.trial_trouble}}


class Router:
    """One worker's way through a trial; belongs to the event loop, but for `stop`.

    Args:
        keep: is given what the shadow answered with the seconds that it took, in the shadow's thread.
        metrics: counts.
    """

    def __init__(self, keep: Callable[[Exchange, float], None], metrics: Metrics) -> None:
        self._keep, self._metrics = keep, metrics
        self._shadow: Shadow | None = None

    async def answer(
        self, champion: Answering, challenger: Answering, trial: Trial, unit: str, answer: Answer
    ) -> Exchange:
        """The exchange of the arm that a unit is in.

        In a split a request without a unit is the champion's, and no part of the trial; in shadow it is a unit of its
        own. Where the challenger fails the champion answers: the unit is journalled in an arm that it is not in, and
        the report counts that. Raises Refused.
        """
        if trial.mode == "shadow":
            exchange = await answer(champion)
            exchange = replace(exchange, unit=unit or exchange.prediction_id)
        elif unit and trial.tries(unit):
            exchange = await self._by_challenger(champion, challenger, unit, answer)
        else:
            exchange = replace(await answer(champion), unit=unit)
        self._metrics.arm(exchange.answering.names["model"], exchange.arm)
        return exchange

    async def forecast(self, challenger: Answering, trial: Trial, unit: str, answer: Forecast) -> Exchange:
        """The forecast of the arm that a unit is in; in shadow one without a unit is of the day of its origin.

        In a split the ladder of a challenger's unit stands on that of the champion. Where the champion's model
        answers what the challenger could not, the challenger failed; where neither could, the history was at fault,
        and the unit stays in its arm. Raises Refused.
        """
        leads = trial.mode == "split" and bool(unit) and trial.tries(unit)
        exchange = await answer(challenger if leads or trial.mode == "shadow" else None, leads)
        if trial.mode == "shadow":
            exchange = replace(exchange, unit=unit or exchange.own_unit)
        elif leads and exchange.quality == ladder.CHAMPION:
            self._metrics.challenger_failed()
            exchange = replace(exchange, unit=unit)
        else:
            exchange = replace(exchange, arm=CHALLENGER if leads else CHAMPION, unit=unit)
        self._metrics.arm(exchange.answering.names["model"], exchange.arm)
        return exchange

    def sent(self, exchange: Exchange, challenger: Answering, trial: Trial) -> None:
        """Has the shadow answer, too, what was answered just now; but for what is no part of the trial."""
        if trial.mode != "shadow" or not exchange.unit or not trial.tries(exchange.unit):
            return
        if self._shadow is None:
            self._shadow = Shadow(self._kept, self._metrics.challenger_failed)
        if not self._shadow.offer(exchange, challenger):
            self._metrics.shadow_dropped()

    def stop(self) -> None:
        """Ends the shadow's thread; blocks for a moment."""
        if self._shadow is not None:
            self._shadow.stop()

    def _kept(self, exchange: Exchange, seconds: float) -> None:
        self._metrics.arm(exchange.answering.names["model"], SHADOW)
        self._keep(exchange, seconds)

    async def _by_challenger(
        self, champion: Answering, challenger: Answering, unit: str, answer: Answer
    ) -> Exchange:
        try:
            return replace(await answer(challenger), arm=CHALLENGER, unit=unit)
        except Refused:
            raise
        except Exception:
            self._metrics.challenger_failed()
            logger.exception("the challenger %s failed; the champion answers", challenger.names["version"])
            return replace(await answer(champion), unit=unit)
