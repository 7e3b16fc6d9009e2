"""What a release needs to forecast, from its bundle: its system's plugin, its source and its features."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from perennial import systems
from perennial.config_web import WebSource
from perennial.errors import BundleError, UnknownNameError
from perennial.live.settings import sections
from perennial.systems import Followed, System

if TYPE_CHECKING:
    from perennial.config_features import Features
    from perennial.live.bundle import Bundle

SETTINGS = "config.json"
FAR = 1.0
"""How far beyond the range of the model's own answers, in widths of it, a value is believed."""
MARGIN = timedelta(days=7)


@dataclass(frozen=True)
class Plan:
    """How one release forecasts.

    Attributes:
        system: the plugin that makes rows.
        source: whose feeds the history is made of.
        features: the config's section.
        followed: the series that is forecast.
        low: the least value of it that is believed.
        high: the greatest.
        is_lively: whether the model's answers in training differed from each other.
        always: features that were hardly ever missing in training.
        follows: how far back forecasts count for the widths of intervals; 0 where they do not follow.
    """

    system: System
    source: WebSource
    features: Features | None
    followed: Followed
    low: float
    high: float
    is_lively: bool
    always: frozenset[str]
    follows: timedelta

    @property
    def reach(self) -> timedelta:
        """How far before an origin records may lie that still count."""
        return self.follows + self.followed.look_back + self.followed.steps * self.followed.step + MARGIN


def plan_of(bundle: Bundle) -> Plan | None:
    """The plan of a release; None where its system forecasts nothing.

    Raises:
        BundleError: where the config that it was trained with is of another version.
    """
    if SETTINGS not in bundle.manifest.files:
        return None
    try:
        system = systems.get(bundle.manifest.system)
    except UnknownNameError:
        return None
    if system.ahead is None or system.follows is None:
        return None
    source, features = _sections(bundle)
    if not isinstance(source, WebSource):
        return None
    followed = system.follows(source, features)
    low, high, is_lively = _believed(bundle)
    always = frozenset(
        name for name, profile in bundle.reference["features"].items() if profile["missing_share"] < 0.05
    )
    recent = bundle.rule.interval.recent if bundle.rule.interval else None
    follows = timedelta(days=recent.days if recent else 0.0)
    return Plan(system, source, features, followed, low, high, is_lively, always, follows)


def _sections(bundle: Bundle) -> tuple[Any, Any]:
    from pydantic import TypeAdapter, ValidationError

    from perennial.config import Source
    from perennial.config_features import Features

    found = sections(json.loads(bundle.read(SETTINGS)))
    try:
        source: Any = TypeAdapter(Source).validate_python(found.get("source"))
        features: Any = TypeAdapter(Features | None).validate_python(found.get("features"))
    except ValidationError as error:
        raise BundleError(
            bundle.path,
            f"expected {SETTINGS} of this version, found {error.error_count()} problems in it",
            "install the version of Perennial that built it",
        ) from None
    return source, features


def _believed(bundle: Bundle) -> tuple[float, float, bool]:
    """The range of values that are believed, and whether the model's answers differed."""
    told, target = bundle.reference["predictions"], bundle.contract.target
    least, most = told["minimum"], told["maximum"]
    if least is None or most is None:
        least, most = -float("inf"), float("inf")
    width = FAR * (most - least) if most > least else float("inf")
    low = max(least - width, -float("inf") if target.minimum is None else target.minimum)
    high = min(most + width, float("inf") if target.maximum is None else target.maximum)
    return low, high, most > least
