"""The demo APIs of earthquakes, fear and greed, candles, load and weather behave like those they stand in for."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from demo import load, market, quakes, weather
from tests.demo_asked import BERLIN, NOW, Server, server, shared

__all__ = ("server", "shared")


def events(server: Server, query: str) -> list[dict[str, str]]:
    got = server.get(f"/fdsnws/event/1/query?format=csv&{query}")
    assert got.status == 200, got.text
    return list(csv.DictReader(io.StringIO(got.text)))


def test_the_event_api_refuses_too_many_in_its_own_words(server: Server) -> None:
    refused = server.get("/fdsnws/event/1/query?format=csv&starttime=2014-01-01")
    count = int(server.get("/fdsnws/event/1/count?starttime=2014-01-01").text)
    assert refused.status == 400
    assert f"{count} matching events exceeds search limit of 20000." in refused.text
    assert len(events(server, "starttime=2014-01-01&limit=20000")) == 20_000
    for bad in ("limit=20001", "limit=x", "offset=0", "orderby=size", "starttime=soon", "minmagnitude=big"):
        assert server.get(f"/fdsnws/event/1/query?format=csv&{bad}").status == 400
    assert server.get("/fdsnws/event/1/query?format=docx").status == 400


def test_windows_pages_and_formats_tell_of_the_same_events(server: Server) -> None:
    ask = "minmagnitude=4.5&orderby=time-asc&limit=20000"
    whole = events(server, f"{ask}&starttime=2020-01-01&endtime=2022-01-01")
    halves = [
        *events(server, f"{ask}&starttime=2020-01-01&endtime=2020-12-31T23:59:59.999"),
        *events(server, f"{ask}&starttime=2021-01-01&endtime=2022-01-01"),
    ]
    assert whole == halves
    assert [e["time"] for e in whole] == sorted(e["time"] for e in whole)
    assert len({e["id"] for e in whole}) == len(whole) > 3_000
    assert whole[100:150] == events(
        server, f"{ask[:-6]}=50&offset=101&starttime=2020-01-01&endtime=2022-01-01"
    )
    got = server.get(
        f"/fdsnws/event/1/query?format=geojson&{ask}&starttime=2020-01-01&endtime=2022-01-01"
    ).json
    assert got["metadata"]["count"] == len(whole)
    for row, feature in zip(whole, got["features"], strict=True):
        point = [float(row["longitude"]), float(row["latitude"]), float(row["depth"])]
        assert (row["id"], float(row["mag"])) == (feature["id"], feature["properties"]["mag"])
        assert point == feature["geometry"]["coordinates"]
        assert datetime.fromisoformat(row["time"]).timestamp() * 1000 == feature["properties"]["time"]


def test_what_was_revised_is_what_updatedafter_brings(server: Server) -> None:
    """The answer of today is that of last month with its revisions laid over it."""
    then, window = NOW - timedelta(days=30), "starttime=2026-06-01&limit=20000"
    server.set(now=then.isoformat())
    old = {e["id"]: e for e in events(server, window)}
    server.set(now=NOW.isoformat())
    changed = {e["id"]: e for e in events(server, f"{window}&updatedafter={then:%Y-%m-%dT%H:%M:%S}")}
    new = {e["id"]: e for e in events(server, window)}
    assert {**old, **changed} == new
    revised = [(old[i], changed[i]) for i in changed if i in old]
    assert len(revised) > 20
    assert any(a["mag"] != b["mag"] for a, b in revised)
    assert all(a["updated"] < b["updated"] and a["time"] == b["time"] for a, b in revised)


def test_nothing_is_an_answer_too(server: Server) -> None:
    nothing = "minmagnitude=9.9&starttime=2020-01-01"
    assert events(server, nothing) == []
    assert server.get(f"/fdsnws/event/1/query?format=geojson&{nothing}").json["features"] == []
    assert server.get(f"/fdsnws/event/1/query?format=csv&nodata=204&{nothing}").status == 204


def test_magnitudes_and_clusters_are_like_the_earths() -> None:
    known = quakes.published(7, NOW)
    magnitude = known.first_magnitude[known.first_magnitude >= 4.5]
    assert len(magnitude) > 10_000
    # b value by Aki (1965) with Utsu's correction for bins of 0.1
    assert 0.95 < np.log10(np.e) / (magnitude.mean() - 4.45) < 1.05
    per_week = np.bincount((known.time_ms - known.time_ms[0]) // (7 * quakes.DAY_MS))
    assert per_week.var() > 2 * per_week.mean()


def test_the_index_comes_newest_first_as_texts(server: Server) -> None:
    got = server.get("/fng/?limit=0&format=json").json
    data = got["data"]
    days = [datetime.fromtimestamp(int(item["timestamp"]), UTC).date() for item in data]
    expected = {date(2018, 2, 1) + timedelta(days=n) for n in range((NOW.date() - date(2018, 2, 1)).days + 1)}
    assert days == sorted(expected - set(market.NO_INDEX), reverse=True)
    assert all(item["value_classification"] == market.class_of(int(item["value"])) for item in data)
    assert {"Extreme Fear", "Extreme Greed"} < {item["value_classification"] for item in data}
    assert data[0]["time_until_update"] == str(12 * 3_600)
    assert not any("time_until_update" in item for item in data[1:])
    assert server.get("/fng/?limit=5").json["data"] == data[:5]
    assert len(server.get("/fng/").json["data"]) == 1


def candles(server: Server, query: str) -> list[list]:
    got = server.get(f"/api/v3/klines?symbol=BTCUSDT&interval=1d&{query}")
    assert got.status == 200, got.text
    return got.json


def test_candles_page_by_their_start_and_the_last_is_open(server: Server) -> None:
    found, start = [], 0
    while True:
        page = candles(server, f"limit=1000&startTime={start}")
        found += page
        if len(page) < 1_000:
            break
        start = page[-1][0] + 1
    opens = [candle[0] for candle in found]
    assert opens == list(range(opens[0], opens[0] + len(opens) * market.DAY_S * 1000, market.DAY_S * 1000))
    assert datetime.fromtimestamp(opens[0] / 1000, UTC).date() == market.FIRST_DAY
    assert found[-1][0] / 1000 < NOW.timestamp() < found[-1][6] / 1000
    prices = np.array([candle[1:5] for candle in found], float)
    assert (prices[:, 1] >= prices.max(axis=1)).all()
    assert (prices[:, 2] <= prices.min(axis=1)).all()
    assert prices[:-1, 3] == pytest.approx(prices[1:, 0], rel=1e-6)
    assert candles(server, f"endTime={opens[-3]}&limit=2") == found[-4:-2]
    assert len(candles(server, "limit=5000")) == 1_000
    assert candles(server, "") == found[-500:]
    server.set(now=(NOW + timedelta(hours=3)).isoformat())
    assert candles(server, "limit=1")[0][:2] == found[-1][:2]
    assert candles(server, "limit=1") != found[-1:]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("symbol=X&interval=1d", -1121),
        ("symbol=BTCUSDT&interval=1h", -1120),
        ("symbol=BTCUSDT&interval=1d&limit=x", -1100),
    ],
)
def test_bad_candles_are_refused_with_binances_codes(server: Server, query: str, code: int) -> None:
    got = server.get(f"/api/v3/klines?{query}")
    assert (got.status, got.json["code"]) == (400, code)


def test_the_market_chart_tells_of_the_same_prices(server: Server) -> None:
    chart = server.get("/api/v3/coins/bitcoin/market_chart?vs_currency=usd&days=7").json
    assert len(chart["prices"]) == 169
    assert chart["prices"][-1][0] == NOW.timestamp() * 1000
    opens = {candle[0]: float(candle[1]) for candle in candles(server, "limit=10")}
    midnights = [(t, price) for t, price in chart["prices"] if t in opens]
    assert len(midnights) == 7
    assert [price for _, price in midnights] == pytest.approx([opens[t] for t, _ in midnights])
    assert server.get("/api/v3/coins/bitcoin/market_chart?vs_currency=usd&days=400").status == 401


def test_the_index_follows_returns_and_remembers() -> None:
    whole = market.market(7, 2025)
    close = np.log(whole.hourly[:, -1])
    index = whole.index[30:].astype(float)
    past = close[29:-1] - close[15:-15]
    assert np.corrcoef(index, past)[0, 1] > 0.5
    assert 0.9 < np.corrcoef(index[1:], index[:-1])[0, 1] < 0.99


def test_public_power_has_every_quarter_and_no_value_for_the_newest(server: Server) -> None:
    got = server.get("/public_power?country=de&start=2026-10-25&end=2026-11-01").json
    times = got["unix_seconds"]
    assert times[0] == datetime(2026, 10, 25, tzinfo=BERLIN).timestamp()
    assert times == list(range(times[0], int(NOW.timestamp()) + 1, 900))
    columns = {item["name"]: item["data"] for item in got["production_types"]}
    assert {len(data) for data in columns.values()} == {len(times)}
    known = [t + 900 + 3_600 <= NOW.timestamp() for t in times]
    assert [value is not None for value in columns["Load"]] == known
    by_seconds = server.get(f"/public_power?country=de&start={times[4]}&end={times[8]}").json
    assert by_seconds["unix_seconds"] == times[4:9]
    assert server.get("/public_power?country=xx").status == 404
    assert server.get("/public_power?start=2031-01-01").status == 404
    assert server.get("/public_power?start=soon").status == 422


def test_the_yearly_file_is_the_same_load_by_the_clock_on_the_wall(server: Server) -> None:
    text = server.get("/entsoe/Total_Load_Day_Ahead_Actual_2025.csv").text
    rows = list(csv.reader(io.StringIO(text)))[1:]
    found, seen, empty = {}, Counter(), []
    for label, ahead, actual in rows:
        day, month, year, hour, minute = map(int, re.split(r"[. :]", label[:16]))
        if not actual:
            empty.append(label)
            assert ahead == ""
            continue
        moment = datetime(year, month, day, hour, minute, tzinfo=BERLIN, fold=seen[label])
        seen[label] += 1
        found[int(moment.timestamp())] = float(actual)
    assert [label[:16] for label in empty] == [f"30.03.2025 02:{m:02d}" for m in (0, 15, 30, 45)]
    assert sorted(label[:13] for label, n in seen.items() if n == 2) == ["26.10.2025 02"] * 4
    got = server.get("/public_power?country=de&start=2025-01-01&end=2025-12-31").json
    loads = next(item["data"] for item in got["production_types"] if item["name"] == "Load")
    assert list(found) == got["unix_seconds"]
    assert list(found.values()) == pytest.approx(loads, abs=0.51)
    running_year = server.get("/entsoe/Total_Load_Day_Ahead_Actual_2026.csv").text.splitlines()
    assert running_year[-1] == '"31.12.2026 23:45 - 01.01.2027 00:00","-","-"'
    assert server.get("/entsoe/Total_Load_Day_Ahead_Actual_2027.csv").status == 404


def test_local_time_is_that_of_the_time_zone_database() -> None:
    times = weather.START_S + np.arange(8 * 365 * 24) * 3_600
    expected = [datetime.fromtimestamp(t, BERLIN).utcoffset().total_seconds() for t in times.tolist()]
    assert load.local_offset_s(times).tolist() == expected


def test_load_knows_nights_sundays_holidays_and_winters() -> None:
    grid = load.grid(7, 2025)
    local = [datetime.fromtimestamp(t, BERLIN) for t in grid.times_s()[::4].tolist()]
    mw = grid.load_mw[::4]

    def mean(chosen) -> float:
        return float(mw[[chosen(moment) for moment in local]].mean())

    assert mean(lambda m: m.hour == 3) < 0.85 * mean(lambda m: m.hour == 11)
    assert mean(lambda m: m.weekday() == 6) < 0.92 * mean(lambda m: m.weekday() == 2)
    assert mean(lambda m: (m.month, m.day) == (10, 3)) < 0.95 * mean(lambda m: m.month == 10)
    assert mean(lambda m: m.month == 7) < 0.95 * mean(lambda m: m.month == 1)
    assert 30_000 < mw.min() < mw.max() < 90_000


def hourly(server: Server, path: str) -> dict:
    got = server.get(f"{path}&latitude=52.5&longitude=13.4&hourly=temperature_2m,shortwave_radiation")
    assert got.status == 200, got.text
    return got.json["hourly"]


def test_weather_is_measured_late_and_forecast_early(server: Server) -> None:
    measured = hourly(server, "/v1/archive?start_date=2026-10-20&end_date=2026-11-01&timeformat=unixtime")
    known = [t <= NOW.timestamp() - 2 * 86_400 for t in measured["time"]]
    assert [value is not None for value in measured["temperature_2m"]] == known
    ahead = hourly(server, "/v1/forecast?past_days=12&forecast_days=7&timeformat=unixtime")
    assert ahead["time"][: len(measured["time"])] == measured["time"]
    assert None not in ahead["temperature_2m"]
    n = sum(known)
    assert ahead["temperature_2m"][:n] == measured["temperature_2m"][:n]
    server.set(now=(NOW + timedelta(days=20)).isoformat())
    truth = hourly(server, "/v1/archive?start_date=2026-10-20&end_date=2026-11-07&timeformat=unixtime")
    assert truth["time"] == ahead["time"]
    missed = np.abs(np.subtract(truth["temperature_2m"], ahead["temperature_2m"]))
    past = np.array(truth["time"]) <= NOW.timestamp()
    assert missed[past].max() == 0
    assert missed[~past].max() > 0.5
    local = hourly(server, "/v1/archive?start_date=2026-10-20&end_date=2026-10-20&timezone=Europe/Berlin")
    assert local["time"][0] == "2026-10-20T00:00"
    assert local["temperature_2m"][2:] == truth["temperature_2m"][:22]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/archive?latitude=1&longitude=1&start_date=2026-10-20&end_date=2026-11-02&hourly=temperature_2m",
        "/v1/archive?latitude=1&longitude=1&start_date=2026-10-20&hourly=temperature_2m",
        "/v1/archive?latitude=1&longitude=1&start_date=2026-10-20&end_date=2026-10-21&hourly=warmth",
        "/v1/forecast?longitude=1&hourly=temperature_2m",
        "/v1/forecast?latitude=1&longitude=1&forecast_days=30&hourly=temperature_2m",
    ],
)
def test_bad_weather_is_refused_with_a_reason(server: Server, path: str) -> None:
    got = server.get(path)
    assert got.status == 400
    assert got.json["error"] is True
    assert got.json["reason"]


def test_series_have_a_line_per_weekday_and_no_value_on_holidays(server: Server) -> None:
    for name, missing in (("DGS10", "."), ("DCOILBRENTEU", "")):
        head, *lines = server.get(
            f"/graph/fredgraph.csv?id={name}&cosd=2025-01-01&coed=2025-12-31"
        ).text.splitlines()
        assert head == f"observation_date,{name}"
        rows = dict(line.split(",") for line in lines)
        assert len(rows) == np.busday_count("2025-01-01", "2026-01-01")
        assert sorted(day for day, value in rows.items() if value == missing) == [
            "2025-01-01",
            "2025-07-04",
            "2025-11-27",
            "2025-12-25",
        ]
        assert all(float(value) > 0 for value in rows.values() if value != missing)
    assert server.get("/graph/fredgraph.csv?id=NOSUCH").status == 404
