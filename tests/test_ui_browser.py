"""`run.py ui` as a person sees it: in a real browser, beside a real service, and gone when it is stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from bento.process import free_port, service_environment, serving
from commands.ui import cli
from perennial.errors import InputError
from perennial.home import Home
from perennial.live import sign
from perennial.live.report.page import DARK, LIGHT
from tests.browser import CHROMIUM, browsing
from tests.project import ROOT
from tests.test_ui import CONFIG, TOKEN, made, predictor

COLOUR = "getComputedStyle(document.querySelector('.stApp')).backgroundColor"
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return made(tmp_path_factory.mktemp("home"), "prices")


@contextmanager
def shown(home: Home, service: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address and the process of the page, which is stopped with the block."""
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "run.py", "ui", "--config", CONFIG, "--port", str(port), "--service", service),
            *("--set", "serve.tokens.predict=env:SHOP_TOKEN"),
        ],
        cwd=ROOT,
        env={**os.environ, "PERENNIAL_HOME": str(home.root), "SHOP_TOKEN": TOKEN},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"the page of synthetic is at http://127.0.0.1:{port}, ")
        assert "started" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}", process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}")
def test_a_person_tries_a_prediction_in_a_browser(home: Home, tmp_path: Path) -> None:
    environment = service_environment(home.releases, "synthetic", home.keys / sign.PUBLIC)
    tokens = {"PERENNIAL_TOKEN_PREDICT": TOKEN}
    with (
        serving({**environment, **tokens, "PERENNIAL_TOKEN_ADMIN": TOKEN[::-1]}, free_port()) as service,
        shown(home, service) as (url, process),
        browsing(tmp_path / "profile") as page,
    ):
        for scheme, colours in (("dark", DARK), ("light", LIGHT)):
            page.visit(url, "Try a prediction", "yearly road tax", scheme=scheme)
            red, green, blue = bytes.fromhex(colours["paper"][1:])
            assert page.run(COLOUR) == f"rgb({red}, {green}, {blue})"
        page.fill("mileage (miles)", "12345")
        page.click("Predict")
        text = page.await_text("90 % interval: ", "prediction ", '"mileage": 12345')
        asked = predictor(home).bundle.golden["rows"][0] | {"mileage": 12345.0}
        answer = predictor(home).answer_rows([asked]).answers.prediction[0]
        assert f"{answer:.5g}" in text.replace(",", "") or f"{answer:.0f}" in text.replace(",", "")
        with sqlite3.connect(home.journal / "synthetic.sqlite") as journal:
            kept = [row[0] for row in journal.execute("SELECT prediction_id FROM perennial_predictions")]
        assert len(kept) == 1 and f"v1, prediction {kept[0]}" in text

        page.visit(url + "/review", "names no table to score", width=420, height=900)
        assert page.run(OVERFLOW) <= 0, "a phone has no sideways scrolling"
        page.visit(url + "/forecast", "forecasts no series")
        asked_of = json.loads(
            page.run("JSON.stringify(performance.getEntriesByType('resource').map(e => e.name))")
        )
        assert asked_of and {urlsplit(name).netloc for name in asked_of} <= {urlsplit(url).netloc, ""}
        assert page.thrown == []
        assert TOKEN not in page.run("document.documentElement.outerHTML") + text
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
        assert "Traceback" not in rest and TOKEN not in rest, rest


def refused(home: Home, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setenv("PERENNIAL_HOME", str(home.root))
    result = CliRunner().invoke(cli, ["--config", CONFIG, *arguments])
    assert isinstance(result.exception, InputError), result
    return str(result.exception)


def test_what_cannot_be_listened_on_or_asked_is_refused_in_one_sentence(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert f"found 127.0.0.1:{port} in use" in refused(home, monkeypatch, "--port", port)
    assert "expected a loopback address, found 0.0.0.0" in refused(home, monkeypatch, "--host", "0.0.0.0")
    assert "expected an IP address" in refused(home, monkeypatch, "--host", "here")
    assert "expected the address of a service" in refused(home, monkeypatch, "--service", "ftp://x")
    with_password = refused(home, monkeypatch, "--service", "http://me:whispered@127.0.0.1:1")
    assert "without a password" in with_password and "whispered" not in with_password
    monkeypatch.setenv("PERENNIAL_TOKEN_PREDICT", TOKEN)
    open_road = refused(home, monkeypatch, "--service", "http://192.0.2.1:3000")
    assert "expected https for a token beyond loopback" in open_road and TOKEN not in open_road
