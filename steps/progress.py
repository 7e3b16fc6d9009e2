"""Progress bars on the terminal; silent where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from perennial.data.crawl.engine import Advance
from perennial.evidence import Trial


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[Trial], None]]:
    """A function to call after every trial; the bar shows the best score so far."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    scores: list[float] = []
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)

        def advance(trial: Trial) -> None:
            scores.append(trial.score)
            best = max(scores) if trial.metric.endswith("_score") else min(scores)
            bar.update(task, advance=1, description=f"{what}: best {trial.metric} {best:.4g}")

        yield advance


@contextmanager
def crawl_progress(what: str) -> Iterator[Callable[[Advance], None]]:
    """A function to call with how far a collection has come; the bar says which hosts wait, and why."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(f"collect {what}", total=None, facts="")

        def advance(now: Advance) -> None:
            waits = "; ".join(f"{host}: {why}" for host, why in now.waiting.items())
            size = f"{now.sent_bytes / 1e6:,.1f} MB, {now.pages_per_s:,.1f} pages/s"
            facts = f"{now.rows:,} rows, {size}" + (f"  waiting for {waits}" if waits else "")
            bar.update(task, completed=now.settled, total=now.known, facts=facts)

        yield advance
