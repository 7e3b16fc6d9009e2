"""`python -m bento`: serves the champion of a releases folder, told by the environment; what the serve image runs.

The service reads what `bento.service` names. Besides: PERENNIAL_HOST and PERENNIAL_PORT (default 127.0.0.1 and
3000), PERENNIAL_WORKERS (default 1), PERENNIAL_TLS_CERTIFICATE and PERENNIAL_TLS_KEY (files in PEM), and, where a
secret is in a file, PERENNIAL_TOKEN_PREDICT_FILE, _TRUTH_FILE and _ADMIN_FILE, and PERENNIAL_JOURNAL_FILE.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NoReturn

from bento import tls
from bento.guard import Guard, tokens_in
from bento.launch import become_service, check_port, listening_address, with_absolute_paths, with_files
from perennial.errors import InputError, PerennialError
from perennial.home import home


def parser() -> argparse.ArgumentParser:
    """The command line; every other setting comes from the environment."""
    made = argparse.ArgumentParser(
        prog="python -m bento", description="Serve the champion of a releases folder."
    )
    made.add_argument(
        "--allow-remote", action="store_true", help="listen beyond loopback although there are no tokens"
    )
    return made


def main(arguments: list[str], given: Mapping[str, str], now: datetime) -> int:
    """Becomes the service; returns an exit code only where it may not begin."""
    chosen = parser().parse_args(arguments)
    try:
        _serve(with_absolute_paths(with_files(given)), chosen.allow_remote, now)
    except PerennialError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code


def _serve(environment: dict[str, str], allow_remote: bool, now: datetime) -> NoReturn:
    is_shut = Guard(tokens_in(environment)).is_shut
    host = listening_address(environment.get("PERENNIAL_HOST") or "127.0.0.1", allow_remote or is_shut)
    port = _number(environment, "PERENNIAL_PORT", 3000, 65535)
    workers = _number(environment, "PERENNIAL_WORKERS", 1, 1024)
    pair = tls.checked(
        environment.get("PERENNIAL_TLS_CERTIFICATE"), environment.get("PERENNIAL_TLS_KEY"), now
    )
    check_port(host, port)
    root = home(environment).root
    bentoml_home = root / "bentoml" / str(port)
    options = f"services.perennial.workers={workers}"
    own = {"BENTOML_HOME": str(bentoml_home), "BENTOML_CONFIG_OPTIONS": options}
    become_service(host, port, pair, {**own, **environment, "PERENNIAL_HOME": str(root)})


def _number(environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environment.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise InputError(f"expected {name} to be a whole number from 1 to {most}, found {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, datetime.now(UTC)))
