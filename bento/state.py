"""Which release this process answers with, and what it says about itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.errors import InputError, LedgerError, UnknownNameError
from perennial.home import home
from perennial.live import ledger, release, shelf

if TYPE_CHECKING:
    from perennial.live.bundle import Bundle
    from perennial.live.ledger import Entry
    from perennial.live.predict import Predictor


@dataclass(frozen=True)
class Settings:
    """Where the service finds what it serves, how much one request may ask, and how often it looks for releases."""

    releases: Path
    system: str | None
    public_key: Path
    max_rows: int
    watch_s: float


@dataclass(frozen=True)
class Ready:
    """A release whose golden rows were answered as they must be, in this process."""

    predictor: Predictor
    max_rows: int

    @property
    def bundle(self) -> Bundle:
        """The bundle that answers."""
        return self.predictor.bundle


@dataclass(frozen=True)
class NotReady:
    """Nothing answers here; `reason` is one sentence that says why."""

    reason: str


def settings(environment: Mapping[str, str]) -> Settings:
    """The settings in PERENNIAL_RELEASES, _SYSTEM, _PUBLIC_KEY, _MAX_ROWS and _WATCH_S; raises InputError."""
    from perennial.live.sign import PUBLIC

    root = home(environment)
    max_rows = environment.get("PERENNIAL_MAX_ROWS") or "1000"
    if not (max_rows.isascii() and max_rows.isdigit() and int(max_rows) > 0):
        raise InputError(f"expected PERENNIAL_MAX_ROWS to be a whole number above 0, found {max_rows!r}")
    return Settings(
        releases=Path(environment.get("PERENNIAL_RELEASES") or root.releases),
        system=environment.get("PERENNIAL_SYSTEM") or None,
        public_key=Path(environment.get("PERENNIAL_PUBLIC_KEY") or root.keys / PUBLIC),
        max_rows=int(max_rows),
        watch_s=_seconds(environment.get("PERENNIAL_WATCH_S") or "2"),
    )


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0.0 < found < math.inf:
        raise InputError(f"expected PERENNIAL_WATCH_S to be a number of seconds above 0, found {text!r}")
    return found


def released(chosen: Settings, entry: Entry) -> Ready:
    """The release of a ledger's entry, its golden rows replayed just now; raises PerennialError where it is wrong."""
    from perennial.live.load import load_predictor

    bundle = shelf.released(chosen.releases, entry, chosen.public_key)
    return Ready(load_predictor(bundle), chosen.max_rows)


def facts(ready: Ready) -> dict[str, Any]:
    """What the model says about itself at `/model`: plain JSON values."""
    manifest = ready.bundle.manifest
    told = ("task", "target", "unit", "candidate", "created_at", "sequence", "backend", "seed")
    return {
        "model": manifest.system,
        "version": manifest.version,
        **{name: getattr(manifest, name) for name in told},
        "classes": list(ready.bundle.rule.classes),
        "threshold": ready.bundle.rule.threshold if len(ready.bundle.rule.classes) == 2 else None,
        "digest": ready.bundle.digest,
        "dataset": {name: value for name, value in manifest.dataset.items() if name != "uri"},
        "parity": dict(manifest.parity),
        "metrics": ready.bundle.metrics["evaluation"]["metrics"],
        "contract": [asdict(column) for column in ready.bundle.contract.columns],
        "max_rows": ready.max_rows,
    }


def champion_entry(releases: Path, system: str) -> Entry:
    """The ledger's entry that says what serves.

    Raises:
        UnknownNameError: there is no such system.
        LedgerError: nothing was released yet, or the ledger is broken.
    """
    entry = ledger.champion(shelf.history(releases, system))
    if entry is None:
        known = [row.system for row in release.status(releases)]
        if system not in known:
            raise UnknownNameError("released system", system, known)
        raise LedgerError(f"{system}: expected a champion to serve, found none; promote a bundle first")
    return entry


def only_system(releases: Path) -> str:
    """The one system with a champion; raises InputError or LedgerError where there are several, or none."""
    rows = release.status(releases)
    systems = [row.system for row in rows if row.version is not None]
    if len(systems) == 1:
        return systems[0]
    for row in rows:
        if row.problem:
            raise LedgerError(row.problem)
    if systems:
        raise InputError(f"expected PERENNIAL_SYSTEM to name one of {', '.join(systems)}, found it unset")
    raise LedgerError(f"expected a champion under {releases}, found none; train and promote a model first")
