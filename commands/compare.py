"""`run.py compare`: two versions of a system side by side, on the terminal and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.leaderboard import versions_of
from commands.options import system_options

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.live.comparison import SideBySide
    from perennial.live.versions import Version


@click.command(short_help="Set two versions of a system side by side.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@system_options
@click.option(
    "--html",
    "html_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the page to FILE. Default: under reports/ of the state folder.",
)
def cli(a: str, b: str, system: str, stack: str, html_path: Path | None) -> None:
    """Set versions A and B of a system side by side: origin, metrics, answers, decisions.

    A and B are versions (v3, 3, or what only one begins with), champion (what serves), previous (what served before
    it) or latest (the newest, released or not).
    """
    from commands.show import shown
    from perennial.errors import InputError
    from perennial.home import home
    from perennial.live.comparison import find, side_by_side
    from perennial.live.files import write_atomic
    from perennial.live.report.compare import compare_html

    if html_path is not None and not html_path.absolute().parent.is_dir():
        raise InputError(
            f"expected --html in a folder that exists, found none at {html_path.parent}; make it first"
        )
    versions = versions_of(system, stack)
    first, second = (find(versions, name) for name in (a, b))
    found = side_by_side(system, first, second)
    path = html_path or home().reports / system / f"{first.name}-{second.name}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, compare_html(found, _title(second)).encode())
    _show(found)
    click.echo(f"\npage  {shown(path)}")


def _title(version: Version) -> str:
    """What the system is called: its name in words."""
    return version.bundle.manifest.system.replace("_", " ")


def _show(found: SideBySide) -> None:
    from commands.show import show
    from perennial.live.comparison import paired_verdict
    from perennial.live.report import compare

    versions = found.a.name, found.b.name
    click.echo(f"{found.system}: {paired_verdict(found)}")
    tables = [_table(("", *versions), compare.fact_rows(found))]
    metrics = compare.metric_rows(found)
    if found.same_rows:
        tables.append(_table(("metric", *versions, f"{versions[1]} - {versions[0]}"), metrics))
    else:
        columns = ("metric, each on hold-out rows of its own", *versions)
        tables.append(_table(columns, [row[:3] for row in metrics]))
    for title, changed in (
        ("config", found.settings),
        ("parameter", found.parameters),
        ("package", found.environment),
    ):
        if changed:
            tables.append(_table((title, *versions), compare.change_rows(changed)))
    if found.columns:
        told = [(column.name, compare.column_text(column, found)) for column in found.columns]
        tables.append(_table(("column", "what differs"), told))
    show(*tables, _table(None, [*_same(found), *_answers(found), *_reasons(found)]))


def _same(found: SideBySide) -> list[tuple[str, str]]:
    """What does not differ, or is not known, and so has no table."""
    unknown = [("config", "not known: a bundle does not hold its config")] if found.settings is None else []
    parts = {"config": found.settings, "parameters": found.parameters, "contract": found.columns}
    return [*unknown, *((name, "the same") for name, part in parts.items() if part == ())]


def _answers(found: SideBySide) -> list[tuple[str, str]]:
    from perennial.live.report.compare import reply_text

    if found.apart:
        return [("answers", f"not compared: {found.apart}")]
    return [("answers" if not n else "", reply_text(replies)) for n, replies in enumerate(found.replies)]


def _reasons(found: SideBySide) -> list[tuple[str, str]]:
    """What was decided on each version: the rules that it failed, or what was written down without a judgement."""
    rows = []
    for version in (found.a, found.b):
        rows.append((version.name, version.status))
        if version.decision is not None:
            passed, failed = version.decision.sentences(True), version.decision.sentences(False)
            rows.append(("", f"{len(passed)} rules passed, {len(failed)} failed"))
            rows.extend(("", f"FAILED  {sentence}") for sentence in failed)
        else:
            rows.extend(("", reason) for entry in version.entries for reason in entry.facts.reasons)
    return rows


def _table(columns: tuple[str, ...] | None, rows: list[tuple[str, ...]]) -> Table:
    from rich.text import Text

    from commands.show import table

    listed = table(*columns) if columns else table(header=False)
    for row in rows:
        listed.add_row(*(Text(cell) for cell in row))
    return listed
