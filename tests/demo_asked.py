"""A demo server, asked without following redirects."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import lxml.html
import pytest

from demo.process import running
from demo.world import World

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
WORLD = World(now=NOW)
BERLIN = ZoneInfo("Europe/Berlin")


class Got(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    """Asks without following redirects and without raising for statuses."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Got:
        at = urlsplit(self.url)
        connection = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
        try:
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return Got(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def set(self, **values: object) -> None:
        got = self.get("/_demo/world", "POST", json.dumps(values).encode())
        assert got.status == 200, got.text

    def stats(self) -> dict:
        return self.get("/_demo/stats").json


def rows_of(page: str) -> list[lxml.html.HtmlElement]:
    return [a for a in lxml.html.fromstring(page).cssselect("#resultats > a") if a.cssselect(".prix")]


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with running(WORLD) as url:
        yield Server(url)


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    usual = shared.get("/_demo/world").json
    shared.get("/_demo/stats", "DELETE")
    yield shared
    shared.set(**usual)
