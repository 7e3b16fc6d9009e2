"""`run.py truth`: what really happened, from a file into the journal."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

SUFFIXES = (".csv", ".jsonl", ".ndjson")
SHOWN = 10


@click.command(short_help="Say what really happened, beside what was predicted.")
@click.option(
    "--file",
    "path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="CSV or JSON lines; .gz too.",
)
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="The system's YAML file, which also says where its journal is.",
)
@click.option("--system", metavar="NAME", help="Whose predictions. Default: the only system with a journal.")
@click.option("--source", default="file", show_default=True, metavar="NAME", help="Who says so.")
@click.option(
    "--journal",
    metavar="ADDRESS",
    help="A file or a postgresql:// URL. Default: that of the config, PERENNIAL_JOURNAL, or the state folder.",
)
def cli(path: Path, config_path: str | None, system: str | None, source: str, journal: str | None) -> None:
    """Say what really happened, beside what was predicted.

    A row holds `truth` and either `prediction_id` (with `row` for a request of several rows) or `time` and the key
    columns. `known_at` says since when it is known. Rows that meet no prediction are kept, and meet it when it comes.
    """
    from datetime import UTC, datetime

    from commands.options import read_config
    from perennial.live.journal.address import open_journal, resolved
    from perennial.live.journal.truth import read_truth, record_truth

    if config_path and system:
        raise click.UsageError("expected --config or --system, found both")
    truths = read_truth(read_rows(path), str(path), source)
    address = resolved(journal or "")
    if config_path:
        config = read_config(config_path)
        system, address = config.system, resolved(journal or config.journal.address)
    store = open_journal(system or only_system(address), address)
    try:
        done = record_truth(store, truths, datetime.now(UTC))
    finally:
        store.close()
    click.echo(
        f"recorded {done.new:,} new and {done.revised:,} revised of {len(truths):,} rows for {store.system}, "
        f"{done.repeated:,} were known; {len(done.pending):,} wait for their prediction"
    )
    for one in done.pending[:SHOWN]:
        click.echo(f"  no prediction so far: {one}")
    if len(done.pending) > SHOWN:
        click.echo(f"  and {len(done.pending) - SHOWN:,} more")


def only_system(address: str | None) -> str:
    """The one system that has a journal in the state folder; raises InputError."""
    from perennial.errors import InputError
    from perennial.home import home

    if address:
        raise InputError("expected --system beside the address of a journal, found none")
    found = sorted(path.stem for path in home().journal.glob("*.sqlite"))
    if len(found) != 1:
        there = ", ".join(found) or "none"
        raise InputError(f"expected --system or exactly one journal in {home().journal}, found {there}")
    return found[0]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; of CSV, a truth that is a decimal number becomes one. Raises SourceError."""
    from perennial.errors import SourceError

    packed = path.suffix == ".gz"
    kind = Path(path.stem).suffix if packed else path.suffix
    if kind not in SUFFIXES:
        raise SourceError(path, f"expected one of {', '.join(SUFFIXES)}, found {kind!r}", "convert it")
    try:
        data = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
        text = data.decode("utf-8-sig")
        return list(_csv_rows(text) if kind == ".csv" else _json_rows(text))
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:
        raise SourceError(path, f"expected rows, found: {error}", "mend the file") from error


def _csv_rows(text: str) -> Iterator[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num} has more or fewer cells than the head")
        yield {**row, "truth": _number(row["truth"])} if "truth" in row else row


def _json_rows(text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no JSON object")
            yield row


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
