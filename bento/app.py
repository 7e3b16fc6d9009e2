"""The ASGI application that answers predictions; what is BentoML's own it hands on to BentoML."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import cached_property
from time import perf_counter
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from bento import asked, wire
from bento.answering import Answering, Exchange
from bento.asked import Refused
from bento.guard import Guard
from bento.metrics import Metrics, of_this_worker
from bento.pages import BENTOML_PATHS, FORECAST_METHODS, METHODS, OWN_METHODS, page, ready
from bento.received import ROUTES, nothing_kept
from bento.router import ARM_HEADERS, Router, unit_of
from bento.watch import Standing
from bento.wire import Headers, Message, Receive, Scope, Send

Inner = Callable[[Scope, Receive, Send], Awaitable[None]]
Answer = tuple[int, bytes, Headers] | tuple[int, bytes, Headers, Exchange]
"""Status, body and headers; behind them the exchange where another release than the champion may have answered."""
Record = Callable[[Exchange, float], Awaitable[Headers]]
Take = Callable[[str, bytes], dict[str, Any]]
T = TypeVar("T")
Forecasted = Callable[[Answering, bytes, str | None, Answering | None, bool], Exchange]
"""By a release, of a body and its id; beside the challenger of a trial, or with that above the release."""

PATIENCE_S = 30.0
"""How long a forecast, truth or observation may wait for the journal and those before it."""
QUICK_BYTES, CAREFUL_BYTES = 128 * 2**10, 32 * 2**10
"""Bodies up to these sizes are answered, and examined, without a thread of their own."""
UNKNOWN = "other"

OPEN_TO_ALL = Guard({})

logger = logging.getLogger("bento.service")


def _nothing_forecast(
    answering: Answering, body: bytes, caller_id: str | None, tried: Answering | None, leads: bool
) -> Exchange:
    raise Refused(
        404, "not_found", "expected a service that forecasts, found one that does not; see /predict"
    )


def _nothing_kept(path: str, body: bytes) -> dict[str, Any]:
    raise nothing_kept()


class App:
    """One worker's application.

    Args:
        inner: BentoML's own application.
        standing: gives what this process answers with; asked once per request, so that it may change between two.
        started: is called when BentoML has started the worker.
        ended: is called in a thread when the worker ends, after its last answer.
        record: is given every exchange with the seconds that it took, before the answer is sent; the answer waits
            for it and carries the headers that it gives.
        received: takes the path and the body of what callers tell the journal, in a thread.
        guard: who may ask what.
        forecasted: answers the body of a request for a forecast, in a thread.
        shadowed: is given every answer of a shadow with the seconds that it took, in a thread.
    """

    def __init__(
        self,
        inner: Inner,
        standing: Callable[[], Standing],
        started: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
        record: Record | None = None,
        received: Take = _nothing_kept,
        guard: Guard = OPEN_TO_ALL,
        forecasted: Forecasted = _nothing_forecast,
        shadowed: Callable[[Exchange, float], None] = lambda exchange, seconds: None,
    ) -> None:
        self._inner = inner
        self._standing = standing
        self._started = started
        self._ended = ended
        self._record = record
        self._received = received
        self._guard = guard
        self._forecasted = forecasted
        self._shadowed = shadowed
        self._told: Standing | None = None
        # Of each kind one at a time; what waits for the journal must not keep predictions.
        self._predicting, self._forecasting, self._taking = (CapacityLimiter(1) for _ in range(3))

    @cached_property
    def metrics(self) -> Metrics:
        """This worker's counters; made when BentoML has named the folder for them."""
        return of_this_worker()

    @cached_property
    def _router(self) -> Router:
        return Router(self._shadowed, self.metrics)

    def current(self) -> Standing:
        """What answers at this moment."""
        standing = self._standing()
        if standing is not self._told:
            self.metrics.stands(standing)
            self._told = standing
        return standing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's scope."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, self._telling_of_life(send))
            return
        started = perf_counter()
        path, standing = scope["path"], self.current()
        current = standing.state
        try:
            answer = await self._answer(standing, scope, receive, started)
        except Refused as refused:
            answer = refused.status, wire.as_json(refused.body), refused.headers
        except wire.Disconnected:
            return
        except Exception:
            logger.exception("a request to %s failed", path)
            message = "the service failed to answer; the cause is in its log"
            answer = 500, wire.as_json(Refused(500, "internal", message).body), ()
        if answer is None:
            await self._inner(scope, receive, send)
            return
        status, body, more, *chosen = answer
        if chosen:
            current = chosen[0].answering
        known = path if path in OWN_METHODS or path in FORECAST_METHODS else UNKNOWN
        self.metrics.request(known, status, perf_counter() - started, current.names if chosen else None)
        own = current.headers if isinstance(current, Answering) else ()
        await wire.send_json(send, status, body, (*own, *more))
        if chosen and standing.challenger is not None:
            self._router.sent(chosen[0], standing.challenger, standing.trial)

    def _telling_of_life(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.current()
                self._started()
            if message["type"].startswith("lifespan.shutdown"):
                await anyio.to_thread.run_sync(self._router.stop)
                await anyio.to_thread.run_sync(self._ended)
            await send(message)

        return sending

    async def _answer(
        self, standing: Standing, scope: Scope, receive: Receive, started: float
    ) -> Answer | None:
        """The answer to a request; None where it is BentoML's to answer."""
        path, headers = scope["path"], dict(reversed(scope["headers"]))
        self._guard.check(path, headers)
        await wire.check_size_and_kind(headers, receive)
        wire.check_route(path, scope["method"], METHODS.get(path) or FORECAST_METHODS.get(path))
        if path == "/predict":
            return await self._predict(standing, headers, receive, started)
        if path == "/forecast":
            return await self._forecast(standing, headers, receive, started)
        if path in ROUTES or path == "/observe":
            ready(standing.state)
            return 200, wire.as_json(await self._taken(path, headers, receive)), ()
        if path in BENTOML_PATHS:
            return None
        return 200, wire.as_json(page(path, standing)), ()

    async def _predict(
        self, standing: Standing, headers: dict[bytes, bytes], receive: Receive, started: float
    ) -> Answer:
        answering = ready(standing.state)
        is_trial = standing.challenger is not None and answering.plan is None
        caller_id = asked.header_id(headers.get(b"x-prediction-id"))
        try:
            wire.check_is_json(headers)
            body = await wire.read(receive)
            if is_trial:
                exchange = await self._tried(standing, headers, body, caller_id)
            else:
                exchange = await self._exchange(answering, body, caller_id)
        except Refused as refused:
            if caller_id is not None:
                refused.headers += ((b"x-prediction-id", caller_id.encode()),)
            raise
        self.metrics.answered(exchange)
        more: Headers = (_id_header(exchange),)
        if self._record is not None:
            more += await self._record(exchange, perf_counter() - started)
        if is_trial:
            return 200, exchange.body, more + ARM_HEADERS[exchange.arm], exchange
        return 200, exchange.body, more

    async def _tried(
        self, standing: Standing, headers: dict[bytes, bytes], body: bytes, caller_id: str | None
    ) -> Exchange:
        """The answer of one of the two releases that are on trial."""
        return await self._router.answer(
            ready(standing.state),
            standing.challenger,
            standing.trial,
            unit_of(headers),
            lambda answering: self._exchange(answering, body, caller_id),
        )

    async def _forecast(
        self, standing: Standing, headers: dict[bytes, bytes], receive: Receive, started: float
    ) -> Answer:
        answering, challenger = ready(standing.state), standing.challenger
        caller_id = asked.header_id(headers.get(b"x-prediction-id"))
        wire.check_is_json(headers)
        body = await wire.read(receive)

        async def answer(tried: Answering | None = None, leads: bool = False) -> Exchange:
            given = (answering, body, caller_id, tried, leads)
            return await _within(self._forecasting, self._forecasted, *given)

        arm: Headers = ()
        if challenger is None:
            exchange = await answer()
        else:
            exchange = await self._router.forecast(challenger, standing.trial, unit_of(headers), answer)
            arm = ARM_HEADERS[exchange.arm]
        self.metrics.forecast(exchange)
        more: Headers = (_id_header(exchange), *arm)
        if self._record is not None:
            more += await self._record(exchange, perf_counter() - started)
        return 200, exchange.body, more, exchange

    async def _taken(self, path: str, headers: dict[bytes, bytes], receive: Receive) -> dict[str, Any]:
        wire.check_is_json(headers)
        body = await wire.read(receive)
        return await _within(self._taking, self._received, path, body)

    async def _exchange(self, answering: Answering, body: bytes, caller_id: str | None) -> Exchange:
        if len(body) > QUICK_BYTES:
            return await self._in_thread(answering.answer, body, caller_id)
        found = answering.quickly(body, caller_id)
        if found is not None:
            return found
        if len(body) > CAREFUL_BYTES:
            return await self._in_thread(answering.carefully, body, caller_id)
        return answering.carefully(body, caller_id)

    async def _in_thread(self, answer: Callable[..., Exchange], *given: Any) -> Exchange:
        return await anyio.to_thread.run_sync(answer, *given, limiter=self._predicting)


def _id_header(exchange: Exchange) -> tuple[bytes, bytes]:
    """The request's id as a header can hold it: one from a body may have blanks at its ends."""
    return b"x-prediction-id", exchange.prediction_id.strip().encode()


async def _within(limiter: CapacityLimiter, take: Callable[..., T], *given: Any) -> T:
    """What a thread gives that may have to wait for the journal; raises Refused where that takes `PATIENCE_S`."""
    with anyio.move_on_after(PATIENCE_S):
        return await anyio.to_thread.run_sync(take, *given, limiter=limiter, abandon_on_cancel=True)
    raise Refused(
        503, "busy", f"expected an answer within {PATIENCE_S:g} s, found none so far; send it again later"
    )
