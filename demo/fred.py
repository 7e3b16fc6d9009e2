"""The graph files of FRED: one dated value a line."""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from aiohttp import web

from demo.state import state_of
from demo.world import stream

FIRST_DAY = date(2010, 1, 4)


class Series(NamedTuple):
    """A mean-reverting series (Vasicek 1977) on weekdays, how late it is told, and how a missing value is written."""

    mean: float
    pull: float
    step: float
    lag_days: int
    missing: str


SERIES = {
    "DGS10": Series(3.1, 0.004, 0.055, 1, "."),
    "DCOILBRENTEU": Series(78.0, 0.006, 1.5, 6, ""),
}


def routes() -> list[web.RouteDef]:
    """The path of the graph files."""
    return [web.get("/graph/fredgraph.csv", graph)]


async def graph(request: web.Request) -> web.Response:
    """One series between `cosd` and `coed`; holidays have no value."""
    state, name = state_of(request), request.query.get("id", "")
    if name not in SERIES:
        raise web.HTTPNotFound(text="<html><body>404</body></html>", content_type="text/html")
    now = state.now()
    try:
        start = date.fromisoformat(request.query.get("cosd", FIRST_DAY.isoformat()))
        end = date.fromisoformat(request.query.get("coed", now.date().isoformat()))
    except ValueError:
        raise web.HTTPBadRequest(text="Bad Request") from None
    series, last = SERIES[name], now.date() - timedelta(days=SERIES[name].lag_days)
    lines = [f"observation_date,{name}"]
    for day, value in values(state.world.seed, name, now.year):
        if start <= day <= min(end, last):
            lines.append(f"{day},{series.missing if _closed(day) else f'{value:.2f}'}")
    return web.Response(
        text="\n".join(lines) + "\n",
        content_type="application/csv",
        headers={
            "Last-Modified": datetime(now.year, now.month, now.day, tzinfo=UTC).strftime(
                "%a, %d %b %Y 00:00:00 GMT"
            )
        },
    )


@functools.lru_cache(maxsize=8)
def values(seed: int, name: str, last_year: int) -> tuple[tuple[date, float], ...]:
    """Every weekday up to the end of a year; earlier days do not depend on that year."""
    series = SERIES[name]
    span = (date(last_year + 1, 1, 1) - FIRST_DAY).days
    days = [day for n in range(span) if (day := FIRST_DAY + timedelta(days=n)).weekday() < 5]
    value, out = series.mean, []
    for day, shock in zip(days, stream(seed, name).normal(0, 1, len(days)), strict=True):
        value = max(value + series.pull * (series.mean - value) + series.step * float(shock), 0.3)
        out.append((day, value))
    return tuple(out)


def _closed(day: date) -> bool:
    """New Year, Independence Day, Thanksgiving and Christmas."""
    thanksgiving = day.month == 11 and day.weekday() == 3 and 22 <= day.day <= 28
    return thanksgiving or (day.month, day.day) in ((1, 1), (7, 4), (12, 25))
