"""`run.py schedule`: collecting and training at their times, in the foreground."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.options import DEFAULT_STACK, read_config, stack_option
from perennial.errors import InputError

if TYPE_CHECKING:
    from perennial.live.schedule import Pause

SHOWN = 5
configs_option = click.option(
    "--config", "paths", multiple=True, metavar="FILE", help="A system's YAML file; may be repeated."
)


@click.group(
    invoke_without_command=True, short_help="Collect and train at their times, or show and pause them."
)
@configs_option
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Lay a value over every file.")
@stack_option
@click.option(
    "--next",
    "count",
    is_flag=False,
    flag_value=str(SHOWN),
    type=click.IntRange(1, 1000),
    metavar="[N]",
    help=f"Print the next N times of every job ({SHOWN} without N), and end.",
)
@click.option(
    "--print",
    "form",
    type=click.Choice(["systemd", "cron", "kubernetes"]),
    help="Print the schedule for another scheduler, and end.",
)
@click.option("--into", metavar="FOLDER", help="With --print systemd: write the files there.")
@click.pass_context
def cli(
    context: click.Context,
    paths: tuple[str, ...],
    settings: tuple[str, ...],
    stack: str,
    count: int | None,
    form: str | None,
    into: str | None,
) -> None:
    """Collect and train at the times under schedule: in the configs, in the foreground, until it is interrupted.

    A run that another process is still at is waited for. What was missed is made up for once, or skipped, as
    schedule.missed says.
    """
    if context.invoked_subcommand is not None:
        if paths or settings or count or form or into:
            raise click.UsageError(
                f"expected options after `{context.invoked_subcommand}`, found some before it"
            )
        return
    if not paths:
        raise click.UsageError("expected --config FILE, found none")
    if into and form != "systemd":
        raise click.UsageError("expected --into with --print systemd alone")
    if form:
        _print(form, paths, settings, stack, into)
        return
    from commands.schedule_jobs import read_jobs, run_jobs
    from commands.schedule_show import show_next

    jobs, programs = read_jobs(paths, settings, stack)
    if count:
        show_next(jobs, count)
    else:
        run_jobs(jobs, lambda job: programs[job.label])


@cli.command(short_help="Start no runs of a system, or of any.")
@configs_option
def pause(paths: tuple[str, ...]) -> None:
    """Start no runs of the systems of --config, or of any; what is going on goes on."""
    _switch(paths, paused=True)


@cli.command(short_help="Start runs again.")
@configs_option
def resume(paths: tuple[str, ...]) -> None:
    """Start runs again; what fell due in the pause is not made up for."""
    _switch(paths, paused=False)


@cli.command(short_help="Show next and last runs, who is at it, and pauses.")
@configs_option
def status(paths: tuple[str, ...]) -> None:
    """Show every job: when it runs next, what its last run did, who is at it, and whether it is paused."""
    from commands.schedule_jobs import read_jobs
    from commands.schedule_show import show_status
    from perennial.home import home
    from perennial.live import schedule

    jobs = {(j.system, j.name): j for j in read_jobs(paths, (), DEFAULT_STACK)[0]} if paths else {}
    records = {(system, name): record for system, name, record in schedule.known(home().schedules)}
    chosen = sorted(jobs) if paths else sorted(records)
    if schedule.all_paused(home().schedules):
        click.echo("every system is paused; `run.py schedule resume` ends that")
    if not chosen:
        click.echo("nothing is scheduled yet; run `python run.py schedule --config ...`")
    for key in chosen:
        show_status(*key, records.get(key), jobs.get(key))


def _print(form: str, paths: Sequence[str], settings: Sequence[str], stack: str, into: str | None) -> None:
    from dataclasses import replace

    from commands.schedule_jobs import read_units
    from perennial.home import home
    from perennial.live import schedule_units as units
    from pipelines.source_digest import ROOT
    from pipelines.stack import read

    found = read_units(paths, settings, stack)
    place = units.Place(Path.cwd(), Path(sys.executable), ROOT / "run.py", home().root)
    if form == "cron":
        click.echo(units.crontab(found, place), nl=False)
    elif form == "kubernetes":
        runner = read(stack).orchestrator
        if runner.kind != "kubernetes":
            raise InputError(
                f"expected a stack that runs on Kubernetes, which names the image, found {stack}; "
                "pass one with --stack"
            )
        inside = [replace(u, arguments=tuple(_in_image(word, ROOT) for word in u.arguments)) for u in found]
        image = f"{runner.registry}/{runner.image}"
        click.echo(units.kubernetes(inside, image, runner.namespace), nl=False)
    elif into is None:
        click.echo(units.systemd(found, place), nl=False)
    else:
        files = units.systemd_files(found, place)
        Path(into).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (Path(into) / name).write_text(text, encoding="utf-8")
        click.echo(f"{len(files)} files written to {into}")


def _in_image(word: str, root: Path) -> str:
    """An argument as it is called inside the image, which holds this folder as /app."""
    path = Path(word)
    if not path.is_absolute():
        return word
    if not path.is_relative_to(root):
        raise InputError(f"expected a file that the image holds, in {root}, found {word}; move it there")
    return str(path.relative_to(root))


def _switch(paths: Sequence[str], paused: bool) -> None:
    from datetime import UTC, datetime

    from perennial.home import home
    from perennial.live import schedule
    from perennial.live.release import whoami

    folder, now, word = home().schedules, datetime.now(UTC), "paused" if paused else "resumed"
    systems: list[str | None] = [read_config(path).system for path in paths]
    if not paused and systems and schedule.all_paused(folder):
        raise InputError(
            "expected no pause of everything, found one; end it with `schedule resume`, without --config"
        )
    if not systems:
        systems = [None, *(schedule.paused_systems(folder) if not paused else ())]
    for system in systems:
        before = schedule.set_pause(folder, system, paused, now, whoami())
        what = system or "every system"
        changed = (before is not None and before.paused) != paused
        click.echo(f"{what}: {word}" if changed else f"{what}: nothing changed, {_standing(before, paused)}")


def _standing(before: Pause | None, paused: bool) -> str:
    from datetime import UTC

    from perennial.live.schedule import shown

    if paused and before is not None:
        return f"paused since {shown(before.at, UTC)} by {before.who}"
    return "it was not paused"
