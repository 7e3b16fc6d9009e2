"""What the OpenAPI document says of `/forecast` and `/observe`, made from the feeds of the release."""

from __future__ import annotations

from typing import Any

from bento.forecast.ladder import CHALLENGER, RUNGS
from bento.forecast.plan import Plan
from bento.forecast.readings import LONGEST_TEXT, TIME
from bento.forecast.request import MOST_ROWS
from perennial.config_web import Feed, FieldRule

ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
REFUSALS = {
    "400": "The body is not what it should be; `violations` holds every problem.",
    "413": "Too many rows, or too large a body.",
    "415": "The body is not plain JSON.",
    "503": "No release answers here, or what was observed cannot be read or written.",
    "500": "A fault of the service.",
}
NO_HISTORY = {"422": "No rung of the ladder answers: `message` says what each of them lacks."}
TYPES: dict[str, dict[str, Any]] = {
    "number": {"type": "number"},
    "integer": {"type": "integer", "minimum": -(2**53), "maximum": 2**53},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
}


def forecast_paths(plan: Plan) -> dict[str, Any]:
    """The two routes of a system that forecasts."""
    feeds = ", ".join(plan.source.feeds)
    forecast = (
        f"Forecasts {plan.system.title}. Without `history` what was sent to /observe counts, with it that alone. "
        f"Nothing that became known after `origin` is used. `quality` says which rung of the ladder answered: "
        f"{', '.join(RUNGS)} (or, during a trial, {CHALLENGER}); `reason` why none above it did."
    )
    observe = (
        f"Keeps rows of one feed ({feeds}) for forecasts. Rows may come again, and values may be revised; `{TIME}` "
        "stands for the field that says when a row happened."
    )
    return {
        "/forecast": _post("forecast", forecast, "Forecast", "Forecasted", NO_HISTORY),
        "/observe": _post("observe", observe, "Observations", "Observed", {}),
    }


def forecast_schemas(plan: Plan) -> dict[str, Any]:
    """What their bodies and answers look like."""
    feeds = plan.source.feeds
    rows = {
        name: {"type": "array", "items": _row(feed), "maxItems": MOST_ROWS} for name, feed in feeds.items()
    }
    count = {"type": "integer", "minimum": 0}
    own_id = {"anyOf": [{"$ref": "#/components/schemas/PredictionId"}, {"type": "null"}]}
    prediction = {"$ref": "#/components/schemas/Prediction"}
    time = {"type": "object", "required": ["time"], "properties": {"time": {"type": "string"}}}
    return {
        "Forecast": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "origin": {"type": ["string", "null"], "format": "date-time"},
                "horizon": {"type": ["integer", "null"], "minimum": 1, "maximum": plan.followed.steps},
                "history": {
                    "type": ["object", "null"],
                    "additionalProperties": False,
                    "properties": rows,
                },
                "prediction_id": own_id,
            },
        },
        "Forecasted": _all(
            model={"type": "string"},
            version={"type": "string"},
            prediction_id={"type": "string"},
            origin={"type": "string"},
            quality={"type": "string", "enum": [CHALLENGER, *RUNGS]},
            reason={"type": "string"},
            predictions={"type": "array", "items": {"allOf": [time, prediction]}},
        ),
        "Observations": {
            "anyOf": [
                {
                    "type": "object",
                    "required": ["feed", "rows"],
                    "additionalProperties": False,
                    "properties": {"feed": {"const": name}, "rows": rows[name]},
                }
                for name in feeds
            ]
        },
        "Observed": _all(
            feed={"type": "string"},
            **dict.fromkeys(("new", "revised", "repeated", "unfinished", "out_of_reach"), count),
            left_out={"type": "array", "items": {"$ref": "#/components/schemas/Violation"}},
        ),
    }


def _row(feed: Feed) -> dict[str, Any]:
    """A row of a feed; a number beyond its range is no mistake of the caller: it counts as missing."""
    fields = {name: _field(rule) for name, rule in feed.fields.items()}
    row: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": fields}
    needed = {*feed.key, *([feed.event_time] if feed.event_time else ())}
    if feed.event_time and TIME not in fields:
        own = {name: rule for name, rule in fields.items() if name != feed.event_time}
        short = {**row, "properties": {TIME: TYPES["time"], **own}}
        needed_short = sorted({TIME, *(needed - {feed.event_time})})
        return {"anyOf": [{**short, "required": needed_short}, {**row, "required": sorted(needed)}]}
    return {**row, "required": sorted(needed)}


def _field(rule: FieldRule) -> dict[str, Any]:
    kind = TYPES.get(rule.parse, {"type": "string", "maxLength": LONGEST_TEXT})
    told = {"description": rule.unit} if rule.unit else {}
    return {"anyOf": [{**kind, **told}, {"type": "null"}]}


def _all(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _post(name: str, about: str, asked: str, answer: str, more: dict[str, str]) -> dict[str, Any]:
    def content(schema: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}

    refusals = {code: {"description": text, "content": ERROR} for code, text in {**REFUSALS, **more}.items()}
    summary, _, description = about.partition(". ")
    return {
        "post": {
            "operationId": name,
            "summary": f"{summary}.",
            "description": description,
            "requestBody": {"required": name != "forecast", "content": content(asked)},
            "responses": {"200": {"description": summary, "content": content(answer)}, **refusals},
        }
    }
