"""`run.py stack`: where a system can run, and whether it could right now."""

from __future__ import annotations

import click

from perennial.errors import StackError


@click.group(short_help="List the stacks, or check one before it is needed.")
def cli() -> None:
    """List the stacks, or check one before it is needed."""


@cli.command(name="list")
def list_stacks() -> None:
    """List the stacks of configs/stacks."""
    from pipelines.stack import names, read

    for name in names():
        stack = read(name)
        parts = (
            f"{part} {getattr(stack, part).kind}"
            for part in ("orchestrator", "metadata", "artifacts", "tracking")
        )
        click.echo(f"{name:<12}{', '.join(parts)}")


@cli.command()
@click.argument("name")
def check(name: str) -> None:
    """Try every part of the stack NAME: reach it, write, read and delete a probe, compare versions."""
    from perennial.home import home
    from pipelines.stack_check import check_stack

    found = check_stack(name, home().engine(name))
    for row in found:
        click.echo(f"{'ok  ' if row.works else 'FAIL'}  {row.what:<14}{row.sentence}")
    failed = [row.what for row in found if not row.works]
    if failed:
        raise StackError(
            f"stack {name}: expected every part to work, found {', '.join(failed)} failing; see above"
        )
