"""The service, asked over real HTTP: `bentoml serve` on a bundle that the real code built."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from releases import tables

from bento.process import Serving
from perennial.live.predict import Predictor, as_json_rows
from perennial.live.rows import request_schema
from tests.asking import JSON, ROW, ask, counted, holdout, is_refusal, key, post, predictor, releases, served

__all__ = ("key", "predictor", "releases", "served")


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
