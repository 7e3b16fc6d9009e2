"""From what a config says to where the journal is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from perennial.errors import InputError
from perennial.live.journal.store import Store, open_store

OFF = "off"
VARIABLE = "PERENNIAL_JOURNAL"
SQLITE = "sqlite:///"


def resolved(address: str, environment: Mapping[str, str] = os.environ) -> str:
    """Where the journal is: an absolute file, a URL, "" for the system's file in the state folder, or `off`.

    Args:
        address: `journal.address` of a config; "" for what PERENNIAL_JOURNAL says.
        environment: holds that variable, and the secrets that addresses refer to.

    Raises:
        InputError: the address refers to a variable that is not set.
    """
    found = address or environment.get(VARIABLE, "")
    if address.startswith("env:"):
        found = environment.get(address.removeprefix("env:"), "")
        if not found:
            raise InputError(
                f"expected {address.removeprefix('env:')} to hold the address of the journal, found it unset; set it"
            )
    if found.startswith(SQLITE) and not found.startswith(f"{SQLITE}/"):
        return SQLITE + str(Path(found.removeprefix(SQLITE)).absolute())
    return found if found in ("", OFF) or "://" in found else str(Path(found).absolute())


def open_journal(system: str, address: str, environment: Mapping[str, str] = os.environ) -> Store:
    """The journal that a config names (see `resolved`); raises InputError also where it is off."""
    found = resolved(address, environment)
    if found == OFF:
        raise InputError(f"{system}: expected a journal, found it off; see journal.address in the config")
    return open_store(system, found or None)
