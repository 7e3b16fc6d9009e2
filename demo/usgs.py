"""The event API of the US Geological Survey: `/fdsnws/event/1/query` and `/count`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from aiohttp import web

from demo import events, quakes
from demo.state import state_of

MOST = 20_000
ORDERS = ("time", "time-asc", "magnitude", "magnitude-asc")


async def query(request: web.Request) -> web.Response:
    """The events that match, as CSV or GeoJSON."""
    now = state_of(request).now()
    form = request.query.get("format", "quakeml")
    if form not in ("csv", "geojson"):
        return _refused(request, now, f"Bad format value {form!r}. Valid values are: csv, geojson.")
    try:
        found, limit = _matching(request, now)
    except ValueError as error:
        return _refused(request, now, str(error))
    if limit is None and found.size > MOST:
        return _refused(
            request,
            now,
            f"{found.size} matching events exceeds search limit of {MOST}. Modify the search to match fewer events.",
        )
    offset = int(request.query.get("offset", "1"))
    found = found[offset - 1 : offset - 1 + (limit or MOST)]
    if found.size == 0 and (status := request.query.get("nodata")) in ("204", "404"):
        return web.Response(status=int(status))
    matched = events.at(state_of(request).world.seed, now, found)
    if form == "csv":
        text = "\n".join([events.HEADER, *(events.csv_line(e) for e in matched)]) + "\n"
        return web.Response(text=text, content_type="text/csv", charset="utf-8")
    return web.json_response(_geojson(request, now, list(matched), limit, offset))


async def count(request: web.Request) -> web.Response:
    """How many events match."""
    now = state_of(request).now()
    try:
        found, _ = _matching(request, now)
    except ValueError as error:
        return _refused(request, now, str(error))
    if request.query.get("format") == "geojson":
        return web.json_response({"count": int(found.size), "maxAllowed": MOST})
    return web.Response(text=str(found.size))


def routes() -> list[web.RouteDef]:
    """The paths of the API."""
    return [web.get("/fdsnws/event/1/query", query), web.get("/fdsnws/event/1/count", count)]


def _matching(request: web.Request, now: datetime) -> tuple[np.ndarray, int | None]:
    """Positions in the published catalogue, ordered, and the limit asked for; ValueError for a bad parameter."""
    asked = request.query
    limit = _whole(asked["limit"], "limit", 1, MOST) if "limit" in asked else None
    _whole(asked.get("offset", "1"), "offset", 1, None)
    order = asked.get("orderby", "time")
    if order not in ORDERS:
        raise ValueError(f"Bad orderby value {order!r}. Valid values are: {', '.join(ORDERS)}.")
    known = quakes.published(state_of(request).world.seed, now)
    magnitude, _, updated = events.current(known, now)
    keep = np.ones(magnitude.size, bool)
    keep &= known.time_ms >= _moment(asked.get("starttime"), "starttime", now - timedelta(days=30))
    keep &= known.time_ms <= _moment(asked.get("endtime"), "endtime", now)
    if "updatedafter" in asked:
        keep &= updated > _moment(asked["updatedafter"], "updatedafter", now)
    for name, values, sign in (
        ("minmagnitude", magnitude, 1),
        ("maxmagnitude", magnitude, -1),
        ("minlatitude", known.latitude, 1),
        ("maxlatitude", known.latitude, -1),
        ("minlongitude", known.longitude, 1),
        ("maxlongitude", known.longitude, -1),
    ):
        if name in asked:
            keep &= sign * values >= sign * _number(asked[name], name)
    found = np.flatnonzero(keep)
    if order.startswith("magnitude"):
        found = found[np.argsort(magnitude[found], kind="stable")]
    return found if order.endswith("-asc") else found[::-1], limit


def _geojson(
    request: web.Request, now: datetime, matched: list[events.Event], limit: int | None, offset: int
) -> dict[str, object]:
    metadata: dict[str, object] = {
        "generated": quakes.milliseconds(now),
        "url": f"https://earthquake.usgs.gov{request.path_qs}",
        "title": "USGS Earthquakes",
        "status": 200,
        "api": "1.14.1",
        "count": len(matched),
    }
    if limit is not None:
        metadata |= {"limit": limit, "offset": offset}
    return {
        "type": "FeatureCollection",
        "metadata": metadata,
        "features": [events.feature(e) for e in matched],
    }


def _refused(request: web.Request, now: datetime, why: str) -> web.Response:
    text = (
        f"Error 400: Bad Request\n\n{why}\n\nUsage details are available from "
        f"https://earthquake.usgs.gov/fdsnws/event/1\n\nRequest:\n{request.path_qs}\n\n"
        f"Request Submitted:\n{now.isoformat(timespec='seconds')}\n\nService version:\n1.14.1\n"
    )
    return web.Response(status=400, text=text)


def _moment(text: str | None, name: str, otherwise: datetime) -> int:
    if text is None:
        return quakes.milliseconds(otherwise)
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        raise ValueError(f"Bad {name} value {text!r}. Valid values are ISO-8601 timestamps.") from None
    return quakes.milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"Bad {name} value {text!r}. Valid values are decimal numbers.") from None


def _whole(text: str, name: str, least: int, most: int | None) -> int:
    if not text.isdigit() or int(text) < least or (most is not None and int(text) > most):
        upper = f" and at most {most}" if most is not None else ""
        raise ValueError(f"Bad {name} value {text!r}. Valid values are integers of at least {least}{upper}.")
    return int(text)
