"""The typed form of the `promotion` section: what a challenger must pass."""

from __future__ import annotations

from typing import Literal

from perennial.config_section import Section, Share, option


class TooGood(Section):
    """A value beyond which a metric is not believed, unless somebody has found out why."""

    metric: str = option(about="name of the metric")
    baseline: str = option(
        "", about="name of a baseline: the bound is then of the ratio to its value; none for the value itself"
    )
    bound: float = option(
        about="least value that is believed of a metric that ends in _error, greatest of one that ends in _score",
        unit="metric",
    )
    explained: str = option("", about="why a value beyond the bound is no leak; it then stops nothing")


class Promotion(Section):
    """The rules that a challenger must pass. All are switched on."""

    min_rows: int = option(100, about="fewest hold-out rows that evidence may rest on", unit="rows", ge=1)
    alpha: Share = option(0.05, about="significance level of every comparison", unit="1")
    floors: dict[str, float] = option({}, about="least value of a metric that ends in _score")
    ceilings: dict[str, float] = option({}, about="greatest value of a metric that ends in _error")
    champion: Literal["better", "not_worse"] = option(
        "not_worse", about="what a challenger must be, compared with the champion on the same unseen rows"
    )
    champion_margin: float = option(
        0.02,
        about="loss by which a challenger may trail and still count as not worse, of the champion's",
        unit="1",
        ge=0,
    )
    coverage_tolerance: Share = option(
        0.02,
        about="how far the coverage of a prediction interval may be from its level, beyond what its sampling error "
        "explains",
        unit="1",
    )
    calibration_error: float = option(
        0.1,
        about="greatest expected calibration error of class probabilities, beyond what its sampling error explains",
        unit="1",
        ge=0,
        le=1,
    )
    segment_margin: float = option(
        0.1,
        about="loss by which a challenger may trail the champion (or else the best baseline) in a segment, of theirs",
        unit="1",
        ge=0,
    )
    segment_rows: int = option(
        100, about="fewest unseen rows of a segment that is compared", unit="rows", ge=30
    )
    latency_ms: float = option(50.0, about="longest time to answer one row, median", unit="ms", gt=0)
    latency_p99_ms: float = option(
        250.0, about="longest time to answer one row, 99th percentile", unit="ms", gt=0
    )
    size_mb: float = option(500.0, about="largest model file that serves", unit="MB", gt=0)
    too_good: tuple[TooGood, ...] = option(
        (), about="metrics beyond which a model is not believed: a leak is likelier than such a gain"
    )
