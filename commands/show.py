"""What a training run came to, as short tables on the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.home import home

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.config import Config
    from perennial.evidence import Evaluation, Judgement, Outcome
    from pipelines.summary import StepSummary

MOST_BASELINES = 3
PIPED_WIDTH = 120


@dataclass(frozen=True)
class Trained:
    """What a training run came to."""

    run: str
    steps: list[StepSummary]
    evaluation: Evaluation
    judgement: Judgement
    outcome: Outcome


def show_training(config: Config, trained: Trained, path: str, served: tuple[str, ...] = ()) -> None:
    """Prints what each step did, how good the model is, what was promoted and why, and what to type next.

    `path` is the config's, for the commands to type next; `served` holds a line per answer got over HTTP.
    """
    evaluation, decision, outcome = trained.evaluation, trained.judgement.decision, trained.outcome
    level = f"{evaluation.metrics[0].level:.0%} intervals" if evaluation.metrics else "no metrics"
    facts = table(header=False)
    for title, lines in {
        "trained": (f"{config.system}: {evaluation.candidate}; {evaluation.rows:,} hold-out rows, {level}",),
        "outcome": (outcome.sentence,),
        "why": tuple(f"{'passed' if r.passed else 'FAILED'}  {r.sentence}" for r in decision.reasons),
        "served": served,
        "report": (shown(home().reports / config.system / f"{outcome.version}.html"),),
        "next": (
            f"python run.py serve --config {path}",
            "python run.py status",
            "python run.py dashboard",
        ),
    }.items():
        for i, line in enumerate(lines):
            facts.add_row("" if i else title, line)
    show(_steps(trained.steps), metrics_table(evaluation, "on the hold-out"), facts)


def _steps(steps: list[StepSummary]) -> Table:
    listed = table("step", "seconds", "what happened")
    for row in steps:
        listed.add_row(row.name, f"{row.seconds:.1f}" if row.seconds else "", row.outcome)
    return listed


def metrics_table(evaluation: Evaluation, where: str) -> Table:
    """Every metric of the model with its interval, beside those of the baselines that lose least."""
    from perennial.live.report.text import count_text, interval_text, number_text

    losses = {c.b: c.loss_b or 0.0 for c in evaluation.against_baselines}
    nearest = sorted(evaluation.baselines, key=lambda name: losses.get(name, 0.0))
    listed = table(where, evaluation.candidate, *nearest[:MOST_BASELINES])
    if weaker := len(nearest[MOST_BASELINES:]):
        listed.caption = f"{count_text(weaker, 'weaker baseline')} in the report"
    for metric in evaluation.metrics:
        values = [
            next((number_text(m.value, 3) for m in found if m.name == metric.name), "")
            for found in (evaluation.baselines[name] for name in nearest[:MOST_BASELINES])
        ]
        unit = "" if metric.unit in ("", "1") else f" ({metric.unit})"
        interval = interval_text(metric.value, metric.low, metric.high)
        listed.add_row(f"{metric.name}{unit}", interval, *values)
    return listed


def show(*parts: Table) -> None:
    """Prints tables with blank lines between them; as wide as the terminal, or PIPED_WIDTH where there is none."""
    from rich.console import Console

    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=PIPED_WIDTH)
    for part in parts:
        console.print("", part, highlight=False)


def table(*columns: str, header: bool = True) -> Table:
    """An empty table in the house's look; without columns it has two, and without a header bold names first."""
    from rich.table import Table

    made = Table(*columns or ("", ""), box=None, pad_edge=False, header_style="bold", show_header=header)
    made.columns[0].style = "" if header else "bold"
    return made


def shown(path: Path) -> str:
    """A path as a reader in this directory would write it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
