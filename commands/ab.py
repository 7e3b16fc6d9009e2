"""`run.py ab`: two models on trial at once, what the trial has shown, and its end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from commands.options import config_options, releases_folder, said

if TYPE_CHECKING:
    from pathlib import Path

    from perennial.config import Config
    from perennial.live.trial.report import Report

SPLIT_SHARE, SHADOW_SHARE = 0.1, 1.0

journal_option = click.option(
    "--journal",
    metavar="ADDRESS",
    help="A file or a postgresql:// URL. Default: PERENNIAL_JOURNAL, else the state folder.",
)


@click.group(short_help="Try a version beside the champion, and see whether it is better.")
def cli() -> None:
    """Try a version beside the champion, and see whether it is better."""


@cli.command(short_help="Begin a trial of a version beside the champion.")
@config_options
@click.option("--version", required=True, metavar="vN", help="The bundle to try.")
@click.option(
    "--share",
    type=float,
    metavar="S",
    help=f"Share of the units that it answers. Default: {SPLIT_SHARE:g}; in shadow {SHADOW_SHARE:g}.",
)
@click.option(
    "--shadow", is_flag=True, help="Let it answer beside the champion, into the journal and to nobody."
)
@click.option("--reason", default="a trial", show_default=True, help="Why.", callback=said)
def start(config: Config, stack: str, version: str, share: float | None, shadow: bool, reason: str) -> None:
    """Begin a trial: its signature, digests and golden rows are checked, and that it can answer what callers send."""
    from bento.forecast.fit import misfits
    from perennial.home import home
    from perennial.live import sign
    from perennial.live.trial import book
    from perennial.live.trial.text import trial_text

    mode: book.Mode = "shadow" if shadow else "split"
    if share is None:
        share = SHADOW_SHARE if shadow else SPLIT_SHARE
    key, now = home().keys / sign.PUBLIC, datetime.now(UTC)
    releases = releases_folder(stack)
    trial = book.start(releases, config.system, version, mode, share, key, now, reason, against=misfits)
    click.echo(f"on trial  {trial_text(trial)}")


@cli.command(short_help="End the trial; the champion answers all again.")
@config_options
@click.option("--reason", default="enough seen", show_default=True, help="Why.", callback=said)
def stop(config: Config, stack: str, reason: str) -> None:
    """End the trial; the champion answers all again."""
    from perennial.live.trial import book

    ended = book.stop(releases_folder(stack), config.system, datetime.now(UTC), reason)
    click.echo(f"ended  {ended.name}; {config.system} {ended.champion} answers all again")


@cli.command(short_help="Say whether the challenger is better, and by how much.")
@config_options
@journal_option
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def report(config: Config, stack: str, journal: str | None, as_json: bool) -> None:
    """Say whether the challenger is better, and by how much: of the trial that runs, else of the last one.

    May be asked as often as you like: the interval holds at all times at once.
    """
    from perennial.live.trial.text import sentence

    found = _report(config, releases_folder(stack), journal)
    if as_json:
        click.echo(json.dumps({**found.as_dict(), "sentence": sentence(found)}, indent=2))
    else:
        _show(found)


@cli.command(short_help="Release the challenger, where the report says that it is better.")
@config_options
@journal_option
@click.option("--force", is_flag=True, help="Release it whatever the report says; needs --reason.")
@click.option("--reason", help="Why; kept in the ledger beside what the report says.")
def promote(config: Config, stack: str, journal: str | None, force: bool, reason: str | None) -> None:
    """Release the challenger and so end the trial; its signature, digests and golden rows are checked first."""
    from perennial.errors import LedgerError
    from perennial.home import home
    from perennial.live import sign
    from perennial.live.trial import book
    from perennial.live.trial.text import sentence

    if force and not (reason and reason.strip()):
        raise click.UsageError("expected --reason beside --force, found none")
    releases = releases_folder(stack)
    book.running(releases, config.system)
    found = _report(config, releases, journal)
    if found.verdict != "better" and not force:
        raise LedgerError(
            f"{config.system}: expected a trial with the verdict better, found {found.verdict}. {sentence(found)} "
            "Wait for more, or promote it all the same with --force and --reason"
        )
    reasons = (*((reason.strip(),) if reason else ()), sentence(found))
    entry = book.promote(
        releases,
        config.system,
        found.trial,
        home().keys / sign.PUBLIC,
        datetime.now(UTC),
        reasons,
        {"report": found.as_dict(), "forced": force},
    )
    click.echo(f"{config.system} {entry.facts.version} serves now (was: {entry.facts.from_version})")
    click.echo(sentence(found))


def _report(config: Config, releases: Path, journal: str | None) -> Report:
    """The report of the newest trial; raises LedgerError where there was none."""
    from perennial.errors import LedgerError
    from perennial.home import home
    from perennial.live import release, sign
    from perennial.live.journal.address import open_journal
    from perennial.live.journal.outcomes import outcomes
    from perennial.live.trial import book
    from perennial.live.trial.exposure import PATIENCE
    from perennial.live.trial.report import report as report_of

    system = config.system
    latest = book.latest(release.history(releases, system))
    if latest is None:
        raise LedgerError(f"{system}: expected a trial to report on, found none; begin one with ab start")
    trial, ended = latest
    rule = release.released_bundle(releases, system, trial.champion, home().keys / sign.PUBLIC).rule
    now = datetime.now(UTC)
    until = ended or now
    read = min(now, until + 2 * PATIENCE)
    store = open_journal(system, journal or config.journal.address)
    try:
        return report_of(outcomes(store, trial.since, read), trial, rule, until, read=read)
    finally:
        store.close()


def _show(found: Report) -> None:
    from rich.text import Text

    from commands.show import show, table
    from perennial.live.trial.text import arm_rows, notes, sentence, trial_text

    arms = table("arm", "version", "units", "rows", "with a truth", f"mean {found.loss}")
    for row in arm_rows(found):
        arms.add_row(*(Text(cell) for cell in row))
    facts = table(header=False)
    facts.add_row("trial", Text(trial_text(found.trial)))
    for place, note in enumerate(notes(found)):
        facts.add_row("" if place else "counts", Text(note))
    facts.add_row("verdict", Text(found.verdict))
    show(arms, facts)
    click.echo(f"\n{sentence(found)}")
