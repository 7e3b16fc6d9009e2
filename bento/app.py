"""The ASGI application that answers predictions; what is BentoML's own it hands on to BentoML."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cached_property
from time import perf_counter
from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter

from bento import asked, openapi
from bento.asked import Refused
from bento.metrics import Metrics
from bento.state import NotReady, Ready, facts
from perennial.errors import TableError
from perennial.live.predict import as_json_rows

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]
Inner = Callable[[Scope, Receive, Send], Awaitable[None]]
Answer = tuple[int, bytes, Headers]

MAX_BODY_BYTES = 8 * 2**20
INLINE_BODY_BYTES = 32 * 2**10
BENTOML_PATHS = frozenset(("/livez", "/healthz", "/metrics", "/schema.json"))
OWN_METHODS = {
    "/predict": ("POST",),
    "/model": ("GET",),
    "/readyz": ("GET",),
    "/docs.json": ("GET",),
    "/": ("GET",),
}
UNKNOWN = "other"
ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)

logger = logging.getLogger("bento.service")


class Disconnected(Exception):  # noqa: N818
    """The caller went away before its request was complete."""


class App:
    """One worker's application: `inner` is BentoML's, `state` what this process answers with."""

    def __init__(self, inner: Inner, state: Callable[[], Ready | NotReady]) -> None:
        self._inner = inner
        self._current = state
        self._one_at_a_time = CapacityLimiter(1)

    @cached_property
    def state(self) -> Ready | NotReady:
        """What this process answers with, once BentoML has started it."""
        return self._current()

    @cached_property
    def metrics(self) -> Metrics:
        """This worker's counters."""
        made = Metrics()
        if isinstance(self.state, Ready):
            manifest = self.state.bundle.manifest
            made.serves(manifest.system, manifest.version, True)
        else:
            made.serves("", "", False)
        return made

    @cached_property
    def headers(self) -> Headers:
        """The headers that name the model; none where nothing answers."""
        if isinstance(self.state, NotReady):
            return ()
        manifest = self.state.bundle.manifest
        return ((b"x-model-name", manifest.system.encode()), (b"x-model-version", manifest.version.encode()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's scope."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        path = scope["path"]
        if path in BENTOML_PATHS and scope["method"] in ("GET", "HEAD"):
            self.metrics  # noqa: B018 - the gauge of readiness must be on the first page
            await self._inner(scope, receive, send)
            return
        started = perf_counter()
        try:
            status, body, headers = await self._answer(scope, receive)
        except Refused as refused:
            status, body, headers = refused.status, _json(refused.body), refused.headers
        except Disconnected:
            return
        except Exception:
            logger.exception("a request to %s failed", path)
            message = "the service failed to answer; the cause is in its log"
            status, body, headers = 500, _json(Refused(500, "internal", message).body), ()
        self.metrics.request(path if path in OWN_METHODS else UNKNOWN, status, perf_counter() - started)
        await _send(send, status, body, (*self.headers, *headers))

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path, method = scope["path"], scope["method"]
        allowed = OWN_METHODS.get(path) or (("GET",) if path in BENTOML_PATHS else None)
        if allowed is None:
            raise Refused(404, "not_found", f"expected a known path, found {path[:200]!r}; see /docs.json")
        if method not in allowed and not (method == "HEAD" and "GET" in allowed):
            raise Refused(
                405,
                "method_not_allowed",
                f"expected {allowed[0]} for {path}, found {method[:20]}",
                headers=((b"allow", allowed[0].encode()),),
            )
        if path == "/predict":
            return await self._predict(scope, receive)
        if path == "/readyz":
            return 200, _json({"ready": True, **self._names(self._ready())}), ()
        if path == "/model":
            return 200, self._facts, ()
        if path == "/docs.json":
            return 200, self._document, ()
        return 200, _json({"paths": sorted((*OWN_METHODS, *BENTOML_PATHS)), "document": "/docs.json"}), ()

    def _ready(self) -> Ready:
        if isinstance(self.state, NotReady):
            raise Refused(503, "not_ready", self.state.reason)
        return self.state

    def _names(self, ready: Ready) -> dict[str, str]:
        manifest = ready.bundle.manifest
        return {"model": manifest.system, "version": manifest.version}

    @cached_property
    def _facts(self) -> bytes:
        return _json(facts(self._ready()))

    @cached_property
    def _document(self) -> bytes:
        return _json(openapi.document(self.state if isinstance(self.state, Ready) else None))

    async def _predict(self, scope: Scope, receive: Receive) -> Answer:
        headers = dict(reversed(scope["headers"]))
        ready = self._ready()
        caller_id = asked.header_id(headers.get(b"x-prediction-id"))
        try:
            _check_headers(headers)
            body = await _read(receive)
            if len(body) <= INLINE_BODY_BYTES:
                return self._predict_body(ready, body, caller_id)
            return await anyio.to_thread.run_sync(
                self._predict_body, ready, body, caller_id, limiter=self._one_at_a_time
            )
        except Refused as refused:
            if caller_id is not None:
                refused.headers += ((b"x-prediction-id", caller_id.encode()),)
            raise

    def _predict_body(self, ready: Ready, body: bytes, caller_id: str | None) -> Answer:
        wanted = asked.read(body, caller_id, ready.max_rows)
        try:
            answered = ready.predictor.answer_rows(wanted.rows, ready.max_rows)
        except TableError as error:
            raise asked.from_table(error) from None
        predictions = as_json_rows(answered)
        for prediction, row_id in zip(predictions, wanted.row_ids, strict=True):
            del prediction["model_version"]
            prediction["prediction_id"] = row_id
        answer = _json(
            {**self._names(ready), "prediction_id": wanted.prediction_id, "predictions": predictions}
        )
        self.metrics.rows(len(predictions))
        return 200, answer, ((b"x-prediction-id", wanted.prediction_id.encode()),)


def _check_headers(headers: dict[bytes, bytes]) -> None:
    kind = headers.get(b"content-type", b"application/json").split(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Refused(
            415,
            "unsupported_media_type",
            f"expected Content-Type: application/json, found {kind[:100].decode('latin-1')!r}",
        )
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding != b"identity":
        raise Refused(
            415,
            "unsupported_media_type",
            f"expected an uncompressed body, found Content-Encoding: {encoding[:100].decode('latin-1')}",
        )


async def _read(receive: Receive) -> bytes:
    """The whole body; raises Refused where it is too large, after reading on to its end."""
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size <= MAX_BODY_BYTES:
            parts.append(part)
        elif size > 8 * MAX_BODY_BYTES:
            break
        more = message.get("more_body", False)
    if size > MAX_BODY_BYTES:
        raise Refused(
            413,
            "too_large",
            f"expected a body of at most {MAX_BODY_BYTES:,} bytes, found more; send the rows in parts",
            headers=((b"connection", b"close"),),
        )
    return b"".join(parts)


async def _send(send: Send, status: int, body: bytes, headers: Headers) -> None:
    start = (
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *headers,
    )
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


def _json(value: Any) -> bytes:
    return ENCODER.encode(value).encode()
