"""`run.py serve`: answers over HTTP, by `bentoml serve`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
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
@click.option("--tls-certificate", metavar="FILE", help="Speak TLS with this certificate, in PEM.")
@click.option(
    "--tls-key", metavar="FILE", help="The certificate's private key, in PEM and without a password."
)
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Listen where others can reach it although there are no tokens in serve.tokens.",
)
def cli(
    config: Config,
    stack: str,
    host: str | None,
    port: int | None,
    workers: int | None,
    tls_certificate: str | None,
    tls_key: str | None,
    allow_remote: bool,
) -> None:
    """Answer predictions over HTTP with the released model, until it is interrupted."""
    from bento import tls
    from bento.forecast.wiring import LATE_HOURS
    from bento.guard import Guard, variable
    from bento.launch import become_service, check_port, listening_address
    from bento.process import service_environment
    from perennial.errors import LedgerError
    from perennial.home import home
    from perennial.live import release
    from perennial.live.sign import PUBLIC

    tokens = read_tokens(config)
    is_shut = Guard(tokens).is_shut
    host = listening_address(host or config.serve.host, allow_remote or is_shut)
    port = port or config.serve.port
    workers = workers or config.serve.workers
    pair = tls.checked(
        tls_certificate or config.serve.tls_certificate, tls_key or config.serve.tls_key, datetime.now(UTC)
    )
    releases = releases_folder(stack)
    champion = release.champion_bundle(releases, config.system, home().keys / PUBLIC)
    if champion is None:
        raise LedgerError(
            f"{config.system}: expected a release to serve, found none in {releases}; "
            "train it first with `python run.py train`"
        )
    check_port(host, port)
    environment = service_environment(
        releases, config.system, home().keys / PUBLIC, config.serve.max_rows, workers, home().root
    )
    bentoml_home = home().root / "bentoml" / str(port)
    bentoml_home.mkdir(parents=True, exist_ok=True)
    scheme = "https" if pair else "http"
    click.echo(
        f"serving {config.system} {champion.manifest.version} at {scheme}://{host}:{port} with {workers} "
        f"worker{'s' * (workers > 1)}: POST /predict, schema at /docs.json"
    )
    become_service(
        host,
        port,
        pair,
        {
            **os.environ,
            "BENTOML_HOME": str(bentoml_home),
            **environment,
            **journal_environment(config),
            LATE_HOURS: f"{config.serve.late_hours!r}",
            **{variable(role): token for role, token in tokens.items()},
        },
    )


def journal_environment(config: Config) -> dict[str, str]:
    """The variables that tell a service of its journal and of who is told; alert addresses stay references."""
    from bento.alarm import AFTER_S, ALERTS
    from bento.prune import ADDRESS, KEEP_DAYS, KEEP_MB
    from perennial.live.journal.address import resolved

    section = config.journal
    return {
        ADDRESS: resolved(section.address),
        KEEP_DAYS: f"{section.keep_days!r}",
        KEEP_MB: f"{section.keep_mb!r}",
        AFTER_S: f"{section.alert_after_s!r}",
        ALERTS: ",".join(config.alerts.to),
    }


def read_tokens(config: Config) -> dict[str, str]:
    """The secrets behind `serve.tokens`, by role, over those of the environment.

    Raises:
        ConfigError: a reference names a secret that is not there.
    """
    from bento.guard import tokens_in
    from perennial.config_file import secret

    named = {role: reference for role, reference in config.serve.tokens.model_dump().items() if reference}
    return tokens_in(os.environ) | {role: secret(reference) for role, reference in named.items()}
