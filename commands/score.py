"""`run.py score`: the rows of a database of one's own, scored with the released model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.options import config_options, releases_folder

if TYPE_CHECKING:
    from perennial.config import Config
    from perennial.config_score import Score
    from perennial.live.scoring.score import Scored


@click.command(short_help="Score the rows of a database of your own with the released model.")
@config_options
@click.option("--version", metavar="vN", help="A released version. Default: the champion.")
@click.option("--all", "again", is_flag=True, help="Score rows again that have this version's score already.")
def cli(config: Config, stack: str, version: str | None, again: bool) -> None:
    """Score the rows of a database of your own with the released model.

    Which database, table, key and columns, and where scores go: section score of the config. Rows that have a score
    of this version and have not changed since are left alone. An interrupted run goes on where it was.
    """
    from commands.predict import open_release

    section = score_section(config)
    found = run_scoring(config, section, stack, open_release(config, stack, version).manifest.version, again)
    click.echo(f"{config.system} {found.sentence}")


def score_section(config: Config) -> Score:
    """The config's `score:` section; raises InputError where there is none."""
    from perennial.errors import InputError

    if config.score is None:
        raise InputError(
            "expected a section score: in the config, with url, table and key, found none; see docs/scoring.md"
        )
    return config.score


def run_scoring(config: Config, section: Score, stack: str, version: str, again: bool) -> Scored:
    """Runs the scoring pipeline; returns what it came to."""
    from commands.runs import open_for_runs, run

    open_for_runs(stack)

    from pipelines.scoring import scoring

    releases = str(releases_folder(stack))
    done = run(
        f"{config.system}-scoring",
        stack,
        scoring,
        config.system,
        section,
        releases,
        version,
        again,
        config.journal.address,
    )
    found: Scored = done.steps["score"].output.load()
    return found
