"""`run.py train`: one run of the training pipeline, and a short table of what it did."""

from __future__ import annotations

import gc
import hashlib
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from commands.options import config_options, releases_folder

if TYPE_CHECKING:
    from commands.show import Trained
    from perennial.config import Config


@click.command(short_help="Collect, check, train, prove and, if the evidence says so, promote.")
@config_options
@click.option("--no-cache", is_flag=True, help="Run every step, even where nothing has changed.")
def cli(config: Config, stack: str, no_cache: bool) -> None:
    """Collect, check, train, prove and, if the evidence says so, promote."""
    from commands.show import show_training

    show_training(config, train(config, stack, cache=not no_cache))


def train(config: Config, stack: str, cache: bool = True) -> Trained:
    """Runs the training pipeline on a stack; raises PerennialError where a step does."""
    from commands.show import Trained
    from perennial.home import home
    from perennial.live.release import history
    from pipelines import running
    from pipelines.stack import open_stack

    folder, releases = home().engine(stack), releases_folder(stack)
    history(releases, config.system)
    open_stack(stack, folder)
    log_to_terminal()
    for dead in running.reap(folder / "running"):
        logging.getLogger("perennial").warning("run %s had died with its process; marked as failed", dead)

    from pipelines.source_digest import source_digest
    from pipelines.summary import summarise
    from pipelines.training import training

    digests = {
        "config": hashlib.sha256(config.model_dump_json().encode()).hexdigest(),
        "code": source_digest(),
    }
    name = f"{config.system}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"
    gc.freeze()  # what was imported stays; from here on there is garbage to collect
    gc.enable()
    with running.alive(folder / "running", name):
        run = training.with_options(run_name=name, enable_cache=None if cache else False)(
            config, digests, str(releases)
        )
    outputs = {step: run.steps[step].output.load() for step in ("evaluate", "judge", "promote")}
    return Trained(name, summarise(run), outputs["evaluate"], outputs["judge"], outputs["promote"])


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
