"""Energy-Charts, Open-Meteo, and the yearly files of the ENTSO-E Transparency Platform."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from aiohttp import web

from demo.load import QUARTER_S, Grid, grid
from demo.state import state_of
from demo.weather import DAY_S, FIRST_YEAR, HOUR_S, START_S, Weather, at_place, forecast_error, weather

BERLIN = ZoneInfo("Europe/Berlin")
LOAD_LAG_S = 3_600
ARCHIVE_LAG_S = 2 * DAY_S
VARIABLES = {
    "temperature_2m": ("temperature_c", "°C"),
    "shortwave_radiation": ("radiation_wm2", "W/m²"),
    "wind_speed_10m": ("wind_kmh", "km/h"),
    "cloud_cover": ("clouds", "%"),
}


def routes() -> list[web.RouteDef]:
    """The paths of the three."""
    return [
        web.get("/public_power", public_power),
        web.get("/v1/forecast", forecast),
        web.get("/v1/archive", archive),
        web.get("/entsoe/{name}.csv", entsoe),
    ]


async def public_power(request: web.Request) -> web.Response:
    """Generation and load in Germany by quarter hours; the newest ones have no values yet."""
    state = state_of(request)
    now, asked = state.now(), request.query
    if asked.get("country", "de") != "de":
        return web.json_response({"detail": "No content available for this country"}, status=404)
    today = now.astimezone(BERLIN).date().isoformat()
    try:
        start = _instant(asked.get("start", today), last=False)
        end = _instant(asked.get("end", asked.get("start", today)), last=True)
    except ValueError:
        return web.json_response({"detail": "Could not read start or end"}, status=422)
    whole = grid(state.world.seed, now.year)
    times = whole.times_s()
    which = np.flatnonzero((times >= start) & (times <= min(end, now.timestamp())))
    if which.size == 0:
        return web.json_response({"detail": "No content available"}, status=404)
    known = times[which] + QUARTER_S + LOAD_LAG_S <= now.timestamp()
    load, solar, wind = (a[which] for a in (whole.load_mw, whole.solar_mw, whole.wind_mw))
    columns = {
        "Wind onshore": wind,
        "Solar": solar,
        "Load": load,
        "Residual load": load - solar - wind,
        "Renewable share of load": 100 * (solar + wind) / load,
    }
    types = [{"name": name, "data": _blank(values, known)} for name, values in columns.items()]
    return web.json_response(
        {"unix_seconds": times[which].tolist(), "production_types": types, "deprecated": False}
    )


async def archive(request: web.Request) -> web.Response:
    """Weather as it was; hours of the last two days are not there yet."""
    state = state_of(request)
    asked, now = request.query, state.now()
    try:
        first, last = date.fromisoformat(asked["start_date"]), date.fromisoformat(asked["end_date"])
    except (KeyError, ValueError):
        return _reason("Parameter 'start_date' and 'end_date' must be set, as YYYY-MM-DD")
    if last > now.date():
        return _reason(
            f"Parameter 'end_date' is out of allowed range from {FIRST_YEAR}-01-01 to {now.date()}"
        )
    if last < first:
        return _reason("End-date must be larger or equals than start-date")
    return _hourly(request, now, first, last, forecast_beyond=None)


async def forecast(request: web.Request) -> web.Response:
    """Weather of the last days as it was, and of the next ones as it looks from here."""
    now, asked = state_of(request).now(), request.query
    try:
        if "start_date" in asked:
            first, last = date.fromisoformat(asked["start_date"]), date.fromisoformat(asked["end_date"])
        else:
            first = now.date() - timedelta(days=int(asked.get("past_days", "0")))
            last = now.date() + timedelta(days=int(asked.get("forecast_days", "7")) - 1)
    except (KeyError, ValueError):
        return _reason("Could not read the dates")
    if last < first or first < now.date() - timedelta(days=92) or last > now.date() + timedelta(days=15):
        return _reason("Parameter 'start_date' or 'end_date' is out of allowed range")
    return _hourly(request, now, first, last, forecast_beyond=now)


async def entsoe(request: web.Request) -> web.Response:
    """A year of load in local time: an empty hour in March, a double one in October, `-` for what is to come."""
    state = state_of(request)
    name = re.fullmatch(r"Total_Load_Day_Ahead_Actual_(\d{4})", request.match_info["name"])
    now = state.now()
    if name is None or not FIRST_YEAR <= int(name[1]) <= now.year:
        raise web.HTTPNotFound(text="No such file")
    whole = grid(state.world.seed, now.year)
    lines = [
        '"Time (CET/CEST)","Day-ahead Total Load Forecast [MW] - BZN|DE-LU","Actual Total Load [MW] - BZN|DE-LU"'
    ]
    lines += entsoe_lines(whole, int(name[1]), now)
    return web.Response(text="\n".join(lines) + "\n", content_type="text/csv", charset="utf-8")


def entsoe_lines(whole: Grid, year: int, now: datetime) -> list[str]:
    """The rows of a year's file, by the clock on the wall.

    The first hour of FIRST_YEAR has no values: what is generated begins at midnight UTC.
    """
    start = datetime(year, 1, 1, tzinfo=BERLIN).astimezone(UTC)
    end = datetime(year + 1, 1, 1, tzinfo=BERLIN).astimezone(UTC)
    lines, offset = [], timedelta(hours=1)
    for step in range(round((end - start).total_seconds()) // QUARTER_S):
        moment = start + timedelta(seconds=step * QUARTER_S)
        here = moment.astimezone(BERLIN).utcoffset() or timedelta()
        if here > offset:
            lines += [_entsoe_line(moment + offset + timedelta(minutes=15 * q), "", "") for q in range(4)]
        offset = here
        i = (round(moment.timestamp()) - START_S) // QUARTER_S
        ahead = f"{whole.day_ahead_mw[i]:.0f}" if i >= 0 and moment - timedelta(days=1) < now else "-"
        actual = (
            f"{whole.load_mw[i]:.0f}" if i >= 0 and moment.timestamp() + LOAD_LAG_S < now.timestamp() else "-"
        )
        lines.append(_entsoe_line(moment + offset, ahead, actual))
    return lines


def _entsoe_line(local: datetime, ahead: str, actual: str) -> str:
    after = local + timedelta(minutes=15)
    return f'"{local:%d.%m.%Y %H:%M} - {after:%d.%m.%Y %H:%M}","{ahead}","{actual}"'


def _hourly(
    request: web.Request, now: datetime, first: date, last: date, forecast_beyond: datetime | None
) -> web.Response:
    asked, seed = request.query, state_of(request).world.seed
    names = [name for name in asked.get("hourly", "").split(",") if name]
    if unknown := [name for name in names if name not in VARIABLES]:
        return _reason(
            f"Data corrupted at path ''. Cannot initialize variable from invalid String value {unknown[0]}."
        )
    try:
        latitude, longitude = float(asked["latitude"]), float(asked["longitude"])
        zone = ZoneInfo(asked.get("timezone", "GMT"))
    except (KeyError, ValueError, OSError):
        return _reason("Parameter 'latitude', 'longitude' or 'timezone' is missing or invalid")
    start = datetime(first.year, first.month, first.day, tzinfo=zone).timestamp()
    end = datetime(last.year, last.month, last.day, tzinfo=zone).timestamp() + DAY_S
    sky = at_place(seed, weather(seed, now.year), latitude, longitude)
    times = np.arange(max(start, START_S), min(end, sky.times_s()[-1] + HOUR_S), HOUR_S).astype(int)
    offset = round((datetime.fromtimestamp(start, zone).utcoffset() or timedelta()).total_seconds())
    columns = _columns(seed, sky, times, names, now, forecast_beyond)
    unix = asked.get("timeformat") == "unixtime"
    written = times.tolist() if unix else [_local(t + offset) for t in times.tolist()]
    return web.json_response(
        {
            "latitude": latitude,
            "longitude": longitude,
            "generationtime_ms": 0.2,
            "utc_offset_seconds": offset,
            "timezone": str(zone),
            "timezone_abbreviation": datetime.fromtimestamp(start, zone).tzname(),
            "elevation": 120.0,
            "hourly_units": {
                "time": "unixtime" if unix else "iso8601",
                **{n: VARIABLES[n][1] for n in names},
            },
            "hourly": {"time": written, **columns},
        }
    )


def _columns(
    seed: int,
    sky: Weather,
    times: np.ndarray,
    names: list[str],
    now: datetime,
    forecast_beyond: datetime | None,
) -> dict[str, list[float | None]]:
    at = (times - START_S) // HOUR_S
    known = times <= now.timestamp() - ARCHIVE_LAG_S
    wrong = np.zeros(times.size)
    if forecast_beyond is not None:
        known = np.ones(times.size, bool)
        wrong = forecast_error(seed, now, (times - int(now.timestamp())) // HOUR_S)
    columns = {}
    for name in names:
        values = getattr(sky, VARIABLES[name][0])[at]
        if name == "temperature_2m":
            values = values + 1.8 * wrong
        elif name == "cloud_cover":
            values = np.clip(100 * (values + 0.15 * wrong), 0, 100)
        else:
            values = values * np.exp(0.2 * wrong)
        columns[name] = _blank(values, known)
    return columns


def _blank(values: np.ndarray, known: np.ndarray) -> list[float | None]:
    return [v if k else None for v, k in zip(values.round(1).tolist(), known.tolist(), strict=True)]


def _reason(text: str) -> web.Response:
    return web.json_response({"error": True, "reason": text}, status=400)


def _local(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M}"


def _instant(text: str, last: bool) -> float:
    """Seconds since 1970 from a date (Berlin, its first or last second), an ISO time or seconds."""
    if re.fullmatch(r"\d{9,}", text):
        return float(text)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        day = date.fromisoformat(text) + timedelta(days=int(last))
        return datetime(day.year, day.month, day.day, tzinfo=BERLIN).timestamp() - int(last)
    moment = datetime.fromisoformat(text.replace(" ", "+"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=BERLIN)).timestamp()
