"""The pages' logic, in Streamlit's own test harness, on real bundles, a real service and a real database."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import Request, urlopen

import pytest
from streamlit.testing.v1 import AppTest

from bento.process import free_port, service_environment, serving
from dashboard.service import Away, Service
from dashboard.setting import arguments
from perennial.home import Home
from perennial.live import release, sign
from perennial.live.load import load_predictor
from perennial.live.predict import Predictor, json_rows
from perennial.live.sign import PUBLIC
from tests import releases
from tests.project import ROOT

CONFIG = str(ROOT / "configs" / "synthetic.yaml")
TOKEN = "a token that nobody may see, 0123456789".replace(" ", "-").replace(",", "")
NOWHERE = "http://127.0.0.1:9"
PATIENCE_S = 60


@pytest.fixture(scope="module", params=["prices", "kinds"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A state folder where a model of used prices, or of kinds of cars, stands in for `synthetic`."""
    return made(tmp_path_factory.mktemp("home"), request.param)


def made(folder: Path, kind: str) -> Home:
    found = Home(folder)
    key = sign.key_pair(found.keys)
    releases.promote(found.releases, key, releases.build(found.releases, key, kind, 1.0, "synthetic"))
    return found


@pytest.fixture(autouse=True)
def own_home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    name = next((n for n in ("home", "prices") if n in request.fixturenames), "")
    if name:
        monkeypatch.setenv("PERENNIAL_HOME", str(request.getfixturevalue(name).root))


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return made(tmp_path_factory.mktemp("prices"), "prices")


@pytest.fixture(scope="module")
def service(prices: Home) -> Iterator[str]:
    """A running service of `prices` that wants a token."""
    environment = service_environment(prices.releases, "synthetic", prices.keys / PUBLIC)
    with serving({**environment, "PERENNIAL_TOKEN_ADMIN": TOKEN}, free_port()) as url:
        yield url


def page(home: Home, name: str, *settings: str, service: str = NOWHERE) -> AppTest:
    """One page, drawn once."""
    words = arguments(settings, CONFIG, home.releases, service)
    source = f"from dashboard import {name}\nfrom dashboard.setting import read\n{name}.show(read({words!r}))"
    return AppTest.from_string(source, default_timeout=PATIENCE_S).run()


def said(drawn: AppTest) -> str:
    """All text of a page."""
    assert not drawn.exception, drawn.exception
    parts = (
        *(drawn.title, drawn.markdown, drawn.caption, drawn.info, drawn.warning, drawn.error),
        *(drawn.success, drawn.code, drawn.metric, drawn.expander),
    )
    texts = [f"{getattr(e, 'label', '')} {getattr(e, 'value', '')}" for part in parts for e in part]
    return "\n".join(texts).replace("\\", "")


def predictor(home: Home) -> Predictor:
    bundle = release.champion_bundle(home.releases, "synthetic", home.keys / PUBLIC)
    assert bundle is not None
    return load_predictor(bundle)


def field(drawn: AppTest, label: str) -> Any:
    """The field whose label begins so."""
    fields = (*drawn.number_input, *drawn.selectbox, *drawn.text_input)
    return next(f for f in fields if f.label.replace("\\", "").startswith(label))


def press(drawn: AppTest, label: str, place: int = 0) -> AppTest:
    return [b for b in drawn.button if b.label == label][place].click().run()


def sent(drawn: AppTest) -> dict[str, Any]:
    """The request that the page shows."""
    found: dict[str, Any] = json.loads(drawn.code[0].value)
    return found


def test_the_form_is_the_contract_and_answers_as_the_model_does(home: Home) -> None:
    drawn = page(home, "try_it")
    model = predictor(home)
    text = said(drawn)
    for column in model.bundle.contract.features:
        assert column.description in text
        assert field(drawn, column.name).value == model.bundle.golden["rows"][0][column.name]
    assert f"No service answers at `{NOWHERE}`" in text and "run.py serve" in text
    assert "0 to 1,000,000" in text and field(drawn, "mileage").label == "mileage (miles)"

    drawn = press(drawn, "Predict")
    row = model.bundle.golden["rows"][0]
    assert sent(drawn) == {"rows": [row]}
    answer, text = json_rows(model.answer_rows([row]))[0], said(drawn)
    assert "this page made the prediction itself" in text and "no journal" in text
    if "probabilities" in answer:
        assert drawn.metric[0].value == answer["prediction"]
    else:
        shown = float(drawn.metric[0].value.removesuffix(" GBP").replace(",", ""))
        assert shown == pytest.approx(answer["prediction"], rel=1e-4)
        assert "90 % interval: " in text


def test_what_is_missing_new_or_impossible_can_be_tried(home: Home) -> None:
    drawn = page(home, "try_it")
    field(drawn, "tax").set_value(None)
    field(drawn, "mileage").set_value(-5.0)
    drawn = press(drawn, "Predict")
    row = sent(drawn)["rows"][0]
    assert row["tax"] is None and row["mileage"] == -5.0
    assert "Mileage -5 is outside 0 to 1000000: treated as missing." in said(drawn)

    field(drawn, "year").set_value(None)
    drawn = press(drawn, "Predict")
    assert "expected a whole number, found null" in said(drawn) and len(drawn.error) == 1


