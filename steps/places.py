"""Where a system's collections and datasets are, under the state folder of this process."""

from __future__ import annotations

from perennial.data.intake import Places
from perennial.home import home


def places(system: str) -> Places:
    """The folders of a system; nothing is created."""
    at = home()
    return Places(at.collections / system, at.datasets / system, at.quarantine / system)
