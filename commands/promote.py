"""`run.py promote`: a release by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from commands.options import config_options, releases_folder, said

if TYPE_CHECKING:
    from perennial.config import Config


@click.command(short_help="Release a bundle by hand, with a reason that goes into the ledger.")
@config_options
@click.option("--version", required=True, metavar="vN", help="The bundle to release.")
@click.option("--reason", required=True, help="Why; kept in the ledger.", callback=said)
def cli(config: Config, stack: str, version: str, reason: str) -> None:
    """Release a bundle by hand: its signature, digests and golden rows are checked first."""
    from perennial.home import home
    from perennial.live import release, sign

    entry = release.promote_by_hand(
        releases_folder(stack), config.system, version, home().keys / sign.PUBLIC, datetime.now(UTC), reason
    )
    click.echo(
        f"{config.system} {entry.facts.version} serves now (was: {entry.facts.from_version or 'nothing'})"
    )
