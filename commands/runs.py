"""Running a pipeline from the command line: the stack, the dead of earlier starts, the lines on the terminal."""

from __future__ import annotations

import gc
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

    from perennial.config import Config
    from perennial.live.incident import Kind

YOUNG_OBJECTS = 10_000
"""New objects before garbage is looked for. A run keeps nearly all that it makes; Python's 700 means 500 looks."""


def open_for_runs(stack: str) -> None:
    """Opens the stack, and marks runs as failed whose process had died; raises PerennialError where it cannot."""
    from perennial.home import home
    from pipelines import running
    from pipelines.stack import open_stack

    folder = home().engine(stack)
    open_stack(stack, folder)
    _leave_out_bentoml()
    log_to_terminal()
    for dead in running.reap(folder / "running"):
        logging.getLogger("perennial").warning("run %s had died with its process; marked as failed", dead)


@contextmanager
def attended(config: Config, job: Literal["collect", "train"]) -> Iterator[None]:
    """Runs a block whose failure is told as an incident of the system, and whose success ends it.

    Two trainings may race, the ledger decides; of two collections the second raises BusyError.
    """
    from perennial.home import home
    from perennial.live import alert
    from perennial.live.job_lock import holding

    def now() -> datetime:
        return datetime.now(UTC)

    folder = home().incidents
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass  # where nothing can be written, the command says so, and no alert besides
    what: Kind = "collection" if job == "collect" else "training"
    alone = holding(home().schedules, config.system, job, now()) if job == "collect" else nullcontext()
    with alone:  # noqa: SIM117  (being second is no incident)
        with alert.attended(config.alerts, folder, config.system, what, now):
            yield


def run(
    name: str, stack: str, definition: Any, *arguments: Any, cache: bool | None = None
) -> PipelineRunResponse:
    """Runs a pipeline on the opened stack, under a name of its own; raises PerennialError where a step does."""
    from perennial.home import home
    from pipelines import running

    run_name = f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"
    gc.freeze()  # what was imported stays; from here on there is garbage to collect
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    gc.enable()
    with running.alive(home().engine(stack) / "running", run_name):
        return definition.with_options(run_name=run_name, enable_cache=cache)(*arguments)


def _leave_out_bentoml() -> None:
    """Keeps ZenML's integration of BentoML, which nothing here uses, from importing BentoML in every run."""
    from zenml.integrations.registry import integration_registry

    integration_registry.integrations.pop("bentoml", None)


def log_to_terminal() -> None:
    """Lets the lines of our steps through, and nobody else's below an error."""
    for name in ("perennial", "steps"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            handler = logging.StreamHandler(sys.stdout)
            handler.setFormatter(logging.Formatter("%(message)s"))
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False
