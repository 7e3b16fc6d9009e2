"""`run.py alerts`: what is wrong, what was wrong, and whether alerts arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.options import load_config

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from perennial.config import Config
    from perennial.live.incident import Incident

CLOSED_SHOWN = 20


@click.command(short_help="List open and closed incidents, or test the alert addresses.")
@click.option("--config", "config_path", metavar="FILE", help="The system's YAML file. Default: all systems.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Lay a value over the file; may be repeated.",
)
@click.option("--test", is_flag=True, help="Send a test alert to every address under alerts: in the config.")
def cli(config_path: str | None, settings: tuple[str, ...], test: bool) -> None:
    """List open and closed incidents, or test the alert addresses."""
    from datetime import UTC, datetime

    from perennial.home import home

    if config_path is None and (test or settings):
        raise click.UsageError("expected --config FILE to say which addresses, found none")
    config = load_config(config_path, settings).config if config_path else None
    folder, now = home().incidents, datetime.now(UTC)
    if config and test:
        send_test(config, folder, now)
    else:
        show_incidents(folder, config.system if config else None, now)


def send_test(config: Config, folder: Path, now: datetime) -> None:
    """Sends a test alert; raises PerennialError naming every address that did not take it."""
    from perennial.errors import PerennialError
    from perennial.live import alert

    if problems := alert.send_test(config.alerts, folder, config.system, now):
        raise PerennialError("; ".join(problems))
    for reference in config.alerts.to:
        click.echo(f"{reference:<28}took the test alert")
    click.echo(f"{'file':<28}{folder / alert.LINES}")
    if not config.alerts.to:
        click.echo("no address is configured; name some under alerts: to: in the config, such as env:NAME")


def show_incidents(folder: Path, system: str | None, now: datetime) -> None:
    """Prints open incidents, then the newest closed ones, each with its newest sentence."""
    from perennial.live import incident

    incident.report_dead(folder, now)
    found = incident.incidents(folder, system)
    waiting = incident.untold(folder)
    still = [one for one in found if one.closed_at is None]
    over = [one for one in found if one.closed_at is not None]
    if not found:
        click.echo("no incident so far")
        return
    for one in (*still, *reversed(over[-CLOSED_SHOWN:])):
        click.echo(_line(one, waiting.get(one.id, []), now))
    if len(over) > CLOSED_SHOWN:
        click.echo(f"and {len(over) - CLOSED_SHOWN:,} older closed ones")


def _line(one: Incident, waiting: list[str], now: datetime) -> str:
    from perennial.live.span import at, in_words

    state = "closed" if one.closed_at else "open"
    span = in_words((one.closed_at or now) - one.opened_at)
    reports = f"{one.count:,} report{'s' * (one.count != 1)}"
    where = f"; not told yet: {', '.join(waiting)}" if waiting else ""
    head = (
        f"{one.id:>4}  {state:<8}{one.system:<24} {one.kind:<12}since {at(one.opened_at)}, {span}, {reports}"
    )
    return f"{head}{where}\n      {one.sentence}"
