"""Our backtest of 52 Monday origins of 48 hours, France 2018, beside a plain LightGBM loop: wall time and error.

Both start a fresh process, read the same hourly load and refit every week. Ours is the whole `run.py backtest`:
checks, leak tests, intervals of two levels, seven baselines and the page; its records were collected before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import in_turn, table

ROOT = Path(__file__).resolve().parent.parent
LOAD = ROOT.parent / "shared" / "data" / "electricity-load" / "fr_60min_2015_2018.csv.gz"
THEIRS = "plain LightGBM loop"
ERRORS = ("MAPE", "mean_absolute_percentage_error")


def main(arguments: list[str]) -> None:
    """Prints the table and what both printed, or a sentence where the file is absent."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks backtest")
    parser.add_argument("--path", type=Path, default=LOAD)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    if not given.path.is_file():
        print(f"skipped: expected the hourly load at {given.path}, found no such file; name one with --path")
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PERENNIAL_HOME": f"{folder}/home", "NO_COLOR": "1"}
        config = str(ROOT / "configs" / "files" / "load_fr.yaml")
        own = ["--config", config, "--set", f"source.feeds.load.walk.paths=[{given.path}]"]
        run = [sys.executable, str(ROOT / "run.py")]
        loop = ROOT / "benchmarks" / "contestants" / "weekly_lightgbm.py"
        commands = {
            THEIRS: [sys.executable, str(loop), str(given.path)],
            "run.py backtest": [*run, "backtest", *own],
        }
        in_turn({"collect": [*run, "collect", *own]}, 0, environment)
        print(table(in_turn(commands, given.rounds, environment), THEIRS), end="\n\n")
        for name, command in commands.items():
            done = subprocess.run(
                command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
            )
            told = (line.strip() for line in done.stdout.splitlines() if line.startswith(ERRORS))
            print(f"{name}: {next(told)}")
