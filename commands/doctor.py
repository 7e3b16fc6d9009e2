"""`run.py doctor`: what is wrong here, and how to mend it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.options import releases_folder, stack_option
from perennial.errors import PerennialError

if TYPE_CHECKING:
    from pipelines.stack_check import Tried

IMPORTS = (
    "zenml",
    "mlflow",
    "sklearn",
    "pandas",
    "evidently",
    "bentoml",
    "onnxruntime",
    "lightgbm",
    "deltalake",
)


@click.command(short_help="Check this machine and the state folder, with a remedy for all it finds.")
@stack_option
@click.option(
    "--mend", is_flag=True, help="Set mirrors that have fallen behind the ledger, such as MLflow's alias."
)
def cli(stack: str, mend: bool) -> None:
    """Check this machine and the state folder, with a remedy for all it finds."""
    failed = 0
    for row in examine(stack, mend):
        failed += not row.works
        click.echo(f"{'ok  ' if row.works else 'FAIL'}  {row.what:<14}{row.sentence}")
    if failed:
        raise PerennialError(
            f"expected nothing to mend, found {failed} of the above; the remedy stands beside each"
        )


def examine(stack: str, mend: bool) -> Iterator[Tried]:
    """Everything that can be wrong on this machine, one after another."""
    from perennial.home import home
    from pipelines.stack_check import check_stack, tried

    state, releases = home(), releases_folder(stack)
    yield tried("python", _python)
    yield tried("packages", _packages)
    yield from check_stack(stack, state.engine(stack))
    yield tried("signing key", lambda: _signing_key(state.keys))
    for system in sorted(p.name for p in releases.iterdir()) if releases.is_dir() else ():
        yield tried(system, lambda system=system: _champion(releases, system, state.keys))
        yield tried(
            "mirror", lambda system=system: _mirror(stack, state.engine(stack), releases, system, mend)
        )


def _python() -> str:
    found = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise ValueError(
            f"expected Python 3.11 to 3.13, found {found}; remove .venv and run `make setup` with another"
        )
    return found


def _packages() -> str:
    """Imports what pip only believes to be compatible."""
    from pipelines.stack import quieten

    quieten()
    broken = []
    for name in IMPORTS:
        try:
            importlib.import_module(name)
        except ImportError as error:
            broken.append(f"{name} ({error})")
    if broken:
        raise ValueError(
            f"expected all packages to import, found broken: {', '.join(broken)}; run `make setup`"
        )
    return f"{len(IMPORTS)} import"


def _signing_key(folder: Path) -> str:
    from perennial.live.sign import PRIVATE, PUBLIC, key_pair

    path = folder / PRIVATE
    if not path.exists() and not (folder / PUBLIC).exists():
        return "none yet; the first bundle makes one"
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    if mode != 0o600:
        raise ValueError(f"expected {path} with mode 0600, found {mode:04o}; run `chmod 600 {path}`")
    key_pair(folder)
    return f"{path}, mode 0600, belongs to its public half"


def _champion(releases: Path, system: str, keys: Path) -> str:
    """Verifies the ledger's chain and replays the champion's golden rows."""
    from perennial.live.load import load_predictor
    from perennial.live.release import champion_bundle, history
    from perennial.live.sign import PUBLIC

    entries = history(releases, system)
    bundle = champion_bundle(releases, system, keys / PUBLIC)
    if bundle is None:
        return "nothing released yet"
    load_predictor(bundle)
    rows = len(bundle.golden["rows"])
    return f"{bundle.manifest.version} serves: the ledger is whole ({len(entries)} in all), {rows} golden rows match"


def _mirror(stack: str, folder: Path, releases: Path, system: str, mend: bool) -> str:
    from perennial.live.ledger import champion
    from perennial.live.release import history
    from pipelines.mirror import check_mirror

    entry = champion(history(releases, system))
    return (
        check_mirror(stack, folder, system, entry.facts.version, mend) if entry else "nothing to mirror yet"
    )
