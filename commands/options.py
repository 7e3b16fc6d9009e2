"""The options that every command with a config takes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from perennial.config import Config, Source
    from perennial.config_file import Loaded
    from perennial.errors import Violation

DEFAULT_STACK = "local"


def set_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --set."""
    about = "Lay a value over the file; may be repeated."
    return click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=about)(function)


def config_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --config, --set and --stack; the command gets `config: Config` and `stack: str`."""

    @click.option("--config", "config_path", required=True, metavar="FILE", help="The system's YAML file.")
    @set_option
    @stack_option
    @functools.wraps(function)
    def with_config(config_path: str, settings: tuple[str, ...], **options: Any) -> Any:
        return function(config=read_config(config_path, settings), **options)

    return with_config


def system_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds SYSTEM or --config, --set and --stack; the command gets `system: str` and `stack: str`.

    A command that only looks at what was built needs a system's name, and no more of its config.
    """

    @click.argument("name", metavar="[SYSTEM]", required=False)
    @click.option(
        "--config", "config_path", metavar="FILE", help="The system's YAML file, instead of SYSTEM."
    )
    @set_option
    @stack_option
    @functools.wraps(function)
    def with_system(
        name: str | None, config_path: str | None, settings: tuple[str, ...], **options: Any
    ) -> Any:
        if (name is None) == (config_path is None):
            found = "neither" if name is None else "both"
            raise click.UsageError(f"expected a system's name or --config FILE, found {found}")
        if name is not None and settings:
            raise click.UsageError("expected --set beside --config, found it beside a system's name")
        system = name or read_config(str(config_path), settings).system
        return function(system=system, **options)

    return with_system


def said(context: click.Context, parameter: click.Parameter, reason: str) -> str:
    """The reason that goes into the ledger; blanks are none."""
    if not reason.strip():
        raise click.BadParameter("expected a few words that will explain this later, found none")
    return reason.strip()


def stack_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --stack."""
    about = f"Where it runs: a name in configs/stacks, or a file (.yaml). Default: {DEFAULT_STACK}."
    return click.option("--stack", default=DEFAULT_STACK, metavar="NAME", help=about)(function)


def read_config(path: str, settings: tuple[str, ...] = ()) -> Config:
    """The checked config of a system that exists; see `load_config`."""
    return load_config(path, settings).config


def load_config(path: str, settings: tuple[str, ...] = ()) -> Loaded[Config]:
    """The config of a system that exists, whose candidates, parameters, metrics and selectors exist too.

    Raises:
        ConfigError: naming line and key of everything that is wrong.
        UnknownNameError: there is no such system.
    """
    from perennial import systems
    from perennial.config import Config
    from perennial.config_file import load
    from perennial.errors import ConfigError, Violation
    from perennial.learn.candidate_checks import check_candidates
    from perennial.learn.promote import check_promotion

    loaded = load(path, Config, settings)
    config = loaded.config
    system = systems.get(config.system)
    task = system.task
    found = [
        *check_candidates(
            config.learn, task, lambda: system.contract(config.source, config.features).features
        ),
        *check_promotion(config.promotion, task),
        *_check_feeds(config.source),
    ]
    if found:
        told = [Violation(loaded.place(v.where), f"{v.where}: {v.problem}") for v in found]
        raise ConfigError(path, told)
    return loaded


def config_path() -> str:
    """The path that the running command was given with --config."""
    return str(click.get_current_context().params["config_path"])


def _check_feeds(source: Source) -> list[Violation]:
    """What is wrong with the selectors of a source that is collected by feeds."""
    if source.kind != "web":
        return []
    from perennial.data.parse import check
    from perennial.errors import Violation

    return [
        Violation(f"source.feeds.{name}.{violation.where}", violation.problem)
        for name, feed in source.feeds.items()
        for violation in check(feed)
    ]


def releases_folder(stack: str) -> Path:
    """The folder of bundles and ledgers of a stack; raises UnknownNameError or ConfigError."""
    from perennial.home import home
    from pipelines.stack import read

    configured = read(stack).releases
    return Path(configured).absolute() if configured else home().releases
