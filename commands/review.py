"""`run.py review`: scores for people to look at, and what they say of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.options import config_options

if TYPE_CHECKING:
    from perennial.config import Config
    from perennial.live.answer import AnswerRule
    from perennial.live.scoring.stock import Stock


@click.group(short_help="Export scores for people to look at, and import what they say.")
def cli() -> None:
    """Export scores for people to look at, and import what they say."""


@cli.command(name="export", short_help="Write the most uncertain scores to a CSV file.")
@config_options
@click.option("--output", required=True, metavar="FILE", help="The CSV file to write.")
@click.option("--rows", default=200, show_default=True, type=click.IntRange(min=1), help="How many, at most.")
@click.option("--all", "again", is_flag=True, help="Export scores that were reviewed already, too.")
def export_command(config: Config, stack: str, output: str, rows: int, again: bool) -> None:
    """Write the most uncertain scores to a CSV file: without an answer, flagged, then with the widest intervals.

    Fill in review_verdict (accepted, corrected or rejected) and, beside corrected, review_value; leave the verdict of
    a row empty to say nothing of it.
    """
    import io

    from commands.score import score_section
    from perennial.live.files import write_atomic
    from perennial.live.scoring.review_file import export_scores
    from perennial.live.scoring.scores import find_scores

    section, path = score_section(config), Path(output)
    if not path.absolute().parent.is_dir():
        raise click.BadParameter(f"expected a folder that exists, found none at {path.parent}; make it first")
    with scored_stock(config, stack) as (stock, rule):
        text = io.StringIO(newline="")
        place = find_scores(stock, section.into, rule)
        written = export_scores(stock, place, rule, config.system, text, rows, again)
    write_atomic(path, text.getvalue().encode())
    click.echo(
        f"exported {written:,} scores of {section.table} to {output}; fill in review_verdict and import it"
    )


@cli.command(name="import", short_help="Take reviews from a CSV file into the database.")
@config_options
@click.option("--input", "source", required=True, metavar="FILE", help="The exported file, filled in.")
@click.option("--by", "reviewer", metavar="NAME", help="Who looked at the scores. Default: this user.")
def import_command(config: Config, stack: str, source: str, reviewer: str | None) -> None:
    """Take reviews from a CSV file into the table perennial_reviews of the same database: all rows or none."""
    from commands.score import score_section
    from perennial.errors import JournalError
    from perennial.live.journal.address import OFF, resolved
    from perennial.live.release import whoami
    from perennial.live.scoring.review_file import read_reviews
    from perennial.live.scoring.reviews import keep_reviews, review_truths
    from perennial.live.scoring.telling import tell_journal

    section = score_section(config)
    with scored_stock(config, stack) as (stock, rule):
        reviews, blank = read_reviews(Path(source), stock, rule)
        who, now = reviewer or whoami(), datetime.now(UTC)
        kept = keep_reviews(stock.engine, config.system, stock.name, reviews, who, now)
        click.echo(
            f"imported {len(reviews):,} reviews of {section.table}: {kept.new:,} new, {kept.changed:,} changed, "
            f"{kept.repeated:,} known already; {blank:,} rows without a verdict"
        )
        truths = review_truths(stock.engine, config.system, stock.name)
        address = resolved(config.journal.address)
        try:
            if address != OFF:
                tell_journal(config.system, truths, now, address)
        except JournalError as error:
            remedy = "the reviews are kept; import the file again, and the journal hears of them"
            raise JournalError(error.place, error.found, remedy) from error


@contextmanager
def scored_stock(config: Config, stack: str) -> Iterator[tuple[Stock, AnswerRule]]:
    """The config's stock table and the champion's rule; the database is closed at the block's end."""
    from commands.predict import open_release
    from commands.score import score_section
    from perennial.live.scoring.database import open_database
    from perennial.live.scoring.stock import open_stock

    section, bundle = score_section(config), open_release(config, stack, None)
    engine = open_database(section.url)
    try:
        yield open_stock(engine, section, bundle.contract), bundle.rule
    finally:
        engine.dispose()
