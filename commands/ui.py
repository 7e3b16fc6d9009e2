"""`run.py ui`: the page for people, by Streamlit."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.options import config_options, releases_folder

if TYPE_CHECKING:
    from perennial.config import Config

ROOT = Path(__file__).resolve().parent.parent
QUIET = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "logger.hideWelcomeMessage": "true",
}
COLOURS = {
    "primaryColor": "main",
    "backgroundColor": "paper",
    "secondaryBackgroundColor": "tint",
    "textColor": "ink",
    "linkColor": "main",
    "borderColor": "line",
    "greenColor": "good",
    "yellowColor": "warn",
    "redColor": "bad",
}
"""Streamlit's colours, by the names of the reports' own."""


@click.command(short_help="Open a page to try predictions, see forecasts and review scores.")
@config_options
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address, loopback only."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port to listen on."
)
@click.option("--service", metavar="URL", help="The running service. Default: serve.host and serve.port.")
@click.pass_context
def cli(
    context: click.Context, config: Config, stack: str, host: str, port: int, service: str | None
) -> None:
    """Open a page to try predictions, see forecasts and review scores, until it is interrupted.

    It asks nobody who he is, hence loopback only; tokens for the service are those of serve.tokens.
    """
    from bento.launch import check_port
    from dashboard.service import checked_url
    from dashboard.setting import arguments
    from perennial.errors import MissingLayerError

    if importlib.util.find_spec("streamlit") is None:
        raise MissingLayerError("streamlit", "dashboard", "for the page")
    address = loopback(host)
    check_port(address, port)
    asked = checked_url(
        service or address_of(config.serve.host, config.serve.port, bool(config.serve.tls_certificate)),
        has_token(config),
    )
    words = arguments(
        context.params["settings"], context.params["config_path"], releases_folder(stack), asked
    )
    click.echo(f"the page of {config.system} is at {address_of(address, port)}, asking {asked}")
    sys.stdout.flush()
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    os.execve(sys.executable, [*command(address, port), "--", *words], environment)


def command(host: str, port: int) -> list[str]:
    """Streamlit on the page, without what it would say or send by itself, in the reports' colours."""
    from perennial.live.report.page import DARK, LIGHT

    options = {"server.address": host, "server.port": str(port), **QUIET}
    for theme, colours in (("light", LIGHT), ("dark", DARK)):
        options |= {f"theme.{theme}.{name}": colours[ours] for name, ours in COLOURS.items()}
    words = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "app.py"), *words]


def loopback(host: str) -> str:
    """The IP address to listen on; raises InputError where others could reach it."""
    import ipaddress

    from perennial.errors import InputError

    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise InputError(f"expected an IP address to listen on, found {host!r}; try 127.0.0.1") from None
    if not address.is_loopback:
        raise InputError(
            f"expected a loopback address, found {host}; the page asks nobody who he is, so reach it through "
            "an SSH tunnel, or a proxy that asks"
        )
    return str(address)


def has_token(config: Config) -> bool:
    """Whether the page sends a token to the service."""
    from bento.guard import tokens_in

    return bool(any(config.serve.tokens.model_dump().values()) or tokens_in(os.environ))


def address_of(host: str, port: int, is_tls: bool = False) -> str:
    """The address of what listens there, as seen from this machine.

    >>> address_of("0.0.0.0", 3000), address_of("::1", 3000)
    ('http://127.0.0.1:3000', 'http://[::1]:3000')
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    scheme = "https" if is_tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
