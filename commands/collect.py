"""`run.py collect`: one collection, and a short table of what it brought."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.options import config_options, config_path

if TYPE_CHECKING:
    from perennial.config import Config
    from perennial.evidence import Collection, DatasetReference


@click.command(short_help="Collect a system's records into a dataset version.")
@config_options
@click.option(
    "--reparse", is_flag=True, help="Read the stored answers of the last collection again; no network."
)
@click.option("--record", metavar="FOLDER", help="Keep every answer in FOLDER, for --replay.")
@click.option("--replay", metavar="FOLDER", help="Take answers from FOLDER; no network.")
def cli(config: Config, stack: str, reparse: bool, record: str | None, replay: str | None) -> None:
    """Collect a system's records into a dataset version.

    An interrupted collection goes on where it was. A source that breaks its promises (expect: in the config)
    leaves the dataset as it was, and ends with exit code 1.
    """
    if sum((reparse, bool(record), bool(replay))) > 1:
        raise click.UsageError("expected one of --reparse, --record and --replay, found several")
    given = {"reparse": "yes" if reparse else "", "record": record or "", "replay": replay or ""}
    show_collection(
        config,
        config_path(),
        *collect(config, stack, {name: value for name, value in given.items() if value}),
    )


def collect(
    config: Config, stack: str, manner: dict[str, str] | None = None
) -> tuple[DatasetReference, Collection | None]:
    """Runs the collection pipeline; the second value is None for a source that is read whole.

    Raises:
        CollectionError: where the source broke a promise.
        PerennialError: where a step failed otherwise.
    """
    from commands.runs import attended, open_for_runs, run

    with attended(config, "collect"):
        open_for_runs(stack)

        from pipelines.collection import collection

        done = run(f"{config.system}-collection", stack, collection, config, manner or {})
    if config.source.kind == "web":
        outputs = done.steps["accept"].outputs
        return outputs["dataset"][0].load(), outputs["collection"][0].load()
    return done.steps["collect"].output.load(), None


def show_collection(
    config: Config, path: str, reference: DatasetReference, collection: Collection | None
) -> None:
    """Prints what came from which feed, the dataset version, and what to type next with the config at `path`."""
    from commands.show import show, shown, table
    from perennial.home import home
    from perennial.live.report.text import count_text

    feeds = table("feed", "requests", "unchanged", "MB", "MB saved", "rows", "rejected", "failed")
    for f in collection.feeds if collection else ():
        counts = [f"{n:,}" for n in (f.requests, f.unchanged)]
        sizes = [f"{n / 1e6:,.2f}" for n in (f.sent_bytes, f.saved_bytes)]
        failed = ", ".join(f"{count} {outcome}" for outcome, count in f.failed.items())
        feeds.add_row(f.feed, *counts, *sizes, f"{f.rows:,}", f"{f.rejected:,}", failed or "0")
    facts = table(header=False)
    changed = f", {collection.added:,} new and {collection.revised:,} revised" if collection else ""
    facts.add_row("dataset", f"version {reference.version}: {reference.rows:,} records{changed}")
    if collection and collection.unfinished:
        facts.add_row("unfinished", f"{count_text(collection.unfinished, 'row')} left to a later collection")
    facts.add_row("digest", reference.fingerprint)
    facts.add_row("profile", shown(home().profiles / config.system / f"{reference.version}.html"))
    facts.add_row("next", f"python run.py data log --config {path}")
    facts.add_row("", f"python run.py train --config {path}")
    show(*((feeds, facts) if collection else (facts,)))
