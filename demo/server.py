"""All the sites and APIs as one aiohttp application, with its troubles and its books."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, get_args

from aiohttp import web
from aiohttp.typedefs import Handler

from demo import crypto, dealer, energy, faults, fred, hostile, usgs
from demo.state import STATE, Asked, State, state_of
from demo.world import Layout, Level, World

OWN = ("/_demo/", "/hostile/", "/robots.txt")
CHOICES = {"faults": get_args(Level), "layout": get_args(Layout), "new_layout": get_args(Layout)}


def app(world: World) -> web.Application:
    """The application that serves `world`; its counters are at `/_demo/stats`, its controls at `/_demo/world`."""
    application = web.Application(middlewares=[_keep_books, _trouble, _conditional])
    application[STATE] = State(world)
    application.on_response_prepare.append(_date)
    application.add_routes(
        [
            web.get("/robots.txt", robots),
            web.get("/_demo/stats", stats),
            web.delete("/_demo/stats", forget),
            web.get("/_demo/world", show),
            web.post("/_demo/world", change),
            *dealer.routes(),
            *usgs.routes(),
            *crypto.routes(),
            *energy.routes(),
            *fred.routes(),
            *hostile.routes(),
        ]
    )
    return application


async def robots(request: web.Request) -> web.Response:
    """What crawlers may do."""
    world = state_of(request).world
    if world.robots_status != 200:
        return web.Response(status=world.robots_status, text="")
    lines = ["User-agent: *", *(f"Disallow: {path}" for path in dealer.DISALLOWED)]
    if world.crawl_delay_s:
        lines.append(f"Crawl-delay: {world.crawl_delay_s:g}")
    return web.Response(text="\n".join(lines) + "\n")


async def stats(request: web.Request) -> web.Response:
    """The server's books."""
    return web.json_response(state_of(request).books())


async def forget(request: web.Request) -> web.Response:
    """Empties the books."""
    state_of(request).forget()
    return web.json_response({})


async def show(request: web.Request) -> web.Response:
    """The world as it is."""
    return web.json_response(_as_json(state_of(request).world))


async def change(request: web.Request) -> web.Response:
    """Another world from here on: `{"now": "2024-05-01T00:00:00Z", "faults": "some", ...}`."""
    state = state_of(request)
    try:
        state.world = changed(state.world, await request.json())
    except (ValueError, TypeError, AttributeError) as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    return web.json_response(_as_json(state.world))


def changed(world: World, values: Mapping[str, Any]) -> World:
    """`world` with other values; times are ISO 8601 texts. Raises ValueError for what it does not know."""
    known = {f.name for f in fields(World)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"expected some of {', '.join(sorted(known))}, found {', '.join(unknown)}")
    for name, choices in CHOICES.items():
        if name in values and values[name] not in choices:
            raise ValueError(f"expected {name} to be one of {', '.join(choices)}, found {values[name]}")
    times = {
        name: moment(value)
        for name, value in values.items()
        if name in ("now", "layout_changes_at") and value is not None
    }
    return replace(world, **{**values, **times})


def moment(text: str) -> datetime:
    """A moment in UTC from ISO 8601; without an offset it is UTC already."""
    read = datetime.fromisoformat(text)
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


async def _date(request: web.Request, answer: web.StreamResponse) -> None:
    answer.headers["Date"] = format_datetime(state_of(request).now(), usegmt=True)


@web.middleware
async def _keep_books(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith("/_demo/"):
        return await handler(request)
    state = state_of(request)
    asked = state.arrive(request, _is_forbidden(state.world, request))
    request["asked"] = asked
    try:
        answer = await handler(request)
        asked.statuses[answer.status] += 1
        return answer
    except web.HTTPException as refused:
        asked.statuses[refused.status] += 1
        raise
    finally:
        state.under_way -= 1


@web.middleware
async def _trouble(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith(OWN):
        return await handler(request)
    state, asked = state_of(request), _asked(request)
    state.requests += 1
    kind = faults.fault(state.world.seed, state.world.faults, state.requests)
    if kind is None:
        return await handler(request)
    asked.faults[kind] += 1
    if refused := faults.refusal(kind, state.now()):
        return refused
    if kind == "dropped":
        return faults.drop(request)
    if kind == "slow":
        return await faults.slowly(request, handler)
    answer = await handler(request)
    if answer.status == 200 and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
        return await faults.truncate(request, answer.body, answer.headers["Content-Type"])
    return answer


@web.middleware
async def _conditional(request: web.Request, handler: Handler) -> web.StreamResponse:
    """ETags for everything, 304 for what is known, compression for those who accept it."""
    answer = await handler(request)
    own = request.path.startswith(OWN)
    if (
        own
        or answer.status != 200
        or not isinstance(answer, web.Response)
        or not isinstance(answer.body, bytes)
    ):
        return answer
    tag = '"' + hashlib.blake2b(answer.body, digest_size=12).hexdigest() + '"'
    changed_at = answer.headers.get("Last-Modified")
    headers = {"ETag": tag, **({"Last-Modified": changed_at} if changed_at else {})}
    if _is_known(request, tag, changed_at):
        return web.Response(status=304, headers=headers)
    answer.headers.update(headers)
    answer.enable_compression()
    return answer


def _is_known(request: web.Request, tag: str, changed_at: str | None) -> bool:
    """RFC 9110, 13.1.3: a date counts only where no tag was sent."""
    if (sent := request.headers.get("If-None-Match")) is not None:
        return sent == "*" or tag in [part.strip().removeprefix("W/") for part in sent.split(",")]
    since = request.headers.get("If-Modified-Since")
    if since is None or changed_at is None:
        return False
    return parsedate_to_datetime(changed_at) <= parsedate_to_datetime(since)


def _is_forbidden(world: World, request: web.Request) -> bool:
    """What robots.txt says; where it fails, everything is forbidden (RFC 9309, 2.3.1.4)."""
    if request.path == "/robots.txt":
        return False
    closed = any(request.path_qs.startswith(path) for path in dealer.DISALLOWED)
    return world.robots_status >= 500 or (world.robots_status == 200 and closed)


def _asked(request: web.Request) -> Asked:
    asked: Asked = request["asked"]
    return asked


def _as_json(world: World) -> dict[str, object]:
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(world).items()}
