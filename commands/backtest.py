"""`run.py backtest`: what the models would have said in the past, each fitted to what was known then."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.options import config_options

if TYPE_CHECKING:
    from perennial.config import Config
    from perennial.evidence import BacktestResult


@click.command(short_help="Walk through the past: fit again and again, and predict what came next.")
@config_options
@click.option(
    "--dataset-version",
    type=click.IntRange(min=0),
    metavar="N",
    help="Walk through this version, not the newest.",
)
@click.option(
    "--csv",
    "csv_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write every forecast to FILE; .gz compresses.",
)
def cli(config: Config, stack: str, dataset_version: int | None, csv_path: Path | None) -> None:
    """Walk through the past: fit again and again, and predict what came next.

    Where it starts, how often models are fitted again and which of them walk: section backtest of the config.
    Nothing is released. An interrupted backtest goes on where it was.
    """
    if csv_path is not None and not csv_path.absolute().parent.is_dir():
        raise click.BadParameter(
            f"expected a folder that exists, found none at {csv_path.parent}; make it first"
        )
    found, forecasts, page = backtest(config, stack, dataset_version)
    paths = _kept(found, page)
    if csv_path is not None:
        forecasts.to_csv(csv_path, index=False)
        paths["forecasts"] = csv_path
    show_backtest(found, paths)


def backtest(
    config: Config, stack: str, dataset_version: int | None = None
) -> tuple[BacktestResult, Any, str]:
    """Runs the backtest pipeline; returns what it came to, all forecasts as a data frame, and the page."""
    from perennial.live.skops_io import skops_io

    skops_io()  # several times quicker before ZenML's imports

    from commands.runs import open_for_runs, run

    open_for_runs(stack)

    from pipelines.backtest import backtest as pipeline
    from pipelines.stack import read

    done = run(f"{config.system}-backtest", stack, pipeline, config, dataset_version, read(stack).compute)
    outputs = done.steps["backtest"].outputs
    page = done.steps["backtest_report"].output.load()
    return outputs["backtest"][0].load(), outputs["forecasts"][0].load(), str(page)


def show_backtest(found: BacktestResult, paths: dict[str, Path]) -> None:
    """Prints every candidate's metrics beside the best baselines', comparisons, and where the page is."""
    from commands.show import metrics_table, show, shown, table
    from perennial.live.report.text import p_value_text, time_text

    facts = table(header=False)
    since, until = (time_text(datetime.fromisoformat(moment)) for moment in (found.since, found.until))
    facts.add_row("walked", f"{since} to {until}: {found.origins:,} moments, {found.refits:,} refits")
    for walker in found.walkers:
        evaluation = walker.evaluation
        for line in evaluation.details.get("intervals", ()):
            between = f"{line['low']:.1%}, {line['high']:.1%}"
            told = f"{line['level']:.0%} intervals cover {line['coverage']:.1%} [{between}]"
            facts.add_row(evaluation.candidate, told)
        compared = (walker.against_default, *evaluation.against_baselines)
        verdicts = (f"{c.b} ({c.verdict}, p {p_value_text(c.p_value)})" for c in compared if c is not None)
        facts.add_row("against", ", ".join(verdicts))
    for sentence in found.skipped:
        facts.add_row("skipped", sentence)
    for name, path in paths.items():
        facts.add_row(name, shown(path))
    show(*(metrics_table(walker.evaluation, "over all moments") for walker in found.walkers), facts)


def _kept(found: BacktestResult, page: str) -> dict[str, Path]:
    """Writes page and result to the state folder; returns their paths by what they are."""
    from perennial.home import home
    from perennial.live.files import write_atomic

    folder = home().backtests / found.system
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    paths = {"report": folder / f"{stem}.html", "numbers": folder / f"{stem}.json"}
    write_atomic(paths["report"], page.encode())
    write_atomic(paths["numbers"], found.model_dump_json(indent=1).encode())
    return paths
