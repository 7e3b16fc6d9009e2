"""The forecast page: the same forecast as the service's own, on the newest records, and what it says without one."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
import yaml
from forecasts import config, floor_hour, past, released
from streamlit.testing.v1 import AppTest

from bento.process import free_port, service_environment, serving
from dashboard.band_plot import Drawing, Step, band_plot
from dashboard.history import followed, records
from dashboard.setting import Setting, arguments, read
from perennial.data import dataset
from perennial.home import Home
from perennial.live import sign
from tests.test_ui import NOWHERE, PATIENCE_S, page, said

NOW = floor_hour(datetime.now(UTC))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")


def collected() -> pd.DataFrame:
    """Records up to now, with the field that says when they happened."""
    frame = past(NOW)
    return frame.assign(at=frame["event_time"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = Home(tmp_path_factory.mktemp("home"))
    released(made.releases, sign.key_pair(made.keys), NOW)
    return made


@pytest.fixture(autouse=True)
def own_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(home.root))


@pytest.fixture(scope="module")
def url(home: Home) -> Iterator[str]:
    environment = service_environment(home.releases, "load", home.keys / sign.PUBLIC)
    with serving(environment, free_port()) as address:
        yield address


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("configs") / "load.yaml"
    path.write_text(yaml.safe_dump(config(True).model_dump(mode="json", exclude_unset=True)))
    return path


def words(file: Path, home: Home, service: str) -> list[str]:
    return arguments((), str(file), home.releases, service)


def drawn_for(file: Path, home: Home, service: str) -> AppTest:
    source = (
        "from dashboard import forecast\nfrom dashboard.setting import read\n"
        f"forecast.show(read({words(file, home, service)!r}))"
    )
    return AppTest.from_string(source, default_timeout=PATIENCE_S).run()


def asked(setting: Setting, origin: datetime) -> list[dict[str, float]]:
    """The forecast that the service makes of the records that were known at an origin."""
    follows = followed(setting)
    assert follows is not None
    found = records(setting, follows)
    assert found is not None
    body = {"origin": origin.isoformat(), "history": found.rows_at(origin)}
    request = urllib.request.Request(
        setting.service + "/forecast", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        rows: list[dict[str, float]] = json.load(answer)["predictions"]
    return rows


def test_the_page_shows_the_services_own_forecast_of_the_newest_records(
    file: Path, home: Home, url: str
) -> None:
    dataset.commit(collected(), home.datasets / "load")
    drawn = drawn_for(file, home, url)
    text = said(drawn)
    assert "Answered by the champion, v" in text and "load (MW) by steps of 1 h" in text
    newest = NOW.replace(hour=0)
    assert f"{newest.astimezone(BERLIN):%Y-%m-%d %H:%M} Europe/Berlin" in text
    rows, table = asked(read(words(file, home, url)), newest), drawn.dataframe[0].value
    assert len(table) == len(rows) == 24
    names = ("prediction", "prediction_low", "prediction_high", "prediction_low_95", "prediction_high_95")
    shown = ("load (MW)", "80 % low", "80 % high", "95 % low", "95 % high")
    for name, column in zip(names, shown, strict=True):
        assert table[column].tolist() == pytest.approx([row[name] for row in rows])

    origin = newest - 2 * DAY
    drawn = drawn.date_input[0].set_value(origin.astimezone(BERLIN).date()).run()
    expected = [row["prediction"] for row in asked(read(words(file, home, url)), origin)]
    assert drawn.dataframe[0].value["load (MW)"].tolist() == pytest.approx(expected)
    drawn = drawn.number_input[0].set_value(5).run()
    assert drawn.dataframe[0].value["load (MW)"].tolist() == pytest.approx(expected[:5])


def test_a_fallback_is_told_with_its_reason(file: Path, home: Home, url: str) -> None:
    still = collected()
    is_late = (still["feed"] == "load") & (still["event_time"] >= NOW - 2 * DAY)
    dataset.commit(still.assign(load_mw=still["load_mw"].mask(is_late, 41_000.0)), home.datasets / "load")
    drawn = drawn_for(file, home, url)
    told = drawn.warning[0].value.replace("\\", "")
    assert told.startswith("Answered by the seasonal naive (v") and "flat: " in told and not drawn.success


def test_without_a_service_or_a_history_it_says_how_to_get_one(file: Path, home: Home) -> None:
    dataset.commit(collected(), home.datasets / "load")
    drawn = drawn_for(file, home, NOWHERE)
    assert f"No service answers at `{NOWHERE}`" in said(drawn) and "only the history is shown" in said(drawn)
    assert "load (MW) by steps of 1 h" in said(drawn) and not drawn.dataframe and not drawn.error
    assert "forecasts no series" in said(page(home, "forecast"))


def test_nothing_collected_is_told(
    file: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = Home(tmp_path)
    released(empty.releases, sign.key_pair(empty.keys), NOW)
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    text = said(drawn_for(file, empty, NOWHERE))
    assert "Nothing was collected yet" in text and "run.py collect" in text


class Older(BaseHTTPRequestHandler):
    """A service that does not know /forecast."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"error":"not_found","message":"expected a known path, found \'/forecast\'"}'
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_a_service_that_forecasts_nothing_gets_one_sentence(file: Path, home: Home) -> None:
    dataset.commit(collected(), home.datasets / "load")
    with HTTPServer(("127.0.0.1", 0), Older) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        drawn = drawn_for(file, home, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert len(drawn.error) == 1
    assert "expected a service that forecasts" in said(drawn).lower()


def test_the_plot_names_its_axes_and_has_a_band_per_level() -> None:
    times = pd.date_range("2026-03-28", periods=3, freq="D", tz="UTC")
    steps = [Step(t.to_pydatetime(), 5.0, ((0.8, 4.0, 6.0), (0.95, 3.0, 7.0))) for t in times + 3 * DAY]
    series = pd.Series([1.0, 2.0, 3.0], times)
    drawing = Drawing(series, series.iloc[:0], steps, times[-1].to_pydatetime(), "load (MW)", BERLIN)
    for is_dark in (False, True):
        drawn = band_plot(drawing, is_dark).to_dict()
        text = json.dumps(drawn)
        names = next(
            layer["encoding"]["color"]["scale"] for layer in drawn["layer"] if "color" in layer["encoding"]
        )
        assert names["domain"] == ["known", "forecast", "80 % interval", "95 % interval"]
        assert len(set(names["range"])) == 4
        assert "time (Europe/Berlin)" in text and "load (MW)" in text
    told = {row["time"] for rows in drawn["datasets"].values() for row in rows}
    assert "2026-03-28T01:00:00+00:00" in told
    assert "2026-03-31T02:00:00+00:00" in told, "summer time began between"
