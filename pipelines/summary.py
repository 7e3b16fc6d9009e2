"""What a run did, step by step: what ran, and what was cached because of which earlier run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zenml.models import StepRunResponse


@dataclass(frozen=True)
class StepSummary:
    """One step of a run: its name, what became of it, and how long it took in seconds."""

    name: str
    outcome: str
    seconds: float


def summarise(steps: Mapping[str, StepRunResponse]) -> list[StepSummary]:
    """The steps of a run in the order in which they started."""
    from zenml.client import Client

    rows = []
    for name, step in sorted(steps.items(), key=lambda item: str(item[1].start_time)):
        outcome = {"completed": "ran"}.get(step.status.value, step.status.value)
        if step.status.value == "cached" and step.original_step_run_id:
            original = Client().get_run_step(step.original_step_run_id)
            earlier = Client().get_pipeline_run(original.pipeline_run_id).name
            outcome = f"cached because inputs, config and source are those of {earlier}"
        seconds = (
            (step.end_time - step.start_time).total_seconds() if step.end_time and step.start_time else 0.0
        )
        rows.append(StepSummary(name, outcome, 0.0 if outcome.startswith("cached") else seconds))
    return rows
