"""The paths that there are, and what those say that only tell: the document, the model, whether it is ready."""

from __future__ import annotations

from typing import Any

from bento import openapi
from bento.answering import Answering
from bento.asked import Refused
from bento.router import trial_told
from bento.state import NotReady
from bento.watch import Standing

BENTOML_PATHS = frozenset(("/livez", "/healthz", "/metrics", "/schema.json"))
OWN_METHODS = {
    "/predict": ("POST",),
    "/truth": ("POST",),
    "/journal": ("POST",),
    "/model": ("GET",),
    "/readyz": ("GET",),
    "/docs.json": ("GET",),
    "/": ("GET",),
}
METHODS = {**OWN_METHODS, **dict.fromkeys(BENTOML_PATHS, ("GET",))}
FORECAST_METHODS = {"/forecast": ("POST",), "/observe": ("POST",)}
"""Of systems that forecast."""


def ready(state: Answering | NotReady) -> Answering:
    """What answers; raises Refused with 503 where nothing does."""
    if isinstance(state, NotReady):
        raise Refused(503, "not_ready", state.reason)
    return state


def page(path: str, standing: Standing) -> dict[str, Any]:
    """What a path tells of how a worker stands; raises Refused."""
    state = standing.state
    if path == "/docs.json":
        return openapi.document(None) if isinstance(state, NotReady) else state.document
    if path == "/readyz":
        return {
            "ready": True,
            **ready(state).names,
            "trouble": standing.trouble,
            **trial_told(standing),
        }
    if path == "/model":
        return ready(state).facts
    forecasts = isinstance(state, Answering) and state.plan is not None
    paths = sorted({**METHODS, **(FORECAST_METHODS if forecasts else {})})
    return {"paths": paths, "document": "/docs.json"}
