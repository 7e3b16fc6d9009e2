"""What the agent on a device shows at `/metrics`."""

from __future__ import annotations

from perennial.live.catalogue.metric import Metric

EDGE = (
    Metric("perennial_edge_ready", "gauge", "Whether a release answers", unit="0 or 1"),
    Metric(
        "perennial_edge_model_info",
        "gauge",
        "1 for the release that answers",
        ("system", "version", "slot"),
        "0 or 1",
    ),
    Metric(
        "perennial_edge_model_age_seconds",
        "gauge",
        "Time since the release that answers was built",
        unit="seconds",
    ),
    Metric(
        "perennial_edge_contact_age_seconds",
        "gauge",
        "Time since the source last told what serves",
        unit="seconds",
    ),
    Metric("perennial_edge_stale", "gauge", "Whether the source told nothing for too long", unit="0 or 1"),
    Metric(
        "perennial_edge_ledger_head",
        "gauge",
        "Number of the newest ledger entry that was accepted",
        unit="entries",
    ),
    Metric("perennial_edge_on_trial", "gauge", "Whether the release that answers is on trial", unit="0 or 1"),
    Metric("perennial_edge_state_kept", "gauge", "Whether the disk took the newest state", unit="0 or 1"),
    Metric("perennial_edge_pulls_total", "counter", "Looks at the source, by outcome", ("outcome",), "looks"),
    Metric(
        "perennial_edge_returns_total",
        "counter",
        "Releases that failed on trial and were given up",
        unit="releases",
    ),
    Metric(
        "perennial_edge_requests_total", "counter", "Requests answered, by status", ("status",), "requests"
    ),
    Metric("perennial_edge_rows_total", "counter", "Rows answered", unit="rows"),
    Metric(
        "perennial_edge_forecasts_total",
        "counter",
        "Forecasts, by the rung of the ladder that answered",
        ("rung",),
        "forecasts",
    ),
    Metric(
        "perennial_edge_request_seconds_total",
        "counter",
        "Time from requests to their answers",
        unit="seconds",
    ),
    Metric("perennial_edge_queue_rows", "gauge", "Journal rows that wait to be sent", unit="rows"),
    Metric("perennial_edge_queue_bytes", "gauge", "Bytes of the journal rows that wait", unit="bytes"),
    Metric(
        "perennial_edge_queue_age_seconds",
        "gauge",
        "Age of the oldest journal row that waits",
        unit="seconds",
    ),
    Metric(
        "perennial_edge_queue_dropped_total",
        "counter",
        "Journal rows given up because the queue was full",
        unit="rows",
    ),
    Metric(
        "perennial_edge_queue_refused_total",
        "counter",
        "Journal rows that the receiver turned away",
        unit="rows",
    ),
    Metric("perennial_edge_queue_sent_total", "counter", "Journal rows that the receiver took", unit="rows"),
    Metric(
        "perennial_edge_queue_lost_total", "counter", "Journal rows that the disk did not take", unit="rows"
    ),
    Metric("perennial_edge_upload_failures", "gauge", "Failed uploads in a row", unit="uploads"),
    Metric("process_resident_memory_bytes", "gauge", "Memory in use", unit="bytes"),
)
