"""`run.py serve`: answers over HTTP, by `bentoml serve`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from commands.options import config_options, releases_folder

if TYPE_CHECKING:
    from perennial.config import Config


@click.command(short_help="Answer predictions over HTTP with the released model.")
@config_options
@click.option("--host", metavar="ADDRESS", help="Address to listen on. Default: serve.host of the config.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on. Default: serve.port.")
@click.option("--workers", type=click.IntRange(1), help="Processes that answer. Default: serve.workers.")
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Listen where others can reach it although there are no tokens in serve.tokens.",
)
def cli(
    config: Config, stack: str, host: str | None, port: int | None, workers: int | None, allow_remote: bool
) -> None:
    """Answer predictions over HTTP with the released model, until it is interrupted."""
    from bento.guard import Guard, variable
    from bento.process import ROOT, command, is_taken, service_environment
    from perennial.errors import InputError, LedgerError
    from perennial.home import home
    from perennial.live import release
    from perennial.live.sign import PUBLIC

    tokens = read_tokens(config)
    is_shut = Guard(tokens).is_shut
    host = listening_address(host or config.serve.host, allow_remote or is_shut)
    port = port or config.serve.port
    workers = workers or config.serve.workers
    releases = releases_folder(stack)
    champion = release.champion_bundle(releases, config.system, home().keys / PUBLIC)
    if champion is None:
        raise LedgerError(
            f"{config.system}: expected a release to serve, found none in {releases}; "
            "train it first with `python run.py train`"
        )
    if is_taken(host, port):
        raise InputError(f"expected a free port, found {host}:{port} in use; name another one with --port")
    environment = service_environment(
        releases, config.system, home().keys / PUBLIC, config.serve.max_rows, workers, home().root
    )
    bentoml_home = home().root / "bentoml" / str(port)
    bentoml_home.mkdir(parents=True, exist_ok=True)
    click.echo(
        f"serving {config.system} {champion.manifest.version} at http://{host}:{port} with {workers} "
        f"worker{'s' * (workers > 1)}: POST /predict, schema at /docs.json"
    )
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execve(
        sys.executable,
        command(host, port),
        {
            **os.environ,
            "BENTOML_HOME": str(bentoml_home),
            **environment,
            **{variable(role): token for role, token in tokens.items()},
        },
    )


def read_tokens(config: Config) -> dict[str, str]:
    """The secrets behind `serve.tokens`, by role, over those of the environment.

    Raises:
        ConfigError: a reference names a secret that is not there.
    """
    from bento.guard import tokens_in
    from perennial.config_file import secret

    named = {role: reference for role, reference in config.serve.tokens.model_dump().items() if reference}
    return tokens_in(os.environ) | {role: secret(reference) for role, reference in named.items()}


def listening_address(host: str, allow_remote: bool) -> str:
    """The IP address to listen on; raises InputError where others could reach it and that was not allowed."""
    import ipaddress

    from perennial.errors import InputError

    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise InputError(f"expected an IP address to listen on, found {host!r}; try 127.0.0.1") from None
    if not (address.is_loopback or allow_remote):
        raise InputError(
            f"expected a loopback address, found {host}; the service asks nobody who he is, so name tokens in "
            "serve.tokens, or pass --allow-remote where something before it asks"
        )
    return str(address)
