"""What a training run came to, as a short table on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.home import home

if TYPE_CHECKING:
    from commands.train import Trained
    from perennial.config import Config


def show_training(config: Config, trained: Trained, following: tuple[str, ...] = ()) -> None:
    """Prints what was trained, how good it is, what was promoted and why, and what to type next."""
    from rich.console import Console
    from rich.table import Table

    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=120)
    evaluation, judgement, outcome = trained.evaluation, trained.judgement, trained.outcome

    steps = Table(
        "step", "what happened", "s", box=None, pad_edge=False, header_style="bold", title_justify="left"
    )
    for row in trained.steps:
        steps.add_row(row.name, row.outcome, f"{row.seconds:.1f}" if row.seconds else "")
    console.print(steps, "")

    baselines = list(evaluation.baselines)
    metrics = Table(
        "hold-out metric", evaluation.candidate, *baselines, box=None, pad_edge=False, header_style="bold"
    )
    for metric in evaluation.metrics:
        others = [
            next((f"{m.value:.4g}" for m in evaluation.baselines[name] if m.name == metric.name), "")
            for name in baselines
        ]
        unit = "" if metric.unit in ("", "1") else f" ({metric.unit})"
        metrics.add_row(f"{metric.name}{unit}", str(metric), *others)
    console.print(metrics, "")

    facts = Table("", "", box=None, pad_edge=False, show_header=False)
    facts.columns[0].style = "bold"
    level = f"{evaluation.metrics[0].level:.0%}" if evaluation.metrics else ""
    facts.add_row(
        "trained",
        f"{config.system}: {evaluation.candidate}, {evaluation.rows:,} hold-out rows, {level} intervals",
    )
    facts.add_row("outcome", outcome.sentence)
    facts.add_row("why", "\n".join(r.sentence for r in judgement.decision.reasons))
    facts.add_row("report", str(home().reports / config.system / f"{outcome.version}.html"))
    facts.add_row("next", "\n".join(following or _following(config)))
    console.print(facts)


def _following(config: Config) -> tuple[str, ...]:
    path = f"configs/{config.system}.yaml"
    return (f"python run.py serve --config {path}", "python run.py status", "python run.py dashboard")
