"""How the service begins: secrets are read, the address is checked, then `bentoml serve` takes the process over."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from bento.guard import ROLES, variable
from bento.process import ROOT, command, is_taken
from bento.tls import Pair
from perennial.errors import InputError
from perennial.live.journal.address import VARIABLE, resolved

PLACES = ("PERENNIAL_HOME", "PERENNIAL_RELEASES", "PERENNIAL_PUBLIC_KEY")
"""The variables that name files and folders, besides PERENNIAL_JOURNAL."""
SECRETS = (*(variable(role) for role in ROLES), "PERENNIAL_JOURNAL")
"""The variables that may be given as a file: `NAME_FILE` names it."""


def with_files(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment whose secrets stand in it, each taken from its file where `NAME_FILE` names one.

    Raises:
        InputError: a file cannot be read or is empty, or a secret is given twice.
    """
    made = dict(environment)
    for name in SECRETS:
        path = made.pop(f"{name}_FILE", "")
        if not path:
            continue
        if made.get(name):
            raise InputError(f"expected {name} or {name}_FILE, found both; leave one out")
        try:
            made[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            told = getattr(error, "strerror", None) or "not text"
            raise InputError(f"expected {name}_FILE to name a file to read, found {path} ({told})") from None
        if not made[name]:
            raise InputError(f"expected a secret in {path}, found it empty")
    return made


def with_absolute_paths(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment whose paths mean the same in another folder, which `become_service` goes to."""
    places = {name: str(Path(environment[name]).absolute()) for name in PLACES if environment.get(name)}
    journal = {VARIABLE: resolved("", environment)} if environment.get(VARIABLE) else {}
    return {**environment, **places, **journal}


def listening_address(host: str, allow_remote: bool) -> str:
    """The IP address to listen on; raises InputError where others could reach it and that was not allowed."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise InputError(f"expected an IP address to listen on, found {host!r}; try 127.0.0.1") from None
    if not (address.is_loopback or allow_remote):
        raise InputError(
            f"expected a loopback address, found {host}; the service asks nobody who he is, so name tokens in "
            "serve.tokens (or PERENNIAL_TOKEN_PREDICT), or pass --allow-remote where something before it asks"
        )
    return str(address)


def check_port(host: str, port: int) -> None:
    """Return if this process can listen there; raises InputError."""
    try:
        taken = is_taken(host, port)
    except OSError as error:
        raise InputError(
            f"expected an address and a port to listen on, found {host}:{port} ({error.strerror}); name others"
        ) from None
    if taken:
        raise InputError(f"expected a free port, found {host}:{port} in use; name another one with --port")


def become_service(host: str, port: int, tls: Pair | None, environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by `bentoml serve`, in `ROOT`."""
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execve(sys.executable, command(host, port, tls=tls), dict(environment))
