"""`run.py dashboard`: ZenML's own dashboard, on the very store that the runs write to."""

from __future__ import annotations

import click

from commands.options import stack_option


@click.command(short_help="Open ZenML's dashboard on the runs of this folder.")
@stack_option
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8237,
    show_default=True,
    help="Port to listen on, loopback only.",
)
@click.option("--browser/--no-browser", default=True, help="Open a browser window.")
def cli(stack: str, port: int, browser: bool) -> None:
    """Open ZenML's dashboard on the runs of this folder. It has no password, hence loopback only."""
    from perennial.home import home
    from pipelines.dashboard import serve_dashboard

    serve_dashboard(stack, home().engine(stack), port, browser)
