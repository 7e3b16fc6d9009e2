"""What a device answers on its loopback address: predictions, forecasts, readiness, metrics."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

from aiohttp import web

from bento import asked
from bento.asked import Refused
from bento.edge import metrics
from bento.edge.desk import Desk

logger = logging.getLogger("bento.edge")

MAX_BODY_BYTES = 8 * 2**20
PATHS = "POST /predict, /forecast or /observe, or GET /readyz, /livez or /metrics"
COUNTED = ("/predict", "/forecast")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Front:
    """The routes of one agent. Models and the queue are worked by one thread, beside the event loop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._worker = ThreadPoolExecutor(1, "model")

    def app(self) -> web.Application:
        """The application, to be run by aiohttp."""
        made = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._told])
        made.add_routes(
            [
                web.post("/predict", self._predict),
                web.post("/forecast", self._forecast),
                web.post("/observe", self._observe),
                web.get("/readyz", self._readyz),
                web.get("/livez", self._livez),
                web.get("/metrics", self._metrics),
            ]
        )
        return made

    @web.middleware
    async def _told(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Counts, and gives every refusal the body that the service's refusals have."""
        started = perf_counter()
        try:
            response = await handler(request)
        except Refused as refused:
            response = _refusal(refused)
        except web.HTTPRequestEntityTooLarge:
            message = (
                f"expected a body of at most {MAX_BODY_BYTES:,} bytes, found more; send the rows in parts"
            )
            response = _refusal(Refused(413, "too_large", message))
        except web.HTTPException as error:
            response = _refusal(_of_http(error, request))
        except Exception:
            logger.exception("a request to %s failed", request.path)
            response = _refusal(
                Refused(500, "internal", "the agent failed to answer; the cause is in its log")
            )
        if request.path in COUNTED:
            self._desk.count(response.status, perf_counter() - started)
        return response

    async def _predict(self, request: web.Request) -> web.Response:
        _check_is_json(request)
        caller_id = _caller_id(request)
        answer, headers = await self._worked(self._desk.answer, await request.read(), caller_id)
        return _json(answer, 200, headers)

    async def _forecast(self, request: web.Request) -> web.Response:
        body = await request.read()
        if body:
            _check_is_json(request)
        answer, headers = await self._worked(self._desk.forecast, body, _caller_id(request))
        return _json(answer, 200, headers)

    async def _observe(self, request: web.Request) -> web.Response:
        _check_is_json(request)
        return _json(await self._worked(self._desk.observe, await request.read()), 200)

    async def _livez(self, _request: web.Request) -> web.Response:
        return _json({"live": True}, 200)

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _json(self._desk.readiness(), 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        counted = await self._worked(self._desk.samples)
        return web.Response(text=metrics.page(counted), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _worked(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """What `work` returns, done by the one thread, to its end even where the caller goes away."""
        return await asyncio.shield(
            asyncio.get_running_loop().run_in_executor(self._worker, work, *arguments)
        )


def _check_is_json(request: web.Request) -> None:
    if request.content_type != "application/json":
        raise Refused(
            415,
            "unsupported_media_type",
            f"expected Content-Type: application/json, found {request.content_type[:100]!r}",
        )


def _caller_id(request: web.Request) -> str | None:
    """The caller's id from the header; raises Refused where it cannot be used."""
    header = request.headers.get("X-Prediction-Id")
    return asked.header_id(header.encode("utf-8", "surrogateescape") if header is not None else None)


def _json(value: Any, status: int, headers: dict[str, str] | None = None) -> web.Response:
    body = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def _of_http(error: web.HTTPException, request: web.Request) -> Refused:
    name = (error.reason or "error").lower().replace(" ", "_")
    allowed = tuple((b"allow", value.encode()) for value in error.headers.getall("Allow", []))
    found = f"{request.method[:20]} {request.path[:100]}"
    return Refused(error.status, name, f"expected {PATHS}, found {found}", headers=allowed)


def _refusal(refused: Refused) -> web.Response:
    return _json(
        refused.body, refused.status, {name.decode(): value.decode() for name, value in refused.headers}
    )
