"""`run.py data`: the versions of a system's dataset, what is in one, what changed between two, and one as a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.options import config_options

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from perennial.config import Config
    from perennial.data.difference import ColumnChange
    from perennial.evidence import DatasetReference

WIDEST_CELL = 48
PIPED_WIDTH = 100_000
LAST = ("feed", "available_at", "collected_at", "source", "raw")


class Version(click.ParamType):
    """A dataset version: 3, v3 or latest (None)."""

    name = "version"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """The number; None for the latest."""
        text = str(value)
        if text == "latest":
            return None
        digits = text.removeprefix("v")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
            self.fail(f"expected a version such as 3, v3 or latest, found {text!r}", param, ctx)
        return int(digits)


class Moment(click.ParamType):
    """A time in ISO 8601; UTC where it names no zone."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The time in UTC."""
        try:
            found = datetime.fromisoformat(str(value))
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"expected a time such as 2026-01-31 or 2026-01-31T12:00, found {value!r}", param, ctx)


rows_option = click.option(
    "--rows",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="How many rows to print.",
)


@click.group(short_help="List, show, compare and export the versions of a dataset.")
def cli() -> None:
    """List, show, compare and export the versions of a system's dataset."""


@cli.command()
@config_options
def log(config: Config, stack: str) -> None:
    """List all versions of the dataset, oldest first, with what each brought and its digest."""
    from rich.text import Text

    from commands.show import show, table
    from perennial.data import history

    found = history.versions(_folder(config))
    if not found:
        click.echo(f"{config.system}: no dataset yet; run `python run.py collect`, or train")
        return
    listed = table("version", "committed (UTC)", "rows", "new", "revised", "digest", "why")
    for facts in found:
        counts = ("" if n is None else f"{n:,}" for n in (facts.added, facts.revised))
        at = f"{facts.committed_at:%Y-%m-%d %H:%M:%S}" if facts.committed_at else ""
        listed.add_row(
            str(facts.version), at, f"{facts.rows:,}", *counts, facts.digest[:12], Text(_plain(facts.why))
        )
    show(listed)


@cli.command()
@click.argument("version", type=Version(), default="latest")
@config_options
@click.option("--at", type=Moment(), metavar="TIME", help="Records as they could be known then (UTC).")
@click.option("--key", metavar="K", help="All revisions of the record with this key.")
@rows_option
def show(
    config: Config, stack: str, version: int | None, at: datetime | None, key: str | None, rows: int
) -> None:
    """Print what is in VERSION (3, v3 or latest): counts, and the latest revisions of the first records."""
    from commands.show import show as show_tables
    from commands.show import table
    from perennial.data import dataset
    from perennial.data.content import is_collected

    reference = dataset.resolve(_folder(config), version)
    records = dataset.read(reference)
    facts = table(header=False)
    facts.add_row("version", f"{reference.version}: {reference.rows:,} rows")
    facts.add_row("digest", reference.fingerprint)
    if is_collected(records.columns):
        for feed, own in records.groupby("feed", sort=True):
            span = " to ".join(_cell(own["event_time"].agg(end)) for end in ("min", "max"))
            facts.add_row(
                str(feed), f"{own['key'].nunique():,} records in {len(own):,} revisions, {span} (UTC)"
            )
    chosen = _chosen(records, reference, at, key)
    facts.add_row("shown", f"{min(rows, len(chosen)):,} of {len(chosen):,}")
    show_tables(facts)
    _print_rows(chosen.head(rows))


@cli.command()
@click.argument("a", type=Version())
@click.argument("b", type=Version())
@config_options
@rows_option
def diff(config: Config, stack: str, a: int | None, b: int | None, rows: int) -> None:
    """Print what changed from version A to version B: records, fields and columns."""
    from rich.text import Text

    from commands.show import show as show_tables
    from commands.show import table
    from perennial.data import dataset, history

    folder = _folder(config)
    first, second = (dataset.resolve(folder, version).version for version in (a, b))
    found = history.difference(folder, first, second)
    facts = table(header=False)
    facts.add_row("versions", f"{first} ({found.before.rows:,} rows) to {second} ({found.after.rows:,} rows)")
    for name, count in {
        "new": len(found.new),
        "gone": len(found.gone),
        "revised": found.revised_records,
    }.items():
        facts.add_row(name, f"{count:,}")
    columns = table("feed", "column", "type", "revised", "missing", "median")
    for change in found.columns:
        columns.add_row(*(Text(_plain(text)) for text in _column_cells(change)))
    show_tables(facts, columns)
    for title, part in {"revised": found.revised, "new": found.new, "gone": found.gone}.items():
        if len(part) and rows:
            click.echo(f"\n{title}: {min(rows, len(part)):,} of {len(part):,}")
            _print_rows(part.head(rows))


