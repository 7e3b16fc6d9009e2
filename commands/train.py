"""`run.py train`: one run of the training pipeline, and a short table of what it did."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import click

from commands.options import config_options, config_path, releases_folder

if TYPE_CHECKING:
    from commands.show import Trained
    from perennial.config import Config


@click.command(short_help="Collect, check, train, prove and, if the evidence says so, promote.")
@config_options
@click.option("--no-cache", is_flag=True, help="Run every step, even where nothing has changed.")
@click.option(
    "--dataset-version",
    type=click.IntRange(min=0),
    metavar="N",
    help="Train on this version, not the newest.",
)
def cli(config: Config, stack: str, no_cache: bool, dataset_version: int | None) -> None:
    """Collect, check, train, prove and, if the evidence says so, promote."""
    from commands.show import show_training

    show_training(config, train(config, stack, not no_cache, dataset_version), config_path())


def train(config: Config, stack: str, cache: bool = True, dataset_version: int | None = None) -> Trained:
    """Runs the training pipeline on a stack; raises PerennialError where a step does."""
    # skops looks for the home of every NumPy function in all loaded modules: ten times quicker before ZenML's
    import skops.io  # noqa: F401

    from commands.runs import attended, open_for_runs, run
    from commands.show import Trained
    from perennial.live.release import history

    releases = releases_folder(stack)
    history(releases, config.system)
    with attended(config, "train"):
        open_for_runs(stack)

        from pipelines.source_digest import source_digest
        from pipelines.stack import read
        from pipelines.summary import summarise
        from pipelines.training import training

        digests = {
            "config": hashlib.sha256(config.model_dump_json().encode()).hexdigest(),
            "code": source_digest(),
        }
        done = run(
            config.system,
            stack,
            training,
            config,
            digests,
            str(releases),
            dataset_version,
            read(stack).compute,
            cache=None if cache else False,
        )
    outputs = {step: done.steps[step].output.load() for step in ("evaluate", "judge", "promote")}
    return Trained(done.name, summarise(done), outputs["evaluate"], outputs["judge"], outputs["promote"])
