"""The catalogue as a whole, by name."""

from __future__ import annotations

from perennial.errors import UnknownNameError
from perennial.live.catalogue.edge import EDGE
from perennial.live.catalogue.metric import Metric
from perennial.live.catalogue.service import SERVICE

CATALOGUE = {metric.name: metric for metric in (*SERVICE, *EDGE)}
SERIES = {name: metric for metric in CATALOGUE.values() for name in metric.series}


def metric_of(series: str) -> Metric:
    """The metric that a series' name belongs to; raises UnknownNameError.

    >>> metric_of("perennial_request_seconds_bucket").kind
    'histogram'
    """
    if series not in SERIES:
        raise UnknownNameError("metric", series, SERIES)
    return SERIES[series]
