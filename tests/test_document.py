"""The OpenAPI document of a running service, asked by schemathesis; and what every route has in common."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from releases import build, promote
from schemathesis import GenerationMode

from bento.pages import METHODS
from bento.process import Serving, free_port, service_environment, started
from bento.wire import MAX_BODY_BYTES
from perennial.live.sign import key_pair
from tests import document_cases

KINDS = ("prices", "kinds")
PICKLES = ("application/vnd.bentoml+pickle", "application/x-pickle", "Application/Python-Pickle; v=4")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Serving]]:
    """A service of numbers and a service of classes."""
    folder = tmp_path_factory.mktemp("document")
    key = key_pair(folder / "keys")
    for kind in KINDS:
        promote(folder / "releases", key, build(folder / "releases", key, kind, 1.0))
    environments = [service_environment(folder / "releases", kind, key.public_path, 100) for kind in KINDS]
    with started(environments[0], free_port()) as prices, started(environments[1], free_port()) as kinds:
        yield dict(zip(KINDS, (prices, kinds), strict=True))


def cases(served: Serving, mode: GenerationMode, count: int) -> Counter[int]:
    """How often `count` cases for POST /predict got which status; fails on an answer that breaks the document."""

    def judge(answer: Any) -> None:
        """The schema cannot say that two ids must be one, nor that there must be an id for every row."""
        if mode is GenerationMode.NEGATIVE:
            assert answer.status_code in (400, 413)
            return
        assert answer.status_code in (200, 400)
        if answer.status_code == 400:
            assert re.search("prediction.ids?", answer.json()["message"])

    return document_cases.cases(served.url, "/predict", mode, count, judge)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_answers_are_what_the_document_says(
    services: dict[str, Serving], kind: str, mode: GenerationMode
) -> None:
    assert cases(services[kind], mode, 30).total() >= 30


@pytest.mark.torture
@pytest.mark.timeout(1500)
def test_ten_thousand_cases_get_no_500(services: dict[str, Serving], tell: Callable[[str], None]) -> None:
    begun = time.monotonic()
    found: Counter[int] = Counter()
    for served in services.values():
        for mode in GenerationMode:
            found += cases(served, mode, 2500)
    told = ", ".join(f"{count:,} x {status}" for status, count in sorted(found.items()))
    tell(f"schemathesis: {found.total():,} cases in {time.monotonic() - begun:.0f} s: {told}")
    assert found.total() >= 10_000
    assert set(found) <= {200, 400, 413}


@pytest.mark.parametrize("path", sorted(METHODS))
def test_the_document_knows_every_route(services: dict[str, Serving], path: str) -> None:
    document = requests.get(f"{services['prices'].url}/docs.json", timeout=30).json()
    assert [m.upper() for m in document["paths"][path]] == list(METHODS[path])
    for status in ("413", "415"):
        (operation,) = document["paths"][path].values()
        assert status in operation["responses"]


@pytest.mark.parametrize("path", [*sorted(METHODS), "/nowhere"])
@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_gets_415_on_every_route(services: dict[str, Serving], path: str, kind: str) -> None:
    for method in (*METHODS.get(path, ("GET",)), "POST", "PUT"):
        headers = {"Content-Type": kind}
        answer = requests.request(
            method, services["prices"].url + path, data=b"\x80\x04.", headers=headers, timeout=30
        )
        assert answer.status_code == 415
        assert answer.json()["error"] == "unsupported_media_type"
        assert kind.split(";")[0].lower() in answer.json()["message"]


@pytest.mark.parametrize("path", [*sorted(METHODS), "/nowhere"])
def test_a_body_that_is_too_large_gets_413_on_every_route(services: dict[str, Serving], path: str) -> None:
    for method in METHODS.get(path, ("GET",)):
        body = b" " * (MAX_BODY_BYTES + 1)
        answer = requests.request(method, services["prices"].url + path, data=body, timeout=30)
        assert answer.status_code == 413
        assert "expected a body of at most 8,388,608 bytes" in answer.json()["message"]
        assert requests.get(services["prices"].url + "/readyz", timeout=30).status_code == 200


def test_a_body_without_a_length_has_the_same_limit(services: dict[str, Serving]) -> None:
    connection = http.client.HTTPConnection(urlsplit(services["prices"].url).netloc, timeout=30)
    parts = (b" " * 2**20 for _ in range(9))
    connection.request("POST", "/predict", parts, {"Content-Type": "application/json"}, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["error"]) == (413, "too_large")
    connection.close()
