"""The dashboard of the services."""

from __future__ import annotations

from ops.dashboard import Dashboard
from ops.panel import Panel
from ops.queries import (
    AGE,
    BANDS,
    CLASSES,
    EDGE_JOB,
    ERRORS,
    FALLBACKS,
    FLAGGED,
    MEAN,
    P50,
    P99,
    REQUESTS,
)

HERE = '{instance=~"$instance"}'
FIRING = f'alertname=~"Perennial.*", alertstate="firing", job!="{EDGE_JOB}", instance=~"$instance"'
OVER = "[$__rate_interval]"


def per_second(metric: str, by: str) -> str:
    """How often a counter is counted up in a second, by labels."""
    return f"sum by ({by}) (rate({metric}{HERE}{OVER}))"


NOW = (
    Panel("Can answer", ((f"min(perennial_ready{HERE})", "ready"),), shows="yes", width=3),
    Panel("Newest release", ((f"min(perennial_release_current{HERE})", "current"),), shows="yes", width=3),
    Panel("Journal down", ((f"max(perennial_journal_down{HERE})", "down"),), shows="zero", width=3),
    Panel(
        "Challenger in trouble",
        ((f"max(perennial_challenger_trouble{HERE})", "trouble"),),
        shows="zero",
        width=3,
    ),
    Panel(
        "Releases that answer",
        (
            (
                f"max by (model, version, candidate) (perennial_release_info{HERE}) == 1",
                "{{model}} {{version}}",
            ),
        ),
        shows="name",
        width=4,
    ),
    Panel("Oldest model", ((f"max by (model) ({AGE}{HERE})", "{{model}}"),), "s", "stat", width=4),
    Panel(
        "Alerts",
        ((f"count by (alertname) (ALERTS{{{FIRING}}})", "{{alertname}}"),),
        shows="name",
        width=4,
    ),
)
REQUESTED = (
    Panel("Requests", ((f"sum by (endpoint) ({REQUESTS}{HERE})", "{{endpoint}}"),), "reqps", width=6),
    Panel(
        "Statuses",
        ((per_second("perennial_requests_total", "status"), "{{status}}"),),
        "reqps",
        "stack",
        width=6,
    ),
    Panel("Failed requests", ((f"{ERRORS}{HERE}", "{{instance}}"),), "percentunit", width=6),
    Panel(
        "Time of an answer",
        (
            (f"max by (endpoint) ({P50}{HERE})", "{{endpoint}} median"),
            (f"max by (endpoint) ({P99}{HERE})", "{{endpoint}} 99th percentile"),
        ),
        "s",
        width=6,
    ),
)
PREDICTED = (
    Panel(
        "Rows", ((per_second("perennial_rows_total", "model, version"), "{{model}} {{version}}"),), "rowsps"
    ),
    Panel(
        "Bands of the predictions",
        ((f"avg by (version, band) ({BANDS}{HERE})", "{{version}} {{band}} %"),),
        "percentunit",
        told="The share of an hour's predictions in each tenth of the model's answers to its hold-out rows: "
        "about 10 % each where nothing drifts.",
    ),
    Panel(
        "Mean prediction",
        ((f"{MEAN}{HERE}", "{{instance}} {{version}}"),),
        told="Over an hour, in the target's unit.",
    ),
    Panel(
        "Predicted classes",
        ((f"avg by (version, class) ({CLASSES}{HERE})", "{{version}} {{class}}"),),
        "percentunit",
    ),
    Panel("Flagged rows", ((f"{FLAGGED}{HERE}", "{{instance}} {{version}}"),), "percentunit"),
    Panel(
        "Rows without an answer",
        ((per_second("perennial_blank_rows_total", "model, version"), "{{model}} {{version}}"),),
        "rowsps",
    ),
)
JOURNAL = (
    Panel(
        "Journal rows",
        (
            (per_second("perennial_journal_rows_total", "instance"), "{{instance}} on disk"),
            (
                per_second("perennial_journal_unconfirmed_rows_total", "instance"),
                "{{instance}} answered before",
            ),
            (per_second("perennial_journal_lost_rows_total", "instance"), "{{instance}} lost"),
        ),
        "rowsps",
    ),
    Panel("Wait for the disk", ((f"perennial_journal_lag_seconds{HERE}", "{{instance}}"),), "s"),
    Panel(
        "Releases",
        (
            (f"sum by (instance) (increase(perennial_swaps_total{HERE}{OVER}))", "{{instance}} taken"),
            (
                f"sum by (instance) (increase(perennial_swap_failures_total{HERE}{OVER}))",
                "{{instance}} not taken",
            ),
        ),
    ),
)
TRIED = (
    Panel(
        "Requests by arm",
        ((per_second("perennial_arm_requests_total", "model, arm"), "{{model}} {{arm}}"),),
        "reqps",
    ),
    Panel(
        "Trouble of the trial",
        (
            (per_second("perennial_shadow_dropped_total", "instance"), "{{instance}} missed by the shadow"),
            (
                per_second("perennial_challenger_failures_total", "instance"),
                "{{instance}} failed by the challenger",
            ),
        ),
        "reqps",
    ),
    Panel(
        "Forecasts by rung", ((per_second("perennial_forecasts_total", "rung"), "{{rung}}"),), "ops", "stack"
    ),
    Panel("Forecasts that are not the champion's", ((f"{FALLBACKS}{HERE}", "{{instance}}"),), "percentunit"),
    Panel(
        "Observations kept",
        ((per_second("perennial_observations_total", "instance"), "{{instance}}"),),
        "rowsps",
    ),
)
SERVICE = Dashboard(
    "perennial-service",
    "Perennial: services",
    "perennial_ready",
    f"changes(perennial_swaps_total{HERE}[1m]) > 0",
    {
        "Now": NOW,
        "Answers": REQUESTED,
        "Predictions": PREDICTED,
        "Journal and releases": JOURNAL,
        "Trials and forecasts": TRIED,
    },
)
