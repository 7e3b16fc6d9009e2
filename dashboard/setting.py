"""What the page was started with, and the release that it shows."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perennial.config import Config
from perennial.config_file import load, secret
from perennial.errors import LedgerError
from perennial.home import home
from perennial.live import ledger, shelf
from perennial.live.bundle import Bundle
from perennial.live.sign import PUBLIC


@dataclass(frozen=True)
class Setting:
    """What the page was started with.

    Attributes:
        path: the config's file, as it was named.
        config: what it says.
        releases: the folder of bundles and ledgers.
        service: the address of the running service, without a slash behind it.
    """

    path: str
    config: Config
    releases: Path
    service: str

    @property
    def serve_command(self) -> str:
        """How to start the service that the page asks."""
        return f"python run.py serve --config {self.path}"

    def token(self, role: str) -> str:
        """The secret for a role, else that of the admin; "" where the service asks nobody. Raises InputError."""
        named = self.config.serve.tokens.model_dump()
        for one in (role, "admin"):
            if reference := named[one]:
                return secret(reference)
            if found := os.environ.get(f"PERENNIAL_TOKEN_{one.upper()}"):
                return found
        return ""


def arguments(setting: Sequence[str], config: str, releases: Path, service: str) -> list[str]:
    """The arguments that `read` reads."""
    laid_over = [word for one in setting for word in ("--set", one)]
    return ["--config", config, *laid_over, "--releases", str(releases), "--service", service]


def read(words: Sequence[str]) -> Setting:
    """What the page was started with; raises ConfigError."""
    parser = argparse.ArgumentParser(prog="dashboard/app.py")
    parser.add_argument("--set", action="append", default=[])
    for name in ("config", "releases", "service"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args(list(words))
    config = load(given.config, Config, given.set).config
    return Setting(given.config, config, Path(given.releases), given.service.rstrip("/"))


def champion_digest(setting: Setting) -> str:
    """What tells the release that answers from all others; "" where there is none. Raises LedgerError."""
    entry = ledger.champion(shelf.history(setting.releases, setting.config.system))
    return entry.facts.bundle_digest if entry else ""


def champion(setting: Setting) -> Bundle:
    """The bundle of the release that answers, checked; raises LedgerError or BundleError."""
    entry = ledger.champion(shelf.history(setting.releases, setting.config.system))
    if entry is None:
        raise LedgerError(
            f"{setting.config.system}: expected a release, found none in {setting.releases}; "
            f"train it first with `python run.py train --config {setting.path}`"
        )
    return shelf.released(setting.releases, entry, home().keys / PUBLIC)
