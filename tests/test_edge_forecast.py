"""Forecasts on a device: the service's answers, every rung, offline, and what a release on trial must show."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import releases as cars
from edge_device import device
from edge_site import serving, until
from forecasts import build, config, floor_hour, past, sent
from releases import promote

from bento.answering import Answering
from bento.asked import Refused
from bento.edge import layer
from bento.edge.agent import Agent
from bento.edge.slots import Device
from bento.edge.source import FolderSource
from bento.forecast.ladder import RUNGS
from bento.forecast.wiring import forecaster
from bento.process import service_environment
from bento.watch import watching
from perennial.live import observed
from perennial.live.bundle import open_bundle
from perennial.live.journal.entry import about
from perennial.live.journal.store import open_store
from perennial.live.sign import SigningKey, key_pair

ROOT = Path(__file__).resolve().parent.parent
NOW = floor_hour(datetime.now(UTC))
ORIGIN = NOW.replace(hour=0)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOT_OURS = (
    *("bentoml", "zenml", "mlflow", "sklearn", "scipy", "pyarrow", "lxml", "yaml", "prometheus_client"),
    *("psutil", "click", "rich", "apprise", "requests", "psycopg", "fastapi", "anyio"),
)
OWN = ("on_trial", "model_age_s", "contact_age_s", "stale")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return past(NOW)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, key: SigningKey, records: pd.DataFrame) -> Path:
    """Holds a champion that knows the load alone, and a later release that wants the weather too."""
    folder = tmp_path_factory.mktemp("state") / "releases"
    load = records[records["feed"] == "load"]
    promote(folder, key, build(folder, key, config(False), load, NOW, 1.0))
    build(folder, key, config(True), records, NOW, 2.0)
    return folder


@pytest.fixture
def copy(shelf: Path, tmp_path: Path) -> Path:
    """The same releases, for a test that promotes others."""
    return shutil.copytree(shelf, tmp_path / "releases")


def promoted(folder: Path, key: SigningKey, version: str = "v2") -> None:
    """Makes a release that lies there the champion."""
    promote(folder, key, open_bundle(folder / "load" / "bundles" / version, key.public_path).as_reference())


def asks(origin: datetime = ORIGIN, **history: Any) -> dict[str, Any]:
    return {"origin": origin.isoformat(), "history": history}


def history(records: pd.DataFrame, days: float = 400, weather: bool = True) -> dict[str, Any]:
    """What was known at the origin, of the last days."""
    known = records[records["available_at"] <= pd.Timestamp(ORIGIN)]
    recent = known[known["event_time"] >= pd.Timestamp(ORIGIN - timedelta(days=days))]
    return sent(recent, load="load_mw", **({"weather": "temperature_c"} if weather else {}))


def of_service(folder: Path, key: SigningKey, body: Any) -> dict[str, Any]:
    """What the service answers."""
    environment = service_environment(folder, "load", key.public_path)
    watch = watching(environment)
    state = watch.standing.state
    assert isinstance(state, Answering), watch.standing.trouble
    answers = forecaster(environment, lambda: watch.standing, None)
    return json.loads(answers.forecast(state, json.dumps(body).encode(), "same", NOW).body)


def without_id(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "prediction_id": ""}


def agent_of(folder: Path, shelf: Path, key: SigningKey) -> Agent:
    made = Agent(Device(folder / "edge", "load", key.public_path), FolderSource(shelf), 2, NOW.timestamp)
    made.start()
    return made


def without_own(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in OWN}


def test_a_device_answers_what_the_service_answers_on_every_rung(tmp_path, copy, key, records) -> None:
    whole, blind = asks(**history(records)), asks(**history(records, weather=False))
    bodies = {
        "champion": whole,
        "previous champion": blind,
        "seasonal naive": asks(**history(records, days=21)),
        "last value": asks(**history(records, days=0.2)),
    }
    with (
        serving(copy) as site,
        device(tmp_path, site.address, key.public_path, "load", without=NOT_OURS) as meter,
    ):
        status, answer = meter.post("/forecast", blind)
        assert (status, answer["version"], answer["quality"]) == (200, "v1", "champion")
        status, answer = meter.post("/forecast", asks(**history(records, 21, weather=False)))
        assert (status, answer["quality"]) == (200, "seasonal naive")
        assert answer["reason"].endswith("; there is no previous champion")
        promoted(copy, key)
        until(lambda: meter.asked("/readyz")[1]["version"] == "v2")
        status, answer = meter.post("/forecast", blind)
        assert (answer["version"], answer["quality"], answer["on_trial"]) == (
            "v1",
            "previous champion",
            False,
        )
        assert meter.asked("/readyz")[1]["answered_on_trial"] == 0  # its model was not asked
        trial = [meter.post("/forecast", whole)[1] for _ in range(2)]
        assert [(one["version"], one["on_trial"]) for one in trial] == [("v2", True)] * 2
        assert meter.asked("/readyz")[1]["on_trial"] is False
        site.mode = "error"
        for rung, body in bodies.items():
            status, answer = meter.post("/forecast", {**body, "prediction_id": "same"})
            assert (status, answer["quality"]) == (200, rung), answer
            assert without_own(answer) == of_service(copy, key, body)
            assert answer["stale"] is False and answer["model_age_s"] >= 0 and answer["contact_age_s"] >= 0
        status, answer = meter.post("/forecast", asks())
        assert (status, answer["error"]) == (422, "no_history")
        status, answer = meter.post("/forecast", {"horizon": 25})
        assert status == 400 and "expected a horizon of 1 to 24 steps" in answer["message"]
        told = meter.figures()
        rungs = {rung: told[f'perennial_edge_forecasts_total{{rung="{rung}"}}'] for rung in RUNGS}
        assert rungs == {"champion": 4, "previous champion": 2, "seasonal naive": 2, "last value": 1}
        assert told["perennial_edge_rows_total"] == 24 * 6
        assert told['perennial_edge_requests_total{status="422"}'] == 1


def test_observations_outlive_the_process_and_the_network(tmp_path, shelf, key, records) -> None:
    told = history(records, days=44, weather=False)["load"]
    with serving(shelf) as site:
        with device(tmp_path, site.address, key.public_path, "load") as meter:
            status, answer = meter.post("/observe", {"feed": "load", "rows": told[:-30]})
            assert (status, answer["new"], answer["left_out"]) == (200, len(told) - 30, [])
            again = meter.post("/observe", {"feed": "load", "rows": told[-40:]})[1]
            assert (again["new"], again["repeated"]) == (30, 10)
            old = {"time": (NOW - 400 * DAY).isoformat(), "load_mw": 1.0}
            assert meter.post("/observe", {"feed": "load", "rows": [old]})[1]["out_of_reach"] == 1
            revised = {**told[0], "load_mw": 7.0}
            assert meter.post("/observe", {"feed": "load", "rows": [revised]})[1]["revised"] == 1
            assert meter.post("/observe", {"feed": "sun", "rows": []})[0] == 400
        site.mode = "error"
        with device(tmp_path, site.address, key.public_path, "load", "--stale-after", "0") as meter:
            assert meter.asked("/observe")[0] == 405
            answer = meter.asked("/forecast", b"")[1]
            expected = of_service(shelf, key, asks(load=told))
            assert (answer["quality"], answer["stale"]) == ("champion", True)
            assert [without_id(row) for row in answer["predictions"]] == [
                without_id(row) for row in expected["predictions"]
            ]
            site.mode = "up"
            until(lambda: meter.figures()["perennial_edge_queue_rows"] == 0)
    entries = [entry for batch in site.batches for entry in batch["entries"]]
    assert [entry["prediction_id"] for entry in entries] == [
        row["prediction_id"] for row in answer["predictions"]
    ]
    for k, (entry, row) in enumerate(zip(entries, answer["predictions"], strict=True)):
        assert (entry["quality"], entry["model_version"], entry["row"]) == ("champion", "v1", k)
        assert entry["about"] == about(ORIGIN + k * HOUR, {})
        assert json.loads(entry["output"])["prediction"] == row["prediction"]
        assert "hour" in " ".join(json.loads(entry["inputs"]))


def test_a_damaged_file_of_observations_is_set_aside(tmp_path, shelf, key) -> None:
    kept = tmp_path / "edge" / "load" / "observations.sqlite"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"no database" * 1000)
    row = {"time": (ORIGIN - 2 * HOUR).isoformat(), "load_mw": 41_000.0}
    with serving(shelf) as site, device(tmp_path, site.address, key.public_path, "load") as meter:
        assert meter.post("/observe", {"feed": "load", "rows": [row]})[1]["new"] == 1
        status, answer = meter.post("/forecast", {})
        assert (status, answer["quality"]) == (200, "last value")
        assert {one["prediction"] for one in answer["predictions"]} == {41_000.0}
    assert kept.with_name("observations.sqlite.damaged").read_bytes().startswith(b"no database")


@pytest.mark.parametrize("lacking", layer.PACKAGES)
def test_without_the_layer_one_sentence_names_it(tmp_path, shelf, key, lacking) -> None:
    made = agent_of(tmp_path, shelf, key)
    assert made.look() == "new" and made.serving is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, lacking, None)
        with pytest.raises(
            Refused, match=f"requirements/edge-forecast.txt .* found no {lacking} that works;"
        ) as refused:
            layer.check(made.serving.predictor.bundle)
    assert refused.value.status == 501
    layer.check(made.serving.predictor.bundle)


def test_a_device_without_the_layer_predicts_and_says_what_it_lacks(tmp_path, shelf, key) -> None:
    with (
        serving(shelf) as site,
        device(tmp_path, site.address, key.public_path, "load", without=layer.PACKAGES) as meter,
    ):
        for path, body in (("/forecast", {}), ("/observe", {"feed": "load", "rows": []})):
            status, answer = meter.post(path, body)
            assert (status, answer["error"]) == (501, "layer_missing")
            assert "found no pandas that works; install them" in answer["message"]
        assert meter.figures()['perennial_edge_requests_total{status="501"}'] == 1
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("without", [(), layer.PACKAGES], ids=["layer", "plain"])
def test_a_system_that_does_not_forecast_says_so(tmp_path, key, without) -> None:
    folder = tmp_path / "releases"
    promote(folder, key, cars.build(folder, key, "prices", 1.0))
    with (
        serving(folder) as site,
        device(tmp_path, site.address, key.public_path, "prices", without=without) as meter,
    ):
        for path in ("/forecast", "/observe"):
            status, answer = meter.post(path, {})
            assert status == 404
            assert (
                answer["message"]
                == "expected a system that forecasts, found prices, which does not; see /predict"
            )
        assert "perennial_edge_forecasts_total" not in " ".join(meter.figures())


def test_the_layer_is_what_its_lock_holds() -> None:
    asked_for = (ROOT / "requirements" / "edge-forecast.in").read_text(encoding="utf-8")
    assert set(re.findall(r"^([a-z]+)>", asked_for, re.MULTILINE)) == set(layer.PACKAGES)
    locked = (ROOT / layer.LAYER).read_text(encoding="utf-8")
    plain = (ROOT / "requirements" / "edge.txt").read_text(encoding="utf-8")
    versions = re.compile(r"^(\S+==\S+)", re.MULTILINE)
    assert set(versions.findall(plain)) <= set(versions.findall(locked))
    assert all(f"\n{name}==" in f"\n{locked}" for name in layer.PACKAGES)
    assert not {"scikit-learn", "scipy", "bentoml", "pyarrow"} & set(
        re.findall(r"^(\S+)==", locked, re.MULTILINE)
    )


def killed(tmp_path: Path, shelf: Path, key: SigningKey, records: pd.DataFrame, kills: int) -> str:
    """Kills a device at work again and again; what it had acknowledged is all there. Returns what was done."""
    rng, body = np.random.default_rng(7), asks(**history(records, days=0.2, weather=False))
    observations: dict[datetime, float] = {}
    ids: list[str] = []
    with serving(shelf) as site:
        for _ in range(kills):
            with device(tmp_path, site.address, key.public_path, "load") as meter:
                killer = threading.Timer(rng.uniform(0.0, 1.5), meter.process.kill)
                with suppress(OSError, http.client.HTTPException):
                    while True:
                        n = len(observations)
                        at = ORIGIN - timedelta(days=20) + timedelta(minutes=n)
                        row = {"time": at.isoformat(), "load_mw": float(n)}
                        if meter.post("/observe", {"feed": "load", "rows": [row]})[0] == 200:
                            observations[at] = float(n)
                        answer, headers = meter.asked("/forecast", json.dumps(body).encode())[1:]
                        if "X-Journal" not in headers:
                            ids += [one["prediction_id"] for one in answer["predictions"]]
                        if killer.ident is None:
                            killer.start()
                killer.join()
        with device(tmp_path, site.address, key.public_path, "load"):
            until(lambda: set(ids) <= set(site.taken))
    store = open_store("load", tmp_path / "edge" / "load" / "observations.sqlite")
    found = observed.kept(store, ORIGIN - 30 * DAY, NOW)
    assert observations.items() <= {one.event_time: one.values["load_mw"] for one in found}.items()
    assert observations and ids
    return (
        f"edge: {kills} kills under /observe and /forecast, {len(observations)} observations and {len(ids)} forecast "
        "rows acknowledged, 0 missing"
    )


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path, shelf, key, records) -> None:
    killed(tmp_path, shelf, key, records, 2)


@pytest.mark.torture
def test_many_kills_lose_nothing_that_was_acknowledged(tmp_path, shelf, key, records, tell) -> None:
    tell(killed(tmp_path, shelf, key, records, 20))
