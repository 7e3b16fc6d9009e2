"""Progress bars on the terminal; silent where there is none."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.data.crawl.engine import Advance
    from perennial.learn.backtest.refits import Standing as Refits
    from perennial.learn.search.runner import Standing


@contextmanager
def search_progress() -> Iterator[Callable[[Standing], None]]:
    """A function to call with how a search stands; the bar names the best so far, and what runs now."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("search"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("search", total=None, facts="")

        def advance(now: Standing) -> None:
            bar.update(task, completed=now.done, total=now.planned, facts=search_facts(now))

        yield advance


@contextmanager
def backtest_progress() -> Iterator[Callable[[Refits], None]]:
    """A function to call with how far a backtest has come."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("backtest"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("backtest", total=None, facts="")

        def advance(now: Refits) -> None:
            bar.update(task, completed=now.done, total=now.planned, facts=now.candidate)

        yield advance


@contextmanager
def score_progress(table: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with how many rows of a table are scored, and how many there are."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(f"score {table}", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def search_facts(now: Standing) -> str:
    """The best draw so far and its score, and what runs now, in one line."""
    best, facts = now.best, []
    if best is not None:
        part = "" if best.share == 1.0 else f" on {best.share:.0%} of the rows"
        facts.append(f"best {best.candidate}: {best.metric} {best.score:.4g}{part}")
    running = Counter(f"{u.candidate}{'' if u.share == 1.0 else f' on {u.share:.0%}'}" for u in now.running)
    if running:
        facts.append("now " + ", ".join(f"{n} x {what}" if n > 1 else what for what, n in running.items()))
    return "; ".join(facts)


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
