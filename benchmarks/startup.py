"""How long the commands take that people type most."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import in_turn, table

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 10


def main(_arguments: list[str]) -> None:
    """Prints the table; budget: under 0.5 s each. The state folder is this checkout's where it has one."""
    run = [sys.executable, str(ROOT / "run.py")]
    with tempfile.TemporaryDirectory() as empty:
        home = os.environ.get("PERENNIAL_HOME") or (
            str(ROOT / ".perennial") if (ROOT / ".perennial").exists() else empty
        )
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "run.py --help": [*run, "--help"],
            "run.py status": [*run, "status"],
            "run.py train --help": [*run, "train", "--help"],
        }
        print(table(in_turn(commands, ROUNDS, {"PERENNIAL_HOME": home}), "python -c pass"))
