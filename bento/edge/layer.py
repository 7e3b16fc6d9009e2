"""What forecasts need on a device beside its own layer, and the sentence for a device that does not have it."""

from __future__ import annotations

import logging
from importlib import import_module

from bento.asked import Refused
from perennial.live.bundle import Bundle

logger = logging.getLogger("bento.edge")

LAYER = "requirements/edge-forecast.txt"
PACKAGES = ("pandas", "holidays", "msgspec", "pydantic", "sqlalchemy")


def missing() -> str:
    """The first package of the layer that cannot be imported, "" where all can; takes a second the first time."""
    for name in PACKAGES:
        try:
            import_module(name)
        except ImportError as error:
            logger.warning("%s cannot be imported: %s", name, error)
            return name
    return ""


def looks_ahead(bundle: Bundle) -> bool:
    """Whether a release seems to be of a system that forecasts, read from its contract alone.

    Its rows are numbers to come, each with the naive forecasts that were made from the same history.
    """
    has_baseline = any(column.role == "baseline" for column in bundle.contract.columns)
    return bundle.manifest.task == "regression" and has_baseline


def check(bundle: Bundle) -> None:
    """Return if the layer is there; raises Refused: 501 that names what lacks, 404 where nothing is forecast."""
    lacks = missing()
    if not lacks:
        return
    if not looks_ahead(bundle):
        raise nothing_forecast(bundle.manifest.system)
    raise Refused(
        501,
        "layer_missing",
        f"expected the packages of {LAYER} on this device, found no {lacks} that works; install them",
    )


def nothing_forecast(system: str) -> Refused:
    """The refusal for a system that forecasts nothing: status 404."""
    return Refused(
        404, "not_found", f"expected a system that forecasts, found {system}, which does not; see /predict"
    )
