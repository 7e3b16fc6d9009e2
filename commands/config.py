"""`run.py config`: what a config says, where each value came from, and what may stand in it."""

from __future__ import annotations

import json

import click

from commands.options import load_config, stack_option


@click.group(short_help="Show a config with the origin of every value, or the schema.")
def cli() -> None:
    """Show a config with the origin of every value, or the schema."""


@cli.command()
@click.option("--config", "path", required=True, metavar="FILE", help="The system's YAML file.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Lay a value over the file.")
@stack_option
def show(path: str, settings: tuple[str, ...], stack: str) -> None:
    """Print every value and where it came from: a line of the file, --set, or the default."""
    from rich.console import Console
    from rich.table import Table

    from perennial.config_file import dotted, leaves
    from pipelines.stack import read

    loaded = load_config(path, settings)
    table = Table("key", "value", "origin", box=None, pad_edge=False, header_style="bold")
    for key, value in leaves(loaded.config):
        table.add_row(dotted(key), str(value), loaded.origins[dotted(key)])
    for key, value in leaves(read(stack)):
        table.add_row(f"stack.{dotted(key)}", str(value), f"stack {stack}")
    Console(width=None if Console().is_terminal else 160).print(table)


@cli.command()
def schema() -> None:
    """Print the JSON schema of a system's config, with descriptions and units."""
    from perennial.config import Config

    click.echo(json.dumps(Config.model_json_schema(), indent=2))