def test_every_start_fills_the_form(home: Home) -> None:
    drawn = page(home, "try_it")
    start = field(drawn, "Start from")
    golden = predictor(home).bundle.golden["rows"]
    assert len(start.options) == len(golden) + 1
    drawn = start.select_index(3).run()
    assert sent(press(drawn, "Predict"))["rows"] == [golden[3]]
    drawn = field(drawn, "Start from").select_index(len(golden)).run()
    typical = sent(press(drawn, "Predict"))["rows"][0]
    reference = predictor(home).bundle.reference["features"]
    assert typical["mileage"] == reference["mileage"]["quantiles"][50]
    assert typical["fuel"] == max(reference["fuel"]["shares"], key=reference["fuel"]["shares"].get)


def test_the_service_is_asked_with_its_token_which_is_never_shown(
    prices: Home, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    drawn = press(page(prices, "try_it", "serve.tokens.admin=env:SHOP_TOKEN", service=service), "Predict")
    text = said(drawn)
    assert not drawn.warning and not drawn.error and not drawn.info
    row = predictor(prices).bundle.golden["rows"][0]
    answer = json_rows(predictor(prices).answer_rows([row]))[0]
    assert float(drawn.metric[0].value.removesuffix(" GBP").replace(",", "")) == pytest.approx(
        answer["prediction"], rel=1e-4
    )
    assert "v1, prediction " in text
    assert TOKEN not in text + str(drawn.main)

    drawn = press(page(prices, "try_it", service=service), "Predict")
    assert "expected Authorization: Bearer with a token of this service" in said(drawn)

    monkeypatch.delenv("SHOP_TOKEN")
    drawn = page(prices, "try_it", "serve.tokens.admin=env:SHOP_TOKEN", service=service)
    assert said(drawn).count("Expected the environment variable SHOP_TOKEN to hold a secret") == 1
    assert not drawn.button, "the page ends with its error"


def test_what_goes_wrong_is_one_sentence_without_a_trace(
    prices: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = "from dashboard.trouble import told\nwith told():\n    raise RuntimeError('whispered')"
    drawn = AppTest.from_string(source, default_timeout=PATIENCE_S).run()
    assert len(drawn.error) == 1 and "the cause is in its log" in said(drawn)
    assert "whispered" not in str(drawn.main) and "whispered" in caplog.text

    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    empty = page(Home(tmp_path), "try_it")
    assert len(empty.error) == 1 and "train it first with `python run.py train" in said(empty)
    broken = made(tmp_path / "broken", "prices")
    releases.damage(broken.releases, "synthetic", "v1", "contract.json")
    monkeypatch.setenv("PERENNIAL_HOME", str(broken.root))
    drawn = page(broken, "try_it")
    assert len(drawn.error) == 1 and "contract.json was changed after the bundle was signed" in said(drawn)


def test_a_new_release_is_shown_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = made(tmp_path, "prices")
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    drawn = page(home, "try_it")
    assert "synthetic v1" in said(drawn)
    key = sign.key_pair(home.keys)
    releases.promote(home.releases, key, releases.build(home.releases, key, "prices", 9.0, "synthetic"), 1)
    assert "synthetic v2" in said(drawn.run())


def test_a_release_that_comes_meanwhile_leaves_what_was_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = made(tmp_path, "prices")
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    drawn = page(home, "try_it")
    field(drawn, "mileage").set_value(4321.0)
    key = sign.key_pair(home.keys)
    releases.promote(home.releases, key, releases.build(home.releases, key, "prices", 9.0, "synthetic"), 1)
    drawn = press(drawn, "Predict")
    assert sent(drawn)["rows"][0]["mileage"] == 4321.0
    assert "v2 answers by now; the fields hold what stood in them before." in said(drawn)
    answer = predictor(home).answer_rows(sent(drawn)["rows"]).answers.prediction[0]
    shown = float(drawn.metric[0].value.removesuffix(" GBP").replace(",", ""))
    assert shown == pytest.approx(answer, rel=1e-4)
    assert "by now" not in said(page(home, "try_it"))


def test_the_service_of_another_system_gets_no_row(
    prices: Home, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_TOKEN_ADMIN", TOKEN)
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    home, other = Home(tmp_path), "synthetic-other"
    key = sign.key_pair(home.keys)
    releases.promote(home.releases, key, releases.build(home.releases, key, "prices", 1.0, other))

    def kept() -> list[Any]:
        with sqlite3.connect(prices.journal / "synthetic.sqlite") as journal:
            return journal.execute("SELECT count(*) FROM perennial_predictions").fetchall()

    with urlopen(
        _asking(f"{service}/predict", {"rows": predictor(prices).bundle.golden["rows"][:1]})
    ) as answer:
        before = (answer.status, kept())
    drawn = press(page(home, "try_it", f"system={other}", service=service), "Predict")
    assert f"Expected the service of {other} at {service}, found that of synthetic" in said(drawn)
    assert not drawn.metric and (200, kept()) == before


def _asking(url: str, body: dict[str, Any]) -> Request:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    return Request(url, json.dumps(body).encode(), headers)


class Elsewhere(BaseHTTPRequestHandler):
    """Sends everybody on to another address, and notes who came with a token."""

    tokens: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.tokens.append(self.headers.get("Authorization", ""))
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{self.server.server_port}/other")  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_a_token_goes_to_the_service_and_no_further() -> None:
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asking = Service(f"http://127.0.0.1:{server.server_port}", TOKEN)
        with pytest.raises(Away, match="no JSON"):
            asking.ready()
        server.shutdown()
    assert Elsewhere.tokens == [f"Bearer {TOKEN}"]
    assert TOKEN not in repr(asking)
