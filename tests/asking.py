"""Requests to a service of `prices`, and what is read off its answers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bento.process import Serving, free_port, service_environment, started
from perennial.live import release
from perennial.live.load import load_predictor
from perennial.live.predict import Predictor
from perennial.live.sign import SigningKey, key_pair
from tests.releases import build, promote, tables

ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}
JSON = {"Content-Type": "application/json"}


Answer = tuple[int, dict[str, str], Any]


def ask(
    served: Serving,
    body: bytes | None,
    headers: dict[str, str] | None = None,
    path: str = "/predict",
    method: str = "POST",
) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=30)
    try:
        connection.request(method, path, body, JSON if headers is None else headers)
        response = connection.getresponse()
        data = response.read()
        kind = response.headers.get("Content-Type", "")
        found = {name.lower(): value for name, value in response.headers.items()}
        return response.status, found, json.loads(data) if kind.startswith("application/json") else data
    finally:
        connection.close()


def post(served: Serving, value: Any, **headers: str) -> Answer:
    return ask(served, json.dumps(value).encode(), {**JSON, **headers})


def is_refusal(answer: Any) -> bool:
    return (
        set(answer) == {"error", "message", "violations"}
        and bool(answer["message"])
        and all(set(v) == {"row", "field", "problem"} for v in answer["violations"])
    )


def holdout() -> list[dict[str, Any]]:
    frame = tables("prices")[1].frame
    columns = ["year", "mileage", "fuel", "serviced", "tax"]
    return json.loads(frame[columns].to_json(orient="records"))


def counted(served: Serving, name: str, **labels: str) -> float:
    page = ask(served, None, {}, "/metrics", "GET")[2].decode()
    total = 0.0
    for line in page.splitlines():
        if line.startswith(name + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return total


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    folder = tmp_path_factory.mktemp("releases")
    for kind in ("prices", "kinds"):
        promote(folder, key, build(folder, key, kind, 1.0))
    return folder


@pytest.fixture(scope="module")
def predictor(releases: Path, key: SigningKey) -> Predictor:
    bundle = release.champion_bundle(releases, "prices", key.public_path)
    assert bundle is not None
    return load_predictor(bundle)


@pytest.fixture(scope="module")
def served(releases: Path, key: SigningKey) -> Iterator[Serving]:
    environment = service_environment(releases, "prices", key.public_path, max_rows=100)
    with started(environment, free_port()) as running:
        yield running
