"""The service, asked over real HTTP: `bentoml serve` on a bundle that the real code built."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import forecasts
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from releases import build, damage, promote, tables

from bento import state
from bento.answering import Answering
from bento.app import App
from bento.process import Serving, free_port, service_environment, started
from bento.watch import Standing, watching
from perennial.errors import PerennialError
from perennial.live import release
from perennial.live.load import load_predictor
from perennial.live.models import OnnxModel
from perennial.live.predict import Predictor, as_json_rows
from perennial.live.rows import request_schema
from perennial.live.sign import SigningKey, key_pair

ROOT = Path(__file__).parents[1]
ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}
JSON = {"Content-Type": "application/json"}


def loaded(environment: Any) -> Answering | state.NotReady:
    """What a worker with this environment answers with."""
    return watching(environment).standing.state


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


def test_one_row(served: Serving) -> None:
    status, headers, answer = post(served, {"rows": [ROW]})
    assert status == 200
    assert set(answer) == {"model", "version", "prediction_id", "predictions"}
    assert (answer["model"], answer["version"]) == ("prices", "v1")
    assert (headers["x-model-name"], headers["x-model-version"]) == ("prices", "v1")
    (prediction,) = answer["predictions"]
    assert set(prediction) == {"prediction", "prediction_low", "prediction_high", "flag", "prediction_id"}
    assert prediction["prediction_low"] < prediction["prediction"] < prediction["prediction_high"]
    assert prediction["prediction_id"] == answer["prediction_id"] == headers["x-prediction-id"]


def test_the_three_forms_of_a_request_are_one(served: Serving) -> None:
    answers = [post(served, value)[2]["predictions"] for value in ({"rows": [ROW]}, ROW, [ROW])]
    for (prediction,) in answers:
        del prediction["prediction_id"]
    assert answers[0] == answers[1] == answers[2]


def test_online_equals_batch(served: Serving, predictor: Predictor) -> None:
    rows = holdout()
    frame = tables("prices")[1].frame
    batch = as_json_rows(predictor.answer_columns({name: frame[name] for name in ROW}))
    together = post(served, {"rows": rows})[2]["predictions"]
    alone = [post(served, {"rows": [row]})[2]["predictions"][0] for row in rows[:40]]
    for i, expected in enumerate(batch):
        del expected["model_version"]
        assert {k: v for k, v in together[i].items() if k != "prediction_id"} == expected
        if i < len(alone):
            assert {k: v for k, v in alone[i].items() if k != "prediction_id"} == expected


def test_a_large_request_is_answered_as_small_ones_are(served: Serving) -> None:
    """Beyond a body size the answer is computed in a thread."""
    rows = [{**row, " " * 400: None} for row in holdout()]
    status, _, answer = post(served, {"rows": rows})
    assert (status, len(answer["violations"])) == (400, len(rows))
    body = json.dumps({"rows": holdout()}).encode() + b" " * 200_000
    large = ask(served, body)[2]["predictions"]
    small = post(served, {"rows": holdout()})[2]["predictions"]
    assert [p["prediction"] for p in large] == [p["prediction"] for p in small]


def test_the_callers_ids_come_back(served: Serving) -> None:
    for sent, headers in (
        ({"rows": [ROW], "prediction_id": "mine 1"}, {}),
        ({"rows": [ROW]}, {"X-Prediction-Id": "mine 1"}),
        (ROW, {"X-Prediction-Id": "mine 1"}),
        ({"rows": [ROW], "prediction_id": "mine 1"}, {"X-Prediction-Id": "mine 1"}),
    ):
        status, found, answer = post(served, sent, **headers)
        assert status == 200
        assert found["x-prediction-id"] == answer["prediction_id"] == "mine 1"
        assert answer["predictions"][0]["prediction_id"] == "mine 1"
    answer = post(served, {"rows": [ROW, ROW], "prediction_id": "b"})[2]
    assert [p["prediction_id"] for p in answer["predictions"]] == ["b-0", "b-1"]
    answer = post(served, {"rows": [ROW, ROW], "prediction_ids": ["x", "y"]})[2]
    assert [p["prediction_id"] for p in answer["predictions"]] == ["x", "y"]


def test_made_ids_differ(served: Serving) -> None:
    made = [post(served, ROW)[2]["prediction_id"] for _ in range(20)]
    assert len(set(made)) == 20


@pytest.mark.parametrize("bad", ["", "x" * 129, "a\nb", "é", 7, True, [], {}])
def test_an_unusable_id_is_refused(served: Serving, bad: Any) -> None:
    status, _, answer = post(served, {"rows": [ROW], "prediction_id": bad})
    assert status == 400
    assert answer["violations"][0]["field"] == "prediction_id"
    status, _, answer = post(served, {"rows": [ROW, ROW], "prediction_ids": ["ok", bad]})
    assert status == 400
    assert answer["violations"][0]["row"] == 1


def test_ids_that_contradict_each_other_are_refused(served: Serving) -> None:
    assert post(served, {"rows": [ROW], "prediction_id": "a"}, **{"X-Prediction-Id": "b"})[0] == 400
    assert post(served, {"rows": [ROW, ROW], "prediction_ids": ["a", "a"]})[0] == 400
    assert post(served, {"rows": [ROW], "prediction_ids": ["a", "b"]})[0] == 400
    status, headers, _ = post(served, {"rows": []}, **{"X-Prediction-Id": "mine"})
    assert (status, headers["x-prediction-id"]) == (400, "mine")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"year": "2015"}, "year"),
        ({"year": 2015.5}, "year"),
        ({"year": True}, "year"),
        ({"year": None}, "year"),
        ({"year": 10**400}, "year"),
        ({"year": [2015]}, "year"),
        ({"mileage": {}}, "mileage"),
        ({"fuel": 3}, "fuel"),
        ({"serviced": "yes"}, "serviced"),
        ({"serviced": 1}, "serviced"),
        ({"colour": "red"}, "colour"),
        ({"price": 1}, "price"),
        ({"odometer": 5}, "odometer"),
    ],
)
def test_a_wrong_value_is_named_by_row_and_field(served: Serving, change: dict[str, Any], field: str) -> None:
    status, headers, answer = post(served, {"rows": [ROW, {**ROW, **change}, ROW]})
    assert status == 400
    assert answer["error"] == "invalid_request"
    assert is_refusal(answer)
    assert [(v["row"], v["field"]) for v in answer["violations"]] == [(1, field)]
    assert headers["x-model-version"] == "v1"


def test_all_problems_are_told_at_once(served: Serving) -> None:
    answer = post(served, {"rows": [{"year": "x"}, {**ROW, "fuel": 1, "z": 2}]})[2]
    found = {(v["row"], v["field"]) for v in answer["violations"]}
    missing = {(0, name) for name in ("mileage", "fuel", "serviced", "tax")}
    assert found == {(0, "year"), *missing, (1, "fuel"), (1, "z")}


HOSTILE = {
    "nothing": b"",
    "blank": b" ",
    "cut": b'{"rows": [{"year": 20',
    "binary": bytes(range(256)),
    "latin": '{"rows": [{"fuel": "é"}]}'.encode("latin-1"),
    "utf-16": '{"rows": []}'.encode("utf-16"),
    "bom": b"\xef\xbb\xbf[]",
    "nan": json.dumps({"rows": [{**ROW, "mileage": float("nan")}]}).encode(),
    "infinity": json.dumps({"rows": [{**ROW, "mileage": float("-inf")}]}).encode(),
    "overflow": json.dumps({"rows": [ROW]}).replace("40000", "1e999").encode(),
    "digits": json.dumps({"rows": [ROW]}).replace("40000", "9" * 5000).encode(),
    "deep list": b"[" * 200_000,
    "deep object": b'{"a":' * 100_000,
    "deep row": b'{"rows":[' + b"[" * 50_000 + b"]" * 50_000 + b"]}",
    "null": b"null",
    "number": b"3",
    "text": b'"rows"',
    "empty list": b"[]",
    "empty object": b"{}",
    "rows null": b'{"rows": null}',
    "rows object": b'{"rows": {"year": 1}}',
    "rows of lists": b'{"rows": [[1, 2]]}',
    "rows of null": b'{"rows": [null]}',
    "key twice": b'{"rows": [{"year": 2015, "year": 2016}]}',
    "rows twice": b'{"rows": [], "rows": []}',
    "surrogate": b'{"rows": [{"fuel": "\\ud800", "\\udfff": 1}], "prediction_id": "\\ud800"}',
    "nul": b'{"rows": [{"fuel": "\\u0000"}]}',
    "two values": b"{} {}",
    "unknown beside": b'{"rows": [], "admin": true}',
    "only an id": b'{"prediction_id": "a"}',
    "pickle": b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
    "many keys": json.dumps({f"k{i}": i for i in range(20_000)}).encode(),
    "proto": b'{"__proto__": {"rows": 1}, "rows": [{"__class__": 1}]}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_gets_a_clear_refusal(served: Serving, name: str) -> None:
    status, _, answer = ask(served, HOSTILE[name])
    assert status == 400
    assert answer["error"] == "invalid_request"
    assert is_refusal(answer)
    assert "Traceback" not in answer["message"]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ROWS = st.fixed_dictionaries(
    {name: st.sampled_from([value] * 9 + [None, 10**400, -1, "", "x"]) for name, value in ROW.items()},
    optional={"colour": JSON_VALUES, "odometer": st.floats()},
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    JSON_VALUES.map(lambda value: json.dumps(value).encode()),
    st.builds(
        lambda rows, more: json.dumps({"rows": rows, **more}).encode(),
        st.lists(ROWS | JSON_VALUES, max_size=4),
        st.dictionaries(st.sampled_from(["prediction_id", "prediction_ids", "x"]), JSON_VALUES, max_size=2),
    ),
    st.lists(ROWS, min_size=1, max_size=3).map(lambda rows: json.dumps(rows).encode()),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_no_body_gets_a_500(served: Serving, body: bytes) -> None:
    status, _, answer = ask(served, body)
    assert status in (200, 400), answer
    if status == 200:
        assert all(p["prediction"] is not None for p in answer["predictions"])
    else:
        assert is_refusal(answer)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "error"),
    [
        ("GET", "/predict", JSON, 405, "method_not_allowed"),
        ("DELETE", "/predict", JSON, 405, "method_not_allowed"),
        ("PATCH", "/predict", JSON, 405, "method_not_allowed"),
        ("POST", "/model", JSON, 405, "method_not_allowed"),
        ("POST", "/metrics", JSON, 405, "method_not_allowed"),
        ("POST", "/nowhere", JSON, 404, "not_found"),
        ("GET", "/predict/", JSON, 404, "not_found"),
        ("GET", "/%ff%00/../x", JSON, 404, "not_found"),
        ("GET", "/static_content/swagger-ui.css", JSON, 404, "not_found"),
        ("POST", "/predict", {"Content-Type": "text/csv"}, 415, "unsupported_media_type"),
        (
            "POST",
            "/predict",
            {"Content-Type": "application/vnd.bentoml+pickle"},
            415,
            "unsupported_media_type",
        ),
        ("POST", "/predict", {**JSON, "Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        ("POST", "/predict", {**JSON, "X-Prediction-Id": "\xe9"}, 400, "invalid_request"),
    ],
)
def test_wrong_requests_have_their_own_status(
    served: Serving, method: str, path: str, headers: dict[str, str], status: int, error: str
) -> None:
    found, _, answer = ask(served, json.dumps(ROW).encode(), headers, path, method)
    assert (found, answer["error"]) == (status, error)
    assert is_refusal(answer)


def test_json_with_a_charset_is_json(served: Serving) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert ask(served, json.dumps(ROW).encode(), headers)[0] == 200
    assert ask(served, json.dumps(ROW).encode(), {})[0] == 200


def test_too_much_is_refused(served: Serving) -> None:
    assert post(served, {"rows": [ROW] * 100})[0] == 200
    status, _, answer = post(served, {"rows": [ROW] * 101})
    assert (status, answer["error"]) == (413, "too_large")
    status, _, answer = ask(served, b" " * (9 * 2**20))
    assert (status, answer["error"]) == (413, "too_large")
    assert post(served, ROW)[0] == 200


def test_readiness_liveness_and_facts(served: Serving, predictor: Predictor) -> None:
    assert ask(served, None, {}, "/livez", "GET")[0] == 200
    status, _, ready = ask(served, None, {}, "/readyz", "GET")
    assert (status, ready) == (200, {"ready": True, "model": "prices", "version": "v1", "trouble": ""})
    status, _, facts = ask(served, None, {}, "/model", "GET")
    assert status == 200
    assert (facts["model"], facts["version"], facts["target"], facts["unit"]) == (
        "prices",
        "v1",
        "price",
        "GBP",
    )
    assert facts["digest"] == predictor.bundle.digest
    assert facts["metrics"][0] == {
        "name": "some_error", "value": 1.0, "low": 0.5, "high": 1.5, "level": 0.95, "unit": "1"
    }  # fmt: skip
    assert [c["name"] for c in facts["contract"]] == [c.name for c in predictor.bundle.contract.columns]


def test_the_document_tells_the_truth(served: Serving, predictor: Predictor) -> None:
    status, _, document = ask(served, None, {}, "/docs.json", "GET")
    assert status == 200
    schemas = document["components"]["schemas"]
    assert schemas["Row"] == request_schema(predictor.bundle.contract)
    bodies = {
        "/truth": [{"prediction_id": "unknown", "truth": 1.0}],
        "/journal": {"device": "d", "system": predictor.bundle.manifest.system, "entries": []},
    }
    for path, operations in document["paths"].items():
        for method in operations:
            body = json.dumps(bodies.get(path, ROW)).encode()
            found = ask(served, body, JSON, path, method.upper())[0]
            assert found == 200, (method, path)
    references = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document))
    assert set(references) <= set(schemas)
    answer = post(served, ROW)[2]
    assert set(answer) == set(schemas["Answer"]["properties"])
    assert set(answer["predictions"][0]) == set(schemas["Prediction"]["properties"])
    refusal = post(served, [])[2]
    assert set(refusal) == set(schemas["Error"]["properties"])


def counted(served: Serving, name: str, **labels: str) -> float:
    page = ask(served, None, {}, "/metrics", "GET")[2].decode()
    total = 0.0
    for line in page.splitlines():
        if line.startswith(name + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return total


def test_metrics_count_what_was_answered(served: Serving) -> None:
    before = counted(served, "perennial_requests_total", endpoint="/predict", status="200")
    refused = counted(served, "perennial_requests_total", endpoint="/predict", status="400")
    rows = counted(served, "perennial_rows_total", model="prices", version="v1")
    for _ in range(7):
        post(served, [ROW, ROW])
    post(served, [])
    assert counted(served, "perennial_requests_total", endpoint="/predict", status="200") == before + 7
    assert counted(served, "perennial_requests_total", endpoint="/predict", status="400") == refused + 1
    assert counted(served, "perennial_rows_total", model="prices", version="v1") == rows + 14
    assert counted(served, "perennial_request_seconds_count", endpoint="/predict") >= before + 8


def test_made_up_paths_do_not_fill_the_metrics(served: Serving) -> None:
    for i in range(20):
        ask(served, None, {}, f"/made-up-{i}", "GET")
    page = ask(served, None, {}, "/metrics", "GET")[2].decode()
    assert "made-up" not in page
    assert counted(served, "perennial_requests_total", endpoint="other", status="404") >= 20


def test_the_list_of_problems_has_an_end(served: Serving) -> None:
    answer = post(served, {f"k{i}": i for i in range(3000)})[2]
    assert len(answer["violations"]) == 1000
    assert f"and {3000 + len(ROW) - 1:,} more" in answer["message"]


def call(app: App, body: bytes) -> tuple[int, Any]:
    """One request to an application in this process."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/predict", "method": "POST", "headers": []}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_a_fault_of_ours_is_a_500_without_its_trace(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    standing = Standing(Answering(state.Ready(predictor, 1000)))
    app = App(None, lambda: standing)  # type: ignore[arg-type]
    body = json.dumps(ROW).encode()
    assert call(app, body)[0] == 200

    def broken(model: OnnxModel, matrix: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(OnnxModel, "raw", broken)
    status, answer = call(app, body)
    assert (status, answer["error"]) == (500, "internal")
    assert is_refusal(answer)
    assert "secret" not in json.dumps(answer)
    assert "secret detail" in caplog.text
    monkeypatch.undo()
    assert call(app, body)[0] == 200


def test_golden_rows_are_replayed_before_it_is_ready(
    releases: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = service_environment(releases, "prices", key.public_path)
    assert isinstance(loaded(environment), Answering)
    real = OnnxModel.raw
    monkeypatch.setattr(OnnxModel, "raw", lambda model, matrix: real(model, matrix) + 0.01)
    found = loaded(environment)
    assert isinstance(found, state.NotReady)
    assert "golden rows are answered differently" in found.reason


def test_a_damaged_bundle_is_not_ready_and_says_why(releases: Path, key: SigningKey, tmp_path: Path) -> None:
    shutil.copytree(releases, tmp_path / "releases")
    folder = tmp_path / "releases" / "prices" / "bundles" / "v1"
    name = max((p for p in folder.iterdir() if p.is_file()), key=lambda p: p.stat().st_size).name
    damage(tmp_path / "releases", "prices", "v1", name)
    environment = service_environment(tmp_path / "releases", "prices", key.public_path)
    with pytest.raises(PerennialError, match=re.escape(name)), started(environment, free_port()):
        pass
    with started(environment, free_port(), ready=False) as served:
        status, _, answer = ask(served, None, {}, "/readyz", "GET")
        assert (status, answer["error"]) == (503, "not_ready")
        assert name in answer["message"]
        assert is_refusal(answer)
        assert post(served, ROW)[::2] == (503, answer)
        assert ask(served, None, {}, "/model", "GET")[0] == 503
        assert ask(served, None, {}, "/livez", "GET")[0] == 200
        assert ask(served, None, {}, "/docs.json", "GET")[0] == 200
        assert "perennial_ready 0.0" in ask(served, None, {}, "/metrics", "GET")[2].decode()
        assert served.process.poll() is None


def test_sigterm_ends_it_cleanly_with_all_workers(releases: Path, key: SigningKey) -> None:
    environment = service_environment(releases, "kinds", key.public_path, workers=2)
    with started(environment, free_port()) as served:
        answer = post(served, ROW)[2]
        (prediction,) = answer["predictions"]
        assert set(prediction["probabilities"]) == {"old", "young"}
        assert sum(prediction["probabilities"].values()) == pytest.approx(1)
        for _ in range(30):
            assert post(served, ROW)[0] == 200
        assert counted(served, "perennial_requests_total", endpoint="/predict", status="200") == 31
        children = psutil.Process(served.process.pid).children(recursive=True)
        workers = [child for child in children if "_bentoml_impl.worker.service" in child.cmdline()]
        assert len(workers) == 2
        assert all(worker.environ()["OMP_NUM_THREADS"] == "1" for worker in workers)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(15) == 0
        assert not any(worker.is_running() for worker in workers)
        assert "Traceback" not in served.log.read_text()


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    home = str(tmp_path)
    chosen = state.settings({"PERENNIAL_HOME": home})
    assert chosen.releases == tmp_path / "releases"
    assert chosen.public_key.parent == tmp_path / "keys"
    assert (chosen.system, chosen.max_rows) == (None, 1000)
    assert state.settings({"PERENNIAL_RELEASES": "/r", "PERENNIAL_MAX_ROWS": "5"}).max_rows == 5
    for bad in ("0", "-1", "x", "1.5", "²"):
        answer = loaded({"PERENNIAL_HOME": home, "PERENNIAL_MAX_ROWS": bad})
        assert isinstance(answer, state.NotReady)
        assert "PERENNIAL_MAX_ROWS" in answer.reason


def test_which_system_serves(releases: Path, key: SigningKey, tmp_path: Path) -> None:
    base = {"PERENNIAL_RELEASES": str(releases), "PERENNIAL_PUBLIC_KEY": str(key.public_path)}

    def reason(**changes: str) -> str:
        found = loaded({**base, **changes})
        assert isinstance(found, state.NotReady)
        return found.reason

    assert "PERENNIAL_SYSTEM to name one of kinds, prices" in reason()
    assert "did you mean 'prices'" in reason(PERENNIAL_SYSTEM="price")
    assert "expected a champion" in reason(PERENNIAL_RELEASES=str(tmp_path / "none"))
    shutil.copytree(releases / "kinds", tmp_path / "one" / "kinds")
    only = loaded({**base, "PERENNIAL_RELEASES": str(tmp_path / "one")})
    assert isinstance(only, Answering)
    assert only.names["model"] == "kinds"
    (tmp_path / "one" / "kinds" / "ledger" / "000001.json").write_text("{}")
    assert "000001.json" in reason(PERENNIAL_RELEASES=str(tmp_path / "one"))


HEAVY = ("zenml", "mlflow", "evidently", "pandas", "sklearn", "skops", "lightgbm", "scipy", "pyarrow")


def test_it_answers_without_training_libraries(releases: Path, key: SigningKey) -> None:
    """With the imports of everything outside the serve layer forbidden."""
    code = f"""
import importlib.abc, json, os, sys
class Forbidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"forbidden: {{name}}", name=name)
sys.meta_path.insert(0, Forbidden())
from bento.service import Predictor
found = Predictor().watch.standing.state.ready
answered = found.predictor.answer_rows([json.loads({json.dumps(json.dumps(ROW))})])
print(found.bundle.manifest.backend, float(answered.answers.prediction[0]))
from bentoml._internal.utils.analytics.usage_stats import do_not_track
print(do_not_track())
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    environment = {**os.environ, **service_environment(releases, "prices", key.public_path)}
    del environment["BENTOML_DO_NOT_TRACK"]
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[-3].startswith("onnx ")
    assert lines[-2:] == ["True", ""]


@pytest.mark.torture
def test_it_serves_from_an_environment_of_the_serve_layer(
    releases: Path, key: SigningKey, tmp_path: Path
) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not installed")
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True)
    lock = ROOT / "requirements" / "serve.txt"
    install = [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock]
    subprocess.run(install, check=True)
    listed = subprocess.run(
        [uv, "pip", "list", "--python", python], capture_output=True, text=True, check=True
    )
    light = {"pandas"}  # for the features of forecasts
    assert not (set(HEAVY) - light) & {line.split(" ")[0] for line in listed.stdout.splitlines()}
    environment = service_environment(releases, "prices", key.public_path)
    with started(environment, free_port(), python=str(python)) as served:
        assert post(served, ROW)[0] == 200
    origin = datetime(2026, 3, 2, tzinfo=UTC)
    forecasts.released(tmp_path / "loads", key, origin)
    environment = service_environment(tmp_path / "loads", "load", key.public_path)
    history = forecasts.sent(forecasts.past(origin), load="load_mw", weather="temperature_c")
    with started(environment, free_port(), python=str(python)) as served:
        body = json.dumps({"origin": origin.isoformat(), "history": history}).encode()
        status, _, answer = ask(served, body, JSON, "/forecast")
    assert (status, answer["quality"], answer["reason"]) == (200, "champion", "")
