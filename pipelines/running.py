"""Knows which pipeline runs are alive, so that runs of killed processes do not stay `running` for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perennial.live.marker import left_behind, marked


@contextmanager
def alive(folder: Path, run_name: str) -> Iterator[None]:
    """Marks the run called `run_name` as alive in `folder` for the duration of the block."""
    with marked(folder, run_name, {}):
        yield


def reap(folder: Path) -> list[str]:
    """Marks every unfinished run of a dead process as failed; returns the names of those runs."""
    return [name for name, _ in left_behind(folder) if _mark_failed(name)]


def _mark_failed(run_name: str) -> bool:
    """Ends the run and its open steps in ZenML's store; False where it had ended, or never began."""
    from zenml.client import Client
    from zenml.enums import ExecutionStatus
    from zenml.models import PipelineRunUpdate, StepRunUpdate
    from zenml.utils.time_utils import utc_now

    client = Client()
    try:
        run = client.get_pipeline_run(run_name, allow_name_prefix_match=False)
    except KeyError:
        return False
    if run.status.is_finished:
        return False
    ended = utc_now()
    for step in run.steps.values():
        if not step.status.is_finished:
            client.zen_store.update_run_step(
                step.id, StepRunUpdate(status=ExecutionStatus.FAILED, end_time=ended)
            )
    client.zen_store.update_run(run.id, PipelineRunUpdate(status=ExecutionStatus.FAILED, end_time=ended))
    return True
