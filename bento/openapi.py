"""The OpenAPI document of the service, its request schema generated from the contract of the release."""

from __future__ import annotations

from typing import Any

import msgspec

from bento.asked import ID, ID_RULE
from bento.forecast.document import forecast_paths, forecast_schemas
from bento.forecast.plan import Plan
from bento.received import MOST_ROWS, Upload
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
UNIT = f"Whom the request is for; read only while two models are on trial, and then {ID_RULE}"
REFUSALS = {
    "400": "The body breaks the contract; `violations` holds every problem (the first 1,000) with its "
    "row and field.",
    "413": "Too many rows, or too large a body.",
    "409": "The rows are of another system.",
    "415": "The body is not plain JSON.",
    "503": "No release answers here, or the journal cannot be written; `message` says why.",
    "500": "A fault of the service.",
}


def document(ready: Ready | None, plan: Plan | None = None) -> dict[str, Any]:
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
        "paths": _paths() | (forecast_paths(plan) if plan else {}),
        "components": {"schemas": _schemas(row, rows, ready) | (forecast_schemas(plan) if plan else {})},
    }


def _paths() -> dict[str, Any]:
    id_header = {"description": "The request's prediction id", "schema": {"type": "string"}}
    names = {
        "X-Model-Name": {"description": "The system that answered", "schema": {"type": "string"}},
        "X-Model-Version": {"description": "The release that answered", "schema": {"type": "string"}},
    }
    error = {"application/json": {"schema": _ref("Error")}}
    of_journal = {code: {"description": text, "content": error} for code, text in REFUSALS.items()}
    refusals = {code: refusal for code, refusal in of_journal.items() if code != "409"}
    always = {code: refusals[code] for code in ("413", "415")}
    not_ready = {"503": refusals["503"], **always}
    return {
        "/predict": {
            "post": {
                "operationId": "predict",
                "summary": "Predict for one row or many.",
                "description": f"{FORMS}\n\n{IDS}",
                "parameters": [
                    _header("X-Prediction-Id", "The caller's own id of this request", _ref("PredictionId")),
                    _header("X-Unit-Id", UNIT, {"type": "string"}),
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
                    **refusals,
                },
            }
        },
        "/truth": {
            "post": _told(
                "truth",
                "Say what really happened, by prediction id, or by time and key.",
                "Truths",
                "Recorded",
                refusals,
            )
        },
        "/journal": {"post": _told("journal", "Take what a device answered.", "Upload", "Taken", of_journal)},
        "/model": {"get": _get("model", "What the model says about itself.", "Object", not_ready)},
        "/readyz": {
            "get": _get(
                "readyz", "Whether the golden rows were answered as they must be.", "Ready", not_ready
            )
        },
        "/livez": {"get": _plain("livez", "Whether the process runs.", always)},
        "/healthz": {"get": _plain("healthz", "The same as /livez.", always)},
        "/metrics": {"get": _plain("metrics", "Counters for Prometheus.", always)},
        "/schema.json": {"get": _plain("schema", "BentoML's own schema.", always)},
        "/docs.json": {"get": _get("docs", "This document.", "Object", always)},
        "/": {"get": _get("index", "The paths that there are.", "Object", always)},
    }


def _schemas(row: dict[str, Any], max_rows: int, ready: Ready | None) -> dict[str, Any]:
    rows = {"type": "array", "items": _ref("Row"), "minItems": 1, "maxItems": max_rows}
    ids = {"type": ["array", "null"], "items": _ref("PredictionId"), "minItems": 1, "uniqueItems": True}
    own_id = {"anyOf": [_ref("PredictionId"), {"type": "null"}]}
    return {
        "Row": row,
        "Rows": {
            "type": "object",
            "required": ["rows"],
            "additionalProperties": False,
            "properties": {"rows": rows, "prediction_id": own_id, "prediction_ids": ids},
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
        "Ready": _object(
            {"trial": {"type": "object", "description": "the trial that runs, with its own `trouble`"}},
            ready={"const": True},
            model={"type": "string"},
            version={"type": "string"},
            trouble={
                "type": "string",
                "description": "why the newest release does not answer here; empty where it does",
            },
        ),
        **_journal_schemas(),
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


def _journal_schemas() -> dict[str, Any]:
    """What callers tell the journal, and what they are told."""
    count = {"type": "integer", "minimum": 0}
    texts = {"type": "array", "items": {"type": "string"}}
    row = {
        "type": "object",
        "required": ["truth"],
        "properties": {
            "truth": {"type": ["number", "string", "boolean"]},
            "prediction_id": {"type": "string"},
            "row": {"type": "integer", "minimum": 0},
            "time": {"type": "string", "format": "date-time"},
            "known_at": {"type": "string", "format": "date-time"},
            "source": {"type": "string"},
        },
    }
    rows = {"type": "array", "items": row, "maxItems": MOST_ROWS}
    together = {
        "type": "object",
        "required": ["rows"],
        "properties": {"rows": rows, "source": {"type": "string"}},
    }
    _, upload = msgspec.json.schema_components([Upload], ref_template="#/components/schemas/{name}")
    return {
        "Truths": {"anyOf": [together, rows]},
        "Recorded": _object(new=count, revised=count, repeated=count, pending=texts),
        "Taken": _object(taken=count),
        **upload,
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
    unanswered = f"{rule.unit}; null where the model's answer is beyond all numbers, which `flag` then says"
    number = {"type": ["number", "null"], "description": unanswered}
    bound = {"type": ["number", "null"], "description": rule.unit}
    return _object(prediction=number, **dict.fromkeys(bound_names(rule), bound), **common)


def _object(optional: dict[str, Any] | None = None, /, **properties: Any) -> dict[str, Any]:
    named = {**properties, **(optional or {})}
    return {"type": "object", "required": list(properties), "properties": named}


def _header(name: str, about: str, schema: dict[str, str]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": about, "schema": schema}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _get(operation: str, summary: str, schema: str, others: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(schema)}}
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": content}, **others},
    }


def _told(operation: str, summary: str, asked: str, answer: str, refusals: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(asked)}}
    return {
        **_get(operation, summary, answer, refusals),
        "requestBody": {"required": True, "content": content},
    }


def _plain(operation: str, summary: str, others: dict[str, Any]) -> dict[str, Any]:
    responses = {"200": {"description": summary}, **others}
    return {"operationId": operation, "summary": summary, "responses": responses}
