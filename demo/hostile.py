"""Answers that mean harm, or that nobody can read."""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import web

from demo.faults import truncate

MEGABYTE = bytes(1_000_000)
BROKEN_HTML = (
    b"<html><body><div id=resultats><a href='/occasions/renault/clio-1.html'><span class=nom>RENAULT CLIO"
    b"<span class='prix'>9 990 \x00&euro;</a><a href=\"/occasions/x/y-2.html><b><i></b></i><table><tr><a>"
    + b"<div>" * 5_000
    + b"<span class=prix>&#x110000;&nosuch;</span><!-- never closed <script> if (a < b && c > d"
)
ENTITIES = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(
        b'<!ENTITY %c "%s">' % (letter, (b"&%c;" % (letter - 1)) * 10) for letter in range(ord("b"), ord("k"))
    )
    + b'<!ENTITY file SYSTEM "file:///etc/hostname">]><x>&j;&file;</x>'
)
FIXED: dict[str, tuple[bytes, str]] = {
    "encoding": (
        b"<html><body><p>caf\xe9 \xff\xfe\xc3(</p></body></html>",
        "text/html; charset=utf-8",
    ),
    "unknown-encoding": ("<p>Straße</p>".encode(), "text/html; charset=no-such-encoding"),
    "html": (BROKEN_HTML, "text/html; charset=utf-8"),
    "entities": (ENTITIES, "application/xml"),
    "json": (b'{"data": [{"value": "12", "timestamp": 1517443200}, {"value": }, NaN', "application/json"),
    "html-as-json": (b"<html><body><h1>Please sign in</h1></body></html>", "application/json"),
    "empty": (b"", "text/html; charset=utf-8"),
}
REDIRECTS = {
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "file": "file:///etc/passwd",
    "loop": "/hostile/loop-back",
    "loop-back": "/hostile/loop",
}


async def bomb(request: web.Request) -> web.StreamResponse:
    """A gzip body of `?mb=` (300) megabytes of zeros in a thousandth of that."""
    answer = web.StreamResponse(headers={"Content-Type": "text/html", "Content-Encoding": "gzip"})
    await answer.prepare(request)
    squeeze = zlib.compressobj(level=9, wbits=31)
    for _ in range(int(request.query.get("mb", "300"))):
        await answer.write(squeeze.compress(MEGABYTE))
    await answer.write(squeeze.flush())
    return answer


async def endless(request: web.Request) -> web.StreamResponse:
    """A body that goes on until the client has had enough."""
    return await _pour(request, b"<p>and so on</p>" * 4_096, pause_s=0.001)


async def drip(request: web.Request) -> web.StreamResponse:
    """A body of one byte at a time."""
    return await _pour(request, b".", pause_s=0.05)


async def silent(request: web.Request) -> web.Response:
    """Nothing at all, for an hour."""
    await asyncio.sleep(3_600)
    return web.Response()


async def half(request: web.Request) -> web.StreamResponse:
    """Half of what was announced."""
    return await truncate(request, b"<p>line</p>\n" * 1_000, "text/html; charset=utf-8")


async def patience(request: web.Request) -> web.Response:
    """A host that asks to be left alone for three years."""
    return web.Response(status=429, headers={"Retry-After": "99999999"})


async def fixed(request: web.Request) -> web.Response:
    """One of the bodies that are broken in themselves, or a redirect to where nobody should go."""
    name = request.match_info["name"]
    if name in REDIRECTS:
        return web.Response(status=302, headers={"Location": REDIRECTS[name]})
    if name not in FIXED:
        raise web.HTTPNotFound(text="one of: " + ", ".join(sorted({*FIXED, *REDIRECTS, *STREAMS})))
    body, content_type = FIXED[name]
    return web.Response(body=body, headers={"Content-Type": content_type})


STREAMS = {
    "bomb": bomb,
    "endless": endless,
    "drip": drip,
    "silent": silent,
    "half": half,
    "patience": patience,
}


def routes() -> list[web.RouteDef]:
    """Everything under /hostile/."""
    return [
        *(web.get(f"/hostile/{name}", handler) for name, handler in STREAMS.items()),
        web.get("/hostile/{name}", fixed),
    ]


async def _pour(request: web.Request, piece: bytes, pause_s: float) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/html; charset=utf-8"})
    await answer.prepare(request)
    while True:
        await answer.write(piece)
        await asyncio.sleep(pause_s)
