"""What a service shows at `/metrics`."""

from __future__ import annotations

from perennial.live.catalogue.metric import Metric

RELEASE = ("model", "version")
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

SERVICE = (
    Metric(
        "perennial_requests_total",
        "counter",
        "Requests answered; paths that do not exist count as the endpoint other",
        ("endpoint", "status", *RELEASE),
        "requests",
    ),
    Metric(
        "perennial_request_seconds",
        "histogram",
        "Time from a request's first byte to its answer",
        ("endpoint",),
        "seconds",
        buckets=SECONDS,
    ),
    Metric("perennial_rows_total", "counter", "Rows answered", RELEASE, "rows"),
    Metric("perennial_ready", "gauge", "Whether all workers can answer", unit="0 or 1", over="livemin"),
    Metric(
        "perennial_release_info",
        "gauge",
        "1 for a release that answers in any worker, 0 for one that did before",
        (*RELEASE, "candidate"),
        "0 or 1",
        "livemax",
    ),
    Metric(
        "perennial_release_created_timestamp_seconds",
        "gauge",
        "When the oldest release that answers was built",
        ("model",),
        "seconds since 1970",
        "livemin",
    ),
    Metric(
        "perennial_release_current",
        "gauge",
        "Whether all workers answer with the newest release",
        unit="0 or 1",
        over="livemin",
    ),
    Metric(
        "perennial_swaps_total",
        "counter",
        "Releases that took another's place, counted by every worker",
        unit="swaps",
    ),
    Metric(
        "perennial_swap_failures_total",
        "counter",
        "Attempts to take a release that failed, counted by every worker",
        unit="attempts",
    ),
    Metric("perennial_journal_rows_total", "counter", "Predictions that are on disk", unit="rows"),
    Metric(
        "perennial_journal_unconfirmed_rows_total",
        "counter",
        "Predictions that were answered before they were on disk",
        unit="rows",
    ),
    Metric(
        "perennial_journal_lost_rows_total",
        "counter",
        "Predictions that never came to disk",
        unit="rows",
    ),
    Metric(
        "perennial_journal_lag_seconds",
        "gauge",
        "How long the oldest prediction waits for the disk",
        unit="seconds",
        over="livemax",
    ),
    Metric(
        "perennial_journal_down",
        "gauge",
        "Whether a worker cannot write the journal",
        unit="0 or 1",
        over="livemax",
    ),
    Metric(
        "perennial_arm_requests_total",
        "counter",
        "Requests during a trial, by the arm that answered",
        ("model", "arm"),
        "requests",
    ),
    Metric(
        "perennial_shadow_dropped_total",
        "counter",
        "Requests that the shadow did not see because it was behind",
        unit="requests",
    ),
    Metric(
        "perennial_challenger_failures_total",
        "counter",
        "Requests that the challenger of a trial failed at; its caller got the champion's answer",
        unit="requests",
    ),
    Metric(
        "perennial_challenger_trouble",
        "gauge",
        "Whether a worker cannot answer with the challenger of a trial",
        unit="0 or 1",
        over="livemax",
    ),
    Metric(
        "perennial_forecasts_total",
        "counter",
        "Forecasts answered, by the rung of the fallback ladder",
        ("rung",),
        "forecasts",
    ),
    Metric("perennial_observations_total", "counter", "Observations kept for forecasts", unit="rows"),
    Metric(
        "perennial_prediction_band_total",
        "counter",
        "Predicted numbers by the band of the model's hold-out answers that they fall in; each band held a tenth",
        (*RELEASE, "band"),
        "rows",
    ),
    Metric(
        "perennial_prediction_sum_total",
        "counter",
        "Sum of the predicted numbers without their sign, by sign",
        (*RELEASE, "sign"),
        "the target's unit",
    ),
    Metric(
        "perennial_prediction_class_total",
        "counter",
        "Predicted classes",
        (*RELEASE, "class"),
        "rows",
    ),
    Metric(
        "perennial_flagged_rows_total",
        "counter",
        "Rows whose answer carries a flag",
        RELEASE,
        "rows",
    ),
    Metric(
        "perennial_blank_rows_total",
        "counter",
        "Rows that could not be answered",
        RELEASE,
        "rows",
    ),
)
