"""A real Prometheus asks a real service and a real device: every rule and panel is answered."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from metrics_page import against, families, post, until
from releases import build, promote
from test_ops import queries

from bento.process import free_port, service_environment, started
from ops.__main__ import ROOT
from ops.queries import EDGE_JOB, SERVICE_JOB
from ops.scrape import scrape
from perennial.live.catalogue.edge import EDGE
from perennial.live.sign import SigningKey, key_pair

ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": 30.0}
ODD = {**ROW, "mileage": 10**7}
SILENT = {
    "perennial:forecast_fallbacks:ratio_rate15m",
    "perennial:prediction_class:share1h",
    "Predicted classes",
    "Requests by arm",
    "Forecasts by rung",
    "Forecasts that are not the champion's",
    "Alerts",
}
"""A regression without trial or forecasts has no figures for these, and no alert has lasted for long enough."""
SLOW_MACHINE = {"PerennialSlow", "PerennialJournalLag"}
"""Whether these are so depends on what else the machine does."""


@contextmanager
def process(*command: str | Path, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        running = subprocess.Popen([*map(str, command)], cwd=ROOT, stdout=output, stderr=output)
    try:
        yield
    finally:
        running.kill()
        running.wait()


def device(folder: Path, releases: Path, key: SigningKey, port: int) -> Any:
    """An agent whose journal rows nobody takes."""
    return process(
        *(sys.executable, "-m", "bento.edge", "--source", releases, "--system", "prices"),
        *("--public-key", key.public_path, "--folder", folder / "edge", "--port", str(port)),
        *("--upload", f"http://127.0.0.1:{free_port()}", "--device", "pump", "--every", "0.5"),
        log=folder / "edge.log",
    )


def prometheus(folder: Path, services: str, devices: str, port: int) -> Any:
    """One that asks every half second."""
    rules = str(ROOT / "ops" / "prometheus" / "rules.yml")
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(scrape((services,), (devices,), rules, "500ms")))
    return process(
        *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'figures'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
        log=folder / "prometheus.log",
    )


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The addresses of the three, and what Prometheus knows after some requests."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("watched")
    key = key_pair(folder / "keys")
    releases = folder / "releases"
    promote(releases, key, build(releases, key, "prices", 1.0))
    environment = service_environment(releases, "prices", key.public_path) | {"PERENNIAL_WATCH_S": "0.2"}
    edge, own = f"127.0.0.1:{free_port()}", free_port()
    found = SimpleNamespace(edge=f"http://{edge}", prometheus=f"http://127.0.0.1:{own}")
    with (
        device(folder, releases, key, int(edge.rsplit(":", 1)[1])),
        started(environment, free_port()) as served,
        prometheus(folder, served.url.removeprefix("http://"), edge, own),
    ):
        found.service = served.url
        until(lambda: answers(f"{found.edge}/readyz") and answers(f"{found.prometheus}/-/ready"))
        until(lambda: len(asked(found.prometheus, "up == 1")) == 2)
        until(lambda: counted_often(found))
        yield found


def counted_often(found: SimpleNamespace) -> bool:
    """Asks both for some more, and says whether Prometheus has seen that on two pages at least."""
    for _ in range(5):
        post(found.service, [ROW, ODD])
        post(found.edge, ROW)
    recorded = asked(found.prometheus, "perennial:prediction_band:share1h > 0")
    latest = asked(found.prometheus, "perennial:request_seconds:p99_5m >= 0")
    return bool(recorded) and bool(latest)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def asked(url: str, query: str) -> list[dict[str, Any]]:
    """What Prometheus answers to a query; fails where it cannot, or warns."""
    for name, value in (("$instance", ".+"), ("$__rate_interval", "1m")):
        query = query.replace(name, value)
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?query={urllib.parse.quote(query)}") as reply:
            told = json.load(reply)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{query}: {error.read().decode()}") from None
    assert told["status"] == "success" and not told.get("warnings"), (query, told)
    return list(told["data"]["result"])


def test_every_query_of_rules_and_panels_is_answered(watched: SimpleNamespace) -> None:
    found = {asker: asked(watched.prometheus, query) for asker, query in queries().items()}
    empty = {asker for asker, series in found.items() if not series}
    alerts = {asker for asker in found if ":" not in asker}
    named = {asker.split(": ", 1)[-1].rsplit(", ", 1)[0] for asker in empty - alerts}
    assert named == SILENT
    assert alerts - empty - SLOW_MACHINE == {"PerennialModelOld", "PerennialEdgeModelOld", "PerennialFlagged"}


def test_prometheus_finds_no_rule_wrong(watched: SimpleNamespace) -> None:
    with urllib.request.urlopen(f"{watched.prometheus}/api/v1/rules") as reply:
        groups = json.load(reply)["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules} >= {"PerennialErrors", "PerennialEdgeStale"}
    assert {rule["health"] for rule in rules} == {"ok"}, [rule.get("lastError") for rule in rules]


def test_what_prometheus_knows_is_what_the_service_did(watched: SimpleNamespace) -> None:
    (info,) = asked(watched.prometheus, "perennial_release_info == 1")
    labels = {"model": "prices", "version": "v1", "candidate": "linear", "job": SERVICE_JOB}
    assert {name: info["metric"][name] for name in labels} == labels
    (half,) = asked(watched.prometheus, "perennial:flagged_rows:ratio_rate30m")
    assert 0.25 < float(half["value"][1]) < 0.75  # rates are extrapolated from a few seconds
    shares = asked(watched.prometheus, "sum(perennial:prediction_band:share1h)")
    assert float(shares[0]["value"][1]) == pytest.approx(1.0)
    answer = post(watched.service, [ROW, ODD])["predictions"]
    (mean,) = asked(watched.prometheus, "perennial:prediction:mean1h")
    predicted = sum(row["prediction"] for row in answer) / 2
    assert float(mean["value"][1]) == pytest.approx(predicted, rel=0.1)
    (held,) = asked(watched.prometheus, "perennial_edge_model_info")
    assert held["metric"]["version"] == "v1" and held["metric"]["job"] == EDGE_JOB


def test_the_page_of_a_device_shows_the_catalogue_and_nothing_else(watched: SimpleNamespace) -> None:
    page = families(watched.edge)
    assert against(page, EDGE) == []
    of_forecasts = {"perennial_edge_forecasts_total"}  # this device's system forecasts nothing
    assert page.keys() == {metric.name for metric in EDGE} - of_forecasts
