"""The PromQL that rules and panels share, and the check that it names nothing but the catalogue's metrics."""

from __future__ import annotations

import re

from perennial.errors import InputError
from perennial.live.catalogue.names import metric_of

OWN = re.compile(r"(?<![\w:\"])((?:perennial|process)_\w+)(\{[^}]*\})?")
GIVEN = frozenset(("job", "instance", "le"))
"""Labels that Prometheus adds."""

SERVICE_JOB, EDGE_JOB = "perennial", "perennial-edge"
AGE = "perennial:release_age_seconds"
ERRORS = "perennial:request_errors:ratio_rate5m"
REQUESTS = "perennial:requests:rate5m"
P50 = "perennial:request_seconds:p50_5m"
P99 = "perennial:request_seconds:p99_5m"
FALLBACKS = "perennial:forecast_fallbacks:ratio_rate15m"
FLAGGED = "perennial:flagged_rows:ratio_rate30m"
MEAN = "perennial:prediction:mean1h"
BANDS = "perennial:prediction_band:share1h"
CLASSES = "perennial:prediction_class:share1h"

POSITIVE = 'perennial_prediction_sum_total{sign="positive"}'
NEGATIVE = 'perennial_prediction_sum_total{sign="negative"}'
PER_SERVICE = "by (job, instance)"
PER_RELEASE = "by (job, instance, model, version)"


def increase(metric: str, over: str, by: str) -> str:
    """How much a counter grew, summed."""
    return f"sum {by} (increase({metric}[{over}]))"


def share(part: str, whole: str) -> str:
    """A part of a whole, 0 where there is a whole and no part; nothing where there is no whole."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


RECORDED = {
    REQUESTS: "sum by (job, instance, endpoint) (rate(perennial_requests_total[5m]))",
    ERRORS: share(
        f'sum {PER_SERVICE} (rate(perennial_requests_total{{status=~"5.."}}[5m]))',
        f"sum {PER_SERVICE} (rate(perennial_requests_total[5m]))",
    ),
    **{
        name: f"histogram_quantile({quantile}, "
        "sum by (job, instance, endpoint, le) (rate(perennial_request_seconds_bucket[5m])))"
        for name, quantile in ((P50, 0.5), (P99, 0.99))
    },
    AGE: "time() - perennial_release_created_timestamp_seconds",
    FALLBACKS: share(
        increase('perennial_forecasts_total{rung!~"champion|challenger"}', "15m", PER_SERVICE),
        increase("perennial_forecasts_total", "15m", PER_SERVICE),
    ),
    FLAGGED: share(
        increase("perennial_flagged_rows_total", "30m", PER_RELEASE),
        increase("perennial_rows_total", "30m", PER_RELEASE),
    ),
    MEAN: f"({increase(POSITIVE, '1h', PER_RELEASE)} - {increase(NEGATIVE, '1h', PER_RELEASE)})"
    f" / ({increase('perennial_prediction_band_total', '1h', PER_RELEASE)} > 0)",
    **{
        name: f"{increase(metric, '1h', f'by (job, instance, model, version, {label})')}"
        f" / on (job, instance, model, version) group_left () ({increase(metric, '1h', PER_RELEASE)} > 0)"
        for name, metric, label in (
            (BANDS, "perennial_prediction_band_total", "band"),
            (CLASSES, "perennial_prediction_class_total", "class"),
        )
    },
}
"""What is computed once for every rule and panel, by its name."""


def checked(query: str) -> str:
    """The query; raises InputError where it names a metric or a label that the catalogue does not have."""
    for recorded in re.findall(r"perennial:[\w:]+", query):
        if recorded not in RECORDED:
            raise InputError(f"expected a recorded name, found {recorded!r} in {query}")
    for name, selector in OWN.findall(query):
        metric = metric_of(name)
        found = set(re.findall(r"(\w+)\s*(?:=|!)", selector))
        if wrong := found - set(metric.labels) - GIVEN:
            raise InputError(
                f"expected {name} to be told apart by {', '.join(metric.labels)}, found {min(wrong)!r}"
            )
    return query
