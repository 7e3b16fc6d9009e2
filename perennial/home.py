"""Where state lives: `.perennial/` in the working directory, or the folder that PERENNIAL_HOME names."""

from __future__ import annotations

import os
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
    def quarantine(self) -> Path:
        """Rejected rows, a file per dataset version."""
        return self.root / "quarantine"

    @property
    def reports(self) -> Path:
        """Evaluation reports, `<system>/<version>.html`."""
        return self.root / "reports"

    @property
    def fetched(self) -> Path:
        """Bundles that were fetched from an artifact store, by digest; may be deleted at any time."""
        return self.root / "fetched"

    def engine(self, stack: str) -> Path:
        """What ZenML and MLflow keep for one stack, given by name or by file."""
        return self.root / "stacks" / Path(stack).stem


def home() -> Home:
    """The state folder of this process, absolute."""
    return Home(Path(os.environ.get("PERENNIAL_HOME") or ".perennial").absolute())
