"""The index of alternative.me, the candles of Binance and the chart of CoinGecko."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from aiohttp import web

from demo.market import DAY_S, FIRST_DAY, FIRST_INDEX, NO_INDEX, Market, class_of, market
from demo.state import state_of

MOST_CANDLES = 1_000
MOST_DAYS = 365
DAY_MS = DAY_S * 1000
SUPPLY = 19_700_000


def routes() -> list[web.RouteDef]:
    """The paths of the three APIs."""
    return [
        web.get("/fng/", index),
        web.get("/api/v3/klines", klines),
        web.get("/api/v3/coins/bitcoin/market_chart", market_chart),
    ]


async def index(request: web.Request) -> web.Response:
    """The Fear & Greed index, newest day first; `limit=0` is everything."""
    now = state_of(request).now()
    text = request.query.get("limit", "1")
    if not text.lstrip("-").isdigit():
        return web.json_response(
            {"name": "Fear and Greed Index", "data": [], "metadata": {"error": "limit must be a number"}},
            status=400,
        )
    whole, days = _market(request), _days(now)
    data = [
        {
            "value": str(value),
            "value_classification": class_of(value),
            "timestamp": str(whole.start_s + day * DAY_S),
        }
        for day in range(days - 1, -1, -1)
        if (when := FIRST_DAY + timedelta(days=day)) >= FIRST_INDEX and when not in NO_INDEX
        for value in (int(whole.index[day]),)
    ]
    data = data[: abs(int(text)) or None]
    tomorrow = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    data[0]["time_until_update"] = str(int((tomorrow - now).total_seconds()))
    return web.json_response({"name": "Fear and Greed Index", "data": data, "metadata": {"error": None}})


async def klines(request: web.Request) -> web.Response:
    """Daily candles, oldest first; the last one is still open."""
    asked = request.query
    if asked.get("symbol") != "BTCUSDT":
        return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
    if asked.get("interval") != "1d":
        return web.json_response({"code": -1120, "msg": "Invalid interval."}, status=400)
    try:
        limit = min(int(asked.get("limit", "500")), MOST_CANDLES)
        start, end = (int(asked[name]) if name in asked else None for name in ("startTime", "endTime"))
    except ValueError:
        return web.json_response(
            {"code": -1100, "msg": "Illegal characters found in a parameter."}, status=400
        )
    if limit < 1:
        return web.json_response(
            {"code": -1130, "msg": "Data sent for parameter 'limit' is not valid."}, status=400
        )
    now = state_of(request).now()
    whole = _market(request)
    opens = whole.start_s * 1000 + np.arange(_days(now)) * DAY_MS
    keep = np.ones(opens.size, bool)
    if start is not None:
        keep &= opens >= start
    if end is not None:
        keep &= opens <= end
    days = np.flatnonzero(keep)
    days = days[:limit] if start is not None else days[-limit:]
    return web.json_response(
        [_candle(whole, int(day), now) for day in days], headers={"x-mbx-used-weight-1m": "2"}
    )


async def market_chart(request: web.Request) -> web.Response:
    """Prices, capitalisation and volume: hourly up to 90 days, daily beyond, the last point at this moment."""
    now = state_of(request).now()
    if request.query.get("vs_currency") != "usd":
        return web.json_response({"error": "invalid vs_currency"}, status=400)
    text = request.query.get("days", "")
    if not text.isdigit() or int(text) > MOST_DAYS:
        message = (
            "Your request exceeds the allowed time range. Public API users are limited to querying historical "
            f"data within the past {MOST_DAYS} days."
        )
        return web.json_response(
            {"error": {"status": {"error_code": 10012, "error_message": message}}}, status=401
        )
    whole, end = _market(request), round(now.timestamp())
    step = 3_600 if int(text) <= 90 and request.query.get("interval") != "daily" else DAY_S
    first = -(-(end - int(text) * DAY_S) // step) * step
    times = [*range(max(first, whole.start_s), end, step), end]
    prices = _prices(whole, np.array(times))
    volumes = whole.volume[(np.array(times) - whole.start_s) // DAY_S] * prices
    columns = {"prices": prices, "market_caps": prices * SUPPLY, "total_volumes": volumes}
    return web.json_response(
        {
            name: [[t * 1000, float(v)] for t, v in zip(times, values, strict=True)]
            for name, values in columns.items()
        }
    )


def _market(request: web.Request) -> Market:
    state = state_of(request)
    return market(state.world.seed, state.now().year)


def _days(now: datetime) -> int:
    """Days since the market began, with the one that is under way."""
    return (now.astimezone(UTC).date() - FIRST_DAY).days + 1


def _prices(whole: Market, times_s: np.ndarray) -> np.ndarray:
    """Prices between the hours, by straight lines."""
    hours = whole.hourly[:, :24].ravel()
    return np.interp(times_s, whole.start_s + np.arange(hours.size) * 3_600, hours)


def _candle(whole: Market, day: int, now: datetime) -> list[object]:
    opened = whole.start_s + day * DAY_S
    passed = min(now.timestamp() - opened, DAY_S)
    if passed < DAY_S:
        so_far = np.array([*range(0, int(passed), 3_600), passed])
        path = _prices(whole, opened + so_far)
        first, high, low, last = path[0], path.max(), path.min(), path[-1]
    else:
        first, high, low, last = whole.hourly[day, 0], whole.high[day], whole.low[day], whole.hourly[day, -1]
    share = passed / DAY_S
    volume, trades = whole.volume[day] * share, int(whole.trades[day] * share)
    return [
        opened * 1000,
        *(f"{price:.8f}" for price in (first, high, low, last)),
        f"{volume:.8f}",
        (opened + DAY_S) * 1000 - 1,
        f"{volume * (first + last) / 2:.8f}",
        trades,
        f"{volume * 0.5:.8f}",
        f"{volume * 0.5 * (first + last) / 2:.8f}",
        "0",
    ]
