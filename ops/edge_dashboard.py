"""The dashboard of the devices."""

from __future__ import annotations

from ops.dashboard import Dashboard
from ops.panel import Panel
from ops.service_dashboard import HERE, OVER, per_second

NOW = (
    Panel("Can answer", ((f"min(perennial_edge_ready{HERE})", "ready"),), shows="yes", width=3),
    Panel("Stale", ((f"max(perennial_edge_stale{HERE})", "stale"),), shows="zero", width=3),
    Panel("Disk takes the state", ((f"min(perennial_edge_state_kept{HERE})", "kept"),), shows="yes", width=3),
    Panel("On trial", ((f"sum(perennial_edge_on_trial{HERE})", "devices"),), shows="stat", width=3),
    Panel(
        "Releases that answer",
        ((f"count by (system, version) (perennial_edge_model_info{HERE})", "{{system}} {{version}}"),),
        shows="name",
        width=4,
    ),
    Panel("Oldest model", ((f"max(perennial_edge_model_age_seconds{HERE})", "age"),), "s", "stat", width=4),
    Panel(
        "Longest without contact",
        ((f"max(perennial_edge_contact_age_seconds{HERE})", "age"),),
        "s",
        "stat",
        width=4,
    ),
)
ANSWERED = (
    Panel(
        "Requests",
        ((per_second("perennial_edge_requests_total", "status"), "{{status}}"),),
        "reqps",
        "stack",
    ),
    Panel("Rows", ((per_second("perennial_edge_rows_total", "instance"), "{{instance}}"),), "rowsps"),
    Panel(
        "Forecasts by rung",
        ((per_second("perennial_edge_forecasts_total", "rung"), "{{rung}}"),),
        "ops",
        "stack",
    ),
    Panel(
        "Mean time of an answer",
        (
            (
                f"{per_second('perennial_edge_request_seconds_total', 'instance')}"
                f" / ({per_second('perennial_edge_requests_total', 'instance')} > 0)",
                "{{instance}}",
            ),
        ),
        "s",
    ),
)
QUEUED = (
    Panel("Rows that wait", ((f"perennial_edge_queue_rows{HERE}", "{{instance}}"),), width=6),
    Panel("Bytes that wait", ((f"perennial_edge_queue_bytes{HERE}", "{{instance}}"),), "bytes", width=6),
    Panel(
        "Oldest row that waits", ((f"perennial_edge_queue_age_seconds{HERE}", "{{instance}}"),), "s", width=6
    ),
    Panel("Failed uploads in a row", ((f"perennial_edge_upload_failures{HERE}", "{{instance}}"),), width=6),
    Panel(
        "Rows that left the queue",
        tuple(
            (per_second(f"perennial_edge_queue_{what}_total", "instance"), f"{{{{instance}}}} {what}")
            for what in ("sent", "dropped", "refused", "lost")
        ),
        "rowsps",
        width=12,
    ),
)
PULLED = (
    Panel(
        "Looks at the source",
        ((f"sum by (outcome) (increase(perennial_edge_pulls_total{HERE}{OVER}))", "{{outcome}}"),),
    ),
    Panel("Releases given up", ((f"perennial_edge_returns_total{HERE}", "{{instance}}"),)),
    Panel("Ledger's head", ((f"perennial_edge_ledger_head{HERE}", "{{instance}}"),)),
    Panel(
        "Memory",
        (('process_resident_memory_bytes{job="perennial-edge", instance=~"$instance"}', "{{instance}}"),),
        "bytes",
    ),
)
EDGE = Dashboard(
    "perennial-edge",
    "Perennial: devices",
    "perennial_edge_ready",
    f"changes(perennial_edge_ledger_head{HERE}[1m]) > 0",
    {"Now": NOW, "Answers": ANSWERED, "Journal rows": QUEUED, "Releases": PULLED},
)
