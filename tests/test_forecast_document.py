"""What the OpenAPI document says of forecasts and observations, asked by schemathesis of a running service."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from forecasts import floor_hour, released
from schemathesis import GenerationMode

from bento.pages import FORECAST_METHODS
from bento.process import free_port, service_environment, started
from perennial.live.sign import key_pair
from tests import document_cases

NOW = floor_hour(datetime.now(UTC))
STATUSES = {200, 400, 413, 422}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("forecast")
    key = key_pair(folder / "keys")
    released(folder / "releases", key, NOW)
    with started(service_environment(folder / "releases", "load", key.public_path), free_port()) as running:
        yield running.url


def cases(url: str, path: str, mode: GenerationMode, count: int) -> Counter[int]:
    """How often `count` cases got which status; fails on an answer that breaks the document."""

    def judge(answer: Any) -> None:
        """The schema cannot say that an origin lies on a step, nor that years are those of our time."""
        assert answer.status_code in STATUSES

    return document_cases.cases(url, path, mode, count, judge)


@pytest.mark.parametrize("path", sorted(FORECAST_METHODS))
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_answers_are_what_the_document_says(url: str, path: str, mode: GenerationMode) -> None:
    found = cases(url, path, mode, 20)
    assert found.total() >= 20
    if mode is GenerationMode.NEGATIVE:
        assert found[400] > 0


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_thousands_of_cases_get_no_500(url: str, tell: Callable[[str], None]) -> None:
    begun = time.monotonic()
    found: Counter[int] = Counter()
    for path in FORECAST_METHODS:
        for mode in GenerationMode:
            found += cases(url, path, mode, 1000)
    told = ", ".join(f"{count:,} x {status}" for status, count in sorted(found.items()))
    took = time.monotonic() - begun
    tell(f"forecasts and observations: {found.total():,} cases in {took:.0f} s: {told}")
    assert found.total() >= 4_000
    assert set(found) <= STATUSES


@pytest.mark.parametrize("path", sorted(FORECAST_METHODS))
def test_the_routes_keep_to_what_all_routes_keep_to(url: str, path: str) -> None:
    pickled = requests.post(url + path, b"x", headers={"Content-Type": "application/x-pickle"}, timeout=30)
    assert pickled.status_code == 415
    assert requests.get(url + path, timeout=30).status_code == 405
    huge = requests.post(url + path, b" " * (9 * 2**20), timeout=30)
    assert (huge.status_code, huge.json()["error"]) == (413, "too_large")
    assert path in requests.get(url + "/", timeout=30).json()["paths"]
