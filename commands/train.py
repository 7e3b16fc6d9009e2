"""`run.py train`: one run of the training pipeline, and a short table of what it did."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
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
@click.option(
    "--if-new-data", is_flag=True, help="Train only where the dataset moved since the last training."
)
def cli(config: Config, stack: str, no_cache: bool, dataset_version: int | None, if_new_data: bool) -> None:
    """Collect, check, train, prove and, if the evidence says so, promote.

    With --if-new-data the dataset decides: where the last training of the system rests on the same content, one
    sentence says so, and nothing is trained. Feeds are not asked for new records here; collect does that.
    """
    from commands.show import show_training

    with _attended(config, stack):
        if if_new_data:
            due, sentence, dataset_version = _is_due(config, stack, dataset_version)
            click.echo(sentence)
            if not due:
                return
        trained = _trained(config, stack, not no_cache, dataset_version)
    show_training(config, trained, config_path())


def train(config: Config, stack: str, cache: bool = True, dataset_version: int | None = None) -> Trained:
    """Runs the training pipeline on a stack; raises PerennialError where a step does."""
    with _attended(config, stack):
        return _trained(config, stack, cache, dataset_version)


@contextmanager
def _attended(config: Config, stack: str) -> Iterator[None]:
    """Runs a block as `attended` does, once it is sure that stack and ledger can be read."""
    from commands.runs import attended
    from perennial.live.release import history

    history(releases_folder(stack), config.system)
    with attended(config, "train"):
        yield


def _is_due(config: Config, stack: str, dataset_version: int | None) -> tuple[bool, str, int]:
    """Whether a training is due, a sentence about it, and the dataset version that it must use.

    Nothing of ZenML is imported. A source that comes whole is read here, which may make a new dataset version.
    """
    from datetime import UTC, datetime

    from perennial import systems
    from perennial.data import history, intake
    from perennial.home import home
    from perennial.live import sign, trigger
    from perennial.live.settings import settings

    state, source, name = home(), config.source, config.system
    at = intake.Places(state.collections / name, state.datasets / name, state.quarantine / name)
    plugin = systems.get(name)
    at_once = None if source.kind == "web" else lambda: plugin.read(source, config.seed)
    found = intake.dataset_version(at_once, at, dataset_version, datetime.now(UTC))
    verdict = trigger.verdict(
        releases_folder(stack),
        name,
        state.keys / sign.PUBLIC,
        found,
        history.facts(at.dataset, found.version).committed_at,
        settings(config),
        _digest(config),
    )
    return verdict.due, verdict.sentence, found.version


def _digest(config: Config) -> str:
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()


def _trained(config: Config, stack: str, cache: bool, dataset_version: int | None) -> Trained:
    from perennial.live.skops_io import skops_io

    skops_io()  # several times quicker before ZenML's imports

    from commands.runs import open_for_runs, run
    from commands.show import Trained

    open_for_runs(stack)

    from pipelines.source_digest import source_digest
    from pipelines.stack import read
    from pipelines.summary import summarise
    from pipelines.training import training

    digests = {
        "config": _digest(config),
        "code": source_digest(),
    }
    done = run(
        config.system,
        stack,
        training,
        config,
        digests,
        str(releases_folder(stack)),
        dataset_version,
        read(stack).compute,
        cache=None if cache else False,
    )
    steps = done.steps  # asks ZenML's store anew each time
    outputs = {step: steps[step].output.load() for step in ("evaluate", "judge", "promote")}
    return Trained(done.name, summarise(steps), outputs["evaluate"], outputs["judge"], outputs["promote"])
