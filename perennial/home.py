"""Where state lives: `.perennial/` in the working directory, or the folder that PERENNIAL_HOME names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The layout of the state folder; paths only, nothing is created."""

    root: Path

    @property
    def releases(self) -> Path:
        """All bundles and ledgers: `<system>/bundles/<version>/` and `<system>/ledger/`."""
        return self.root / "releases"

    @property
    def keys(self) -> Path:
        """The signing key pair. Never inside an artifact store."""
        return self.root / "keys"

    @property
    def datasets(self) -> Path:
        """One Delta table per system."""
        return self.root / "datasets"

    @property
    def collections(self) -> Path:
        """What collecting remembers, a folder per system: raw answers, frontier, log of collections."""
        return self.root / "collections"

    @property
    def quarantine(self) -> Path:
        """Rejected rows, a file per dataset version."""
        return self.root / "quarantine"

    @property
    def reports(self) -> Path:
        """Evaluation reports, `<system>/<version>.html`."""
        return self.root / "reports"

    @property
    def backtests(self) -> Path:
        """What backtests came to, `<system>/<moment>.html`, with `.json` and all forecasts as `.csv.gz` beside it."""
        return self.root / "backtests"

    @property
    def fetched(self) -> Path:
        """Bundles that were fetched from an artifact store, by digest; may be deleted at any time."""
        return self.root / "fetched"

    @property
    def incidents(self) -> Path:
        """Open and closed incidents, and every alert that was sent."""
        return self.root / "incidents"

    @property
    def profiles(self) -> Path:
        """Exploratory reports, `<system>/<dataset version>.html`."""
        return self.root / "profiles"

    @property
    def searches(self) -> Path:
        """What unfinished searches and backtests have done, a folder per system; may be deleted at any time."""
        return self.root / "searches"

    @property
    def journal(self) -> Path:
        """Every prediction and its truth, `<system>.sqlite`, and the key that hashes private inputs."""
        return self.root / "journal"

    @property
    def schedules(self) -> Path:
        """What `run.py schedule` remembers, a folder per system: last runs, pauses, locks."""
        return self.root / "schedules"

    def engine(self, stack: str) -> Path:
        """What ZenML and MLflow keep for one stack, given by name or by file."""
        return self.root / "stacks" / Path(stack).stem


def home(environment: Mapping[str, str] = os.environ) -> Home:
    """The state folder that an environment names, by default this process's own; absolute."""
    return Home(Path(environment.get("PERENNIAL_HOME") or ".perennial").absolute())
