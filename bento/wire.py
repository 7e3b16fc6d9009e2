"""The plain HTTP of the service: what every request must keep to, its body, and how an answer is sent."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from bento.asked import Refused

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

MAX_BODY_BYTES = 8 * 2**20
ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class Disconnected(Exception):  # noqa: N818
    """The caller went away before its request was complete."""


def check_route(path: str, method: str, allowed: tuple[str, ...] | None) -> None:
    """Return if a path knows a method; `allowed` is None where the path is unknown. Raises Refused."""
    if allowed is None:
        raise Refused(404, "not_found", f"expected a known path, found {path[:200]!r}; see /docs.json")
    if method not in allowed and not (method == "HEAD" and "GET" in allowed):
        raise Refused(
            405,
            "method_not_allowed",
            f"expected {allowed[0]} for {path}, found {method[:20]}",
            headers=((b"allow", allowed[0].encode()),),
        )


async def check_size_and_kind(headers: Mapping[bytes, bytes], receive: Receive) -> None:
    """Return if a request to any path may be looked at: a body that is not too large, and no pickle."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and len(length) < 20 and int(length) > MAX_BODY_BYTES:
        await read(receive)
    kind = headers.get(b"content-type")
    if kind is not None and b"pickle" in kind.lower():
        raise _unsupported(kind)


def check_is_json(headers: Mapping[bytes, bytes]) -> None:
    """Return if a body is plain JSON by its headers; raises Refused."""
    kind = headers.get(b"content-type", b"application/json")
    if kind != b"application/json" and kind.split(b";")[0].strip().lower() != b"application/json":
        raise _unsupported(kind)
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding != b"identity":
        raise Refused(
            415,
            "unsupported_media_type",
            f"expected an uncompressed body, found Content-Encoding: {encoding[:100].decode('latin-1')}",
        )


def _unsupported(kind: bytes) -> Refused:
    shown = kind.split(b";")[0].strip().lower()[:100].decode("latin-1")
    return Refused(415, "unsupported_media_type", f"expected Content-Type: application/json, found {shown!r}")


async def read(receive: Receive) -> bytes:
    """The whole body; raises Refused where it is too large, after reading on to its end, and Disconnected."""
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


async def send_json(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send one complete answer."""
    start = (
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *headers,
    )
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


def as_json(value: Any) -> bytes:
    """A value as JSON in ASCII, whatever text a caller put into it."""
    return ENCODER.encode(value).encode()
