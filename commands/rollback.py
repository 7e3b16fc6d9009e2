"""`run.py rollback`: back to a release that still answers as it did."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from commands.options import config_options, releases_folder, said

if TYPE_CHECKING:
    from perennial.config import Config


@click.command(short_help="Go back to an earlier release whose golden rows still match.")
@config_options
@click.option("--to", metavar="vN", default=None, help="The release to go back to. Default: the one before.")
@click.option(
    "--reason",
    default="rolled back by hand",
    show_default=True,
    help="Why; kept in the ledger.",
    callback=said,
)
def cli(config: Config, stack: str, to: str | None, reason: str) -> None:
    """Go back to an earlier release, after its golden rows were replayed just now."""
    from perennial.home import home
    from perennial.live import release, sign

    entry = release.rollback(
        releases_folder(stack),
        config.system,
        to,
        home().keys / sign.PUBLIC,
        datetime.now(UTC),
        reason,
    )
    click.echo(f"{config.system} {entry.facts.version} serves again; {entry.facts.from_version} is barred")
