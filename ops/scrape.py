"""An example of a Prometheus that asks services and devices."""

from __future__ import annotations

from typing import Any

from ops.queries import EDGE_JOB, SERVICE_JOB


def scrape(
    services: tuple[str, ...] = ("localhost:3000",),
    devices: tuple[str, ...] = ("localhost:3100",),
    rules: str = "rules.yml",
    every: str = "15s",
) -> dict[str, Any]:
    """The content of prometheus.yml: whom to ask, how often, and where the rules lie."""
    asked = {SERVICE_JOB: services, EDGE_JOB: devices}
    return {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(targets)}]}
            for job, targets in asked.items()
            if targets
        ],
    }
