"""The OpenAPI document of the service, its request schema generated from the contract of the release."""

from __future__ import annotations

from typing import Any

from bento.asked import ID, ID_RULE
from bento.state import Ready
from perennial.live.predict import bound_names
from perennial.live.rows import request_schema

FORMS = (
    "One row or many, in one form: `rows` is a list of objects. For convenience a bare list is read as "
    "`rows`, and an object with none of the fields `rows`, `prediction_id`, `prediction_ids` as one row. "
    "A row holds exactly the contract's features; numbers must be finite, and no key may stand twice."
)
IDS = (
    f"Every answer has a prediction id, by which the truth is joined to it later. Send your own ({ID_RULE}) "
    "as `prediction_id`, or in the header `X-Prediction-Id`; otherwise one is made. The one row of a request "
    "has the request's id; of several rows each has it with `-0`, `-1` and so on behind, unless "
    "`prediction_ids` names one per row."
)
REFUSALS = {
    "400": "The body breaks the contract; `violations` holds every problem (the first 1,000) with its "
    "row and field.",
    "413": "Too many rows, or too large a body.",
    "415": "The body is not plain JSON.",
    "503": "No release answers here; `message` says why.",
    "500": "A fault of the service.",
}


def document(ready: Ready | None) -> dict[str, Any]:
    """The OpenAPI document; where nothing is ready, a row is any object and the description says so."""
    if ready is None:
        title, version, note = "perennial", "none", " No release answers here at the moment; see /readyz."
        row: dict[str, Any] = {"type": "object"}
        rows = 1000
    else:
        manifest = ready.bundle.manifest
        title, version = manifest.system, manifest.version
        note = (
            f" Answers: {manifest.target}{f' in {manifest.unit}' if manifest.unit not in ('', '1') else ''}."
        )
        row, rows = request_schema(ready.bundle.contract), ready.max_rows
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": f"Predictions by {title} {version}.{note}",
        },
        "paths": _paths(),
        "components": {"schemas": _schemas(row, rows, ready)},
    }


def _paths() -> dict[str, Any]:
    id_header = {"description": "The request's prediction id", "schema": {"type": "string"}}
    names = {
        "X-Model-Name": {"description": "The system that answered", "schema": {"type": "string"}},
        "X-Model-Version": {"description": "The release that answered", "schema": {"type": "string"}},
    }
    error = {"application/json": {"schema": _ref("Error")}}
    not_ready = {"503": {"description": REFUSALS["503"], "content": error}}
    return {
        "/predict": {
            "post": {
                "operationId": "predict",
                "summary": "Predict for one row or many.",
                "description": f"{FORMS}\n\n{IDS}",
                "parameters": [
                    {
                        "name": "X-Prediction-Id",
                        "in": "header",
                        "required": False,
                        "description": "The caller's own id of this request",
                        "schema": _ref("PredictionId"),
                    }
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": _ref("Request")}},
                },
                "responses": {
                    "200": {
                        "description": "One prediction per row, in the rows' order.",
                        "headers": {**names, "X-Prediction-Id": id_header},
                        "content": {"application/json": {"schema": _ref("Answer")}},
                    },
                    **{code: {"description": text, "content": error} for code, text in REFUSALS.items()},
                },
            }
        },
        "/model": {"get": _get("model", "What the model says about itself.", "Object", not_ready)},
        "/readyz": {
            "get": _get(
                "readyz", "Whether the golden rows were answered as they must be.", "Ready", not_ready
            )
        },
        "/livez": {"get": _plain("livez", "Whether the process runs.")},
        "/healthz": {"get": _plain("healthz", "The same as /livez.")},
        "/metrics": {"get": _plain("metrics", "Counters for Prometheus.")},
        "/docs.json": {"get": _get("docs", "This document.", "Object", {})},
        "/": {"get": _get("index", "The paths that there are.", "Object", {})},
    }


def _schemas(row: dict[str, Any], max_rows: int, ready: Ready | None) -> dict[str, Any]:
    rows = {"type": "array", "items": _ref("Row"), "minItems": 1, "maxItems": max_rows}
    ids = {"type": "array", "items": _ref("PredictionId"), "minItems": 1, "uniqueItems": True}
    return {
        "Row": row,
        "Rows": {
            "type": "object",
            "required": ["rows"],
            "additionalProperties": False,
            "properties": {"rows": rows, "prediction_id": _ref("PredictionId"), "prediction_ids": ids},
        },
        "Request": {"anyOf": [_ref("Rows"), _ref("Row"), rows]},
        "PredictionId": {"type": "string", "pattern": f"^{ID.pattern}$"},
        "Prediction": _prediction(ready),
        "Answer": _object(
            model={"type": "string"},
            version={"type": "string"},
            prediction_id={"type": "string"},
            predictions={"type": "array", "items": _ref("Prediction")},
        ),
        "Ready": _object(ready={"const": True}, model={"type": "string"}, version={"type": "string"}),
        "Object": {"type": "object"},
        "Error": _object(
            error={"type": "string"},
            message={"type": "string", "description": "One sentence: what was expected, what was found."},
            violations={"type": "array", "items": _ref("Violation")},
        ),
        "Violation": _object(
            row={"type": ["integer", "null"], "description": "Which row, from 0."},
            field={"type": ["string", "null"]},
            problem={"type": "string"},
        ),
    }


def _prediction(ready: Ready | None) -> dict[str, Any]:
    common = {
        "flag": {"type": "string", "description": "What to know about this answer; empty where nothing."},
        "prediction_id": {"type": "string"},
    }
    if ready is None:
        return {"type": "object", "properties": common}
    rule = ready.bundle.rule
    if rule.task == "classification":
        share = {"type": "number", "minimum": 0, "maximum": 1}
        probabilities = _object(**dict.fromkeys(rule.classes, share))
        return _object(
            prediction={"type": "string", "enum": list(rule.classes)}, probabilities=probabilities, **common
        )
    number = {"type": "number", "description": rule.unit}
    bound = {"type": ["number", "null"], "description": rule.unit}
    return _object(prediction=number, **dict.fromkeys(bound_names(rule), bound), **common)


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _get(operation: str, summary: str, schema: str, others: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(schema)}}
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": content}, **others},
    }


def _plain(operation: str, summary: str) -> dict[str, Any]:
    return {"operationId": operation, "summary": summary, "responses": {"200": {"description": summary}}}
