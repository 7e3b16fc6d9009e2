"""What is scheduled, for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from perennial.live.schedule import Job, Record


def show_next(jobs: Sequence[Job], count: int) -> None:
    from datetime import UTC, datetime

    from perennial.home import home
    from perennial.live.schedule import pause_of, upcoming

    for job in jobs:
        found = pause_of(home().schedules, job.system)
        paused = f" (paused by {found.who})" if found is not None and found.paused else ""
        click.echo(f"{job.label}: {job.wording}{paused}")
        for moment in upcoming(job, datetime.now(UTC), count):
            local = moment.astimezone(job.zone)
            offset = f"{local:%z}"
            click.echo(
                f"  {local:%a %Y-%m-%d %H:%M} {offset[:3]}:{offset[3:5]} {local:%Z}   {moment:%Y-%m-%d %H:%M} UTC"
            )


def show_status(system: str, name: str, record: Record | None, job: Job | None) -> None:
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    from perennial.cron import Calendar, read_cron
    from perennial.home import home
    from perennial.live.job_lock import holder, path_of
    from perennial.live.schedule import pause_of, shown
    from perennial.live.schedule_run import presence_path

    folder, wording = home().schedules, job.wording if job else record.wording if record else ""
    expression, _, zone_name = wording.rpartition(" ")
    zone = ZoneInfo(zone_name)
    following = Calendar(read_cron(expression), zone).next_after(datetime.now(UTC))
    pause = pause_of(folder, system)
    click.echo(f"{system} {name}: {wording}")
    if pause is not None and pause.paused:
        click.echo(f"  paused   since {shown(pause.at, zone)} by {pause.who}")
    else:
        click.echo(f"  next     {shown(following, zone)}")
    running = holder(path_of(folder, system, name))
    run = record.run if record else None
    if running:
        click.echo(f"  running  {running}")
    if run is None:
        click.echo("  last     none yet")
    elif run.ended is not None:
        click.echo(
            f"  last     due {shown(run.due, zone)}, ended {shown(run.ended, zone)}, exit code {run.code}"
        )
    elif not running:
        click.echo(f"  last     due {shown(run.due, zone)}, was cut off")
    scheduler = holder(presence_path(folder, system))
    click.echo(
        f"  by       {scheduler or 'no scheduler is at work: `run.py schedule --config ...` starts one'}"
    )
