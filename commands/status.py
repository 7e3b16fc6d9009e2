"""`run.py status`: what serves, since when and why. Reads the ledgers alone, so that it answers at once."""

from __future__ import annotations

import click

from commands.options import stack_option
from perennial.errors import LedgerError


@click.command(short_help="Show what serves, since when and why.")
@stack_option
def cli(stack: str) -> None:
    """Show what serves, since when and why."""
    from commands.options import releases_folder
    from perennial.live.release import status

    rows = status(releases_folder(stack))
    if not rows:
        click.echo("nothing is released yet; run `python run.py demo`, or train with a config")
        return
    for row in (r for r in rows if not r.problem):
        click.echo(f"{row.system:<24} {row.sentence}")
    if problems := [f"{row.system}: {row.problem}" for row in rows if row.problem]:
        raise LedgerError("; ".join(problems))
