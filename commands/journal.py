"""`run.py journal`: what the journal holds, and bringing it within its limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.options import config_options

if TYPE_CHECKING:
    from perennial.config import Config
    from perennial.live.journal.figures import Figures
    from perennial.live.journal.store import Store


@click.group(short_help="Show what the journal holds, or delete what is beyond its limits.")
def cli() -> None:
    """Show what the journal holds, or delete what is beyond its limits."""


@cli.command(name="status", short_help="Show rows, size, first and last time, and how much truth is known.")
@config_options
def status_command(config: Config, stack: str) -> None:
    """Show rows, size, first and last time, and how much truth is known."""
    from perennial.live.journal.figures import figures

    with opened(config) as store:
        click.echo(f"{config.system}: journal in {store.place}")
        for line in told(figures(store), config):
            click.echo(f"  {line}")


@cli.command(name="prune", short_help="Delete the oldest predictions beyond the config's limits.")
@config_options
@click.option("--dry-run", is_flag=True, help="Only say how many would be deleted.")
def prune_command(config: Config, stack: str, dry_run: bool) -> None:
    """Delete the oldest predictions beyond journal.keep_days and journal.keep_mb, and their truth.

    A service does the same once an hour. Writers of the same journal go on meanwhile.
    """
    from datetime import UTC, datetime

    from perennial.live.journal.prune import prune, surplus

    now = datetime.now(UTC)
    days, megabytes = config.journal.keep_days or None, config.journal.keep_mb or None
    with opened(config) as store:
        if dry_run:
            beyond = surplus(store, now, days, megabytes)
            click.echo(f"{config.system}: {beyond:,} predictions and their truth would be deleted")
            return
        done = prune(store, now, days, max_mb=megabytes)
        click.echo(
            f"{config.system}: deleted {done.predictions:,} predictions and {done.truth:,} rows of truth"
        )


def told(found: Figures, config: Config) -> list[str]:
    """The figures as lines.

    >>> from types import SimpleNamespace as Of
    >>> told(Of(predictions=0, bytes=4096, first=None, last=None, joined=0, truth=2, pending=2),
    ...      Of(journal=Of(keep_days=400, keep_mb=0)))
    ['0 predictions, 0.0 MB; kept for 400 days', '0 with truth; 2 rows of truth, 2 of them wait for their prediction']
    """
    from perennial.live.span import at

    limits = [f"for {config.journal.keep_days:g} days"] * bool(config.journal.keep_days)
    limits += [f"up to {config.journal.keep_mb:g} MB"] * bool(config.journal.keep_mb)
    span = f" from {at(found.first)} to {at(found.last)}" if found.first and found.last else ""
    return [
        f"{found.predictions:,} predictions{span}, {found.bytes / 1e6:,.1f} MB; "
        f"kept {' and '.join(limits) or 'for ever'}",
        f"{found.joined:,} with truth; {found.truth:,} rows of truth, {found.pending:,} of them wait for their "
        "prediction",
    ]


@contextmanager
def opened(config: Config) -> Iterator[Store]:
    """The config's journal; raises InputError where it is off or not there."""
    from perennial.errors import InputError
    from perennial.live.journal.address import open_journal

    store = open_journal(config.system, config.journal.address)
    if "://" not in store.place and not Path(store.place).exists():
        raise InputError(
            f"{config.system}: expected a journal at {store.place}, found none; it is made with the first prediction"
        )
    try:
        yield store
    finally:
        store.close()
