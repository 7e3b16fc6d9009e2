"""Knows which pipeline runs are alive, so that runs of killed processes do not stay `running` for ever.

A process holds a file lock for as long as its run lasts. The kernel drops the lock when the process ends in
any way, SIGKILL included, so a lock that can be taken belongs to a dead run.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alive(folder: Path, run_name: str) -> Iterator[None]:
    """Marks the run called `run_name` as alive in `folder` for the duration of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run_name}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        path.unlink(missing_ok=True)


def reap(folder: Path) -> list[str]:
    """Marks every unfinished run of a dead process as failed; returns the names of those runs."""
    dead = []
    for path in sorted(folder.glob("*.lock")):
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if _mark_failed(path.stem):
                dead.append(path.stem)
            path.unlink(missing_ok=True)
    return dead


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
