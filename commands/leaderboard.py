"""`run.py leaderboard`: every version of a system on one metric. Reads the releases folder alone."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.options import releases_folder, system_options

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.live.leaderboard import Holdout, Leaderboard, Standing
    from perennial.live.versions import Versions


@click.command(short_help="List all versions of a system, best first.")
@system_options
@click.option("--metric", metavar="NAME", help="Rank by this metric. Default: what the search minimises.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--csv",
    "csv_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the rows to FILE too.",
)
def cli(system: str, stack: str, metric: str | None, as_json: bool, csv_path: Path | None) -> None:
    """List all versions of a system, best first.

    Versions that were measured on other hold-out rows stand in a table of their own: an error on easy rows and one
    on hard rows do not compare.
    """
    from perennial.errors import InputError
    from perennial.live.leaderboard import leaderboard

    if csv_path is not None and not csv_path.absolute().parent.is_dir():
        raise InputError(f"expected --csv in a folder that exists, found none at {csv_path.parent}")
    found = versions_of(system, stack)
    board = leaderboard(found, metric or _primary(found))
    if csv_path is not None:
        _write_csv(board, csv_path)
    if as_json:
        click.echo(json.dumps(board.as_dict(), indent=1))
    else:
        _show(board)


def versions_of(system: str, stack: str) -> Versions:
    """All versions of a system on a stack; raises UnknownNameError or LedgerError."""
    from perennial.home import home
    from perennial.live.sign import PUBLIC
    from perennial.live.versions import read_versions

    return read_versions(releases_folder(stack), system, home().keys / PUBLIC)


def _primary(found: Versions) -> str:
    """What the search minimises for the newest version's task; its first metric where it was not measured by that."""
    from perennial.learn.tasks import RULES

    if found.newest is None:
        return ""
    evaluation = found.newest.evaluation
    primary = RULES[found.newest.bundle.rule.task].primary
    names = [metric.name for metric in evaluation.metrics]
    return primary if primary in names or not names else names[0]


def _write_csv(board: Leaderboard, path: Path) -> None:
    import csv
    import io

    from perennial.live.files import write_atomic

    rows = board.flat()
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else ["version"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, buffer.getvalue().encode())


def _show(board: Leaderboard) -> None:
    from commands.show import show
    from perennial.live.report.text import count_text, metric_title

    groups = board.holdouts
    many = f" on {len(groups)} sets of hold-out rows" if len(groups) > 1 else ""
    number = sum(len(group.standings) for group in groups)
    better = "higher" if board.metric.endswith("_score") else "lower"
    click.echo(
        f"{board.system}: {count_text(number, 'version')}{many}, by {metric_title(board.metric)} ({better} is better)"
    )
    show(*(_table(group) for group in groups))
    if len(groups) > 1:
        click.echo("\nTables are of different hold-out rows: numbers compare within one, not across them.")
    for problem in board.problems:
        click.echo(f"not listed: {problem}")


def _table(group: Holdout) -> Table:
    from rich.text import Text

    from commands.show import table
    from perennial.live.report.text import count_text

    versions = sorted({s.version.bundle.manifest.dataset["version"] for s in group.standings})
    listed = table(
        "version", "built (UTC)", "data", "candidate", "metric", "best baseline", "covers", "MB", "status"
    )
    numbers = ", ".join(map(str, versions))
    listed.title = (
        f"hold-out {group.digest[:8]}: {count_text(group.rows, 'row')} of dataset version {numbers}"
    )
    listed.title_justify = "left"
    listed.title_style = "bold"
    for standing in group.standings:
        listed.add_row(*(Text(cell) for cell in _cells(standing)))
    for column in listed.columns[:6]:
        column.no_wrap = True
    kept = [s.version for s in group.standings if s.version.fate == "kept"]
    listed.caption = Text("\n".join(f"{version.name} was {version.told}" for version in kept))
    listed.caption_justify = "left"
    return listed


def _cells(standing: Standing) -> tuple[str, ...]:
    from perennial.live.report.text import ABSENT, interval_text, number_text

    manifest, metric = standing.version.bundle.manifest, standing.metric
    name, beside = standing.baseline or ("", None)
    covered, promised = standing.coverage or (None, None)
    unit = "" if metric is None or metric.unit in ("", "1") else f" {metric.unit}"
    return (
        standing.version.name,
        f"{datetime.fromisoformat(manifest.created_at):%Y-%m-%d %H:%M}",
        str(manifest.dataset["version"]),
        manifest.candidate,
        ABSENT if metric is None else interval_text(metric.value, metric.low, metric.high) + unit,
        ABSENT if beside is None else f"{number_text(beside.value, 3)} {name}",
        ABSENT if covered is None else f"{covered:.1%} of {promised:.0%}",
        number_text(standing.version.model_bytes / 1e6, 3),
        standing.version.status,
    )