@cli.command()
@click.argument("version", type=Version(), default="latest")
@config_options
@click.option("--to", required=True, metavar="FILE", help="Ends in .csv, .parquet or .jsonl; .gz too.")
def export(config: Config, stack: str, version: int | None, to: str) -> None:
    """Write VERSION (3, v3 or latest) with all its revisions to a file."""
    from commands.show import shown
    from perennial.data import dataset, history

    reference = dataset.resolve(_folder(config), version)
    written = history.export(reference, to)
    click.echo(f"wrote {written:,} rows of version {reference.version} to {shown(Path(to))}")


def _folder(config: Config) -> Path:
    from perennial.home import home

    return home().datasets / config.system


def _chosen(
    records: pd.DataFrame, reference: DatasetReference, at: datetime | None, key: str | None
) -> pd.DataFrame:
    """The rows that were asked for; raises InputError where there can be none."""
    from perennial.data.content import is_collected
    from perennial.data.records import as_of, current
    from perennial.errors import InputError

    if not is_collected(records.columns):
        if at is not None or key is not None:
            raise InputError(
                "expected --at and --key with records that were collected feed by feed, found rows that came "
                "whole; leave both out"
            )
        return records
    if key is None:
        return current(records) if at is None else as_of(records, at)
    own = records[records["key"] == key]
    if own.empty:
        some = ", ".join(repr(_plain(k)) for k in records["key"].drop_duplicates().head(3))
        raise InputError(
            f"expected the key of a record in version {reference.version}, found {key!r}; keys are such as {some}"
        )
    return own if at is None else as_of(own, at)


def _print_rows(rows: pd.DataFrame) -> None:
    """Rows as a table without a wrapped cell: as many columns as fit, and the names of those that do not."""
    from rich.console import Console
    from rich.text import Text

    if rows.empty:
        return
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=PIPED_WIDTH)
    names = sorted((str(name) for name in rows.columns), key=lambda name: name in LAST)
    cells = {name: [_cell(value) for value in rows[name]] for name in names}
    listed, left, shown, missed = _listed(), console.width, [], []
    for name in names:
        left -= max(len(text) for text in (name, *cells[name])) + 2
        if left < 0 and shown:
            missed.append(name)
        else:
            shown.append(name)
            listed.add_column(Text(_plain(name)), no_wrap=True, overflow="ellipsis")
    for texts in zip(*(cells[name] for name in shown), strict=True):
        listed.add_row(*(Text(text) for text in texts))
    console.print("", listed, highlight=False)
    if missed:
        console.print(
            f"not shown: {', '.join(_plain(name) for name in missed)}", highlight=False, markup=False
        )


def _listed() -> Table:
    from rich.table import Table

    return Table(box=None, pad_edge=False, header_style="bold")


def _column_cells(change: ColumnChange) -> tuple[str, ...]:
    pairs = (
        (change.kind_before or "none", change.kind_after or "none"),
        (f"{change.missing_before:,}", f"{change.missing_after:,}"),
        (_cell(change.median_before), _cell(change.median_after)),
    )
    kind, missing, median = (one if one == other else f"{one} -> {other}" for one, other in pairs)
    return change.feed, change.name, kind, f"{change.revised:,}", missing, median


def _cell(value: Any) -> str:
    """A value as text of one line; "" where it is missing."""
    import pandas as pd

    if value is None or pd.isna(value):
        return ""
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M:%S" + (".%f" if value.microsecond else ""))
    text = f"{value:.10g}" if isinstance(value, float) else _plain(str(value))
    return text if len(text) <= WIDEST_CELL else f"{text[: WIDEST_CELL - 3]}..."


def _plain(text: str) -> str:
    """The text without anything that would steer a terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
