"""Runs the project's own commands in real processes, on state folders of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SMALL = ("--set", "learn.candidates.0.trials=0", "--set", "learn.candidates.1.trials=0")


@dataclass(frozen=True)
class Project:
    """A checkout and a state folder; `run` is `python run.py ...` there."""

    home: Path
    root: Path = ROOT

    def environment(self) -> dict[str, str]:
        """This process's environment with the state folder in it, and no colours."""
        return {**os.environ, "PERENNIAL_HOME": str(self.home), "NO_COLOR": "1", "COLUMNS": "200"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command as a running process, output piped together."""
        return subprocess.Popen(
            [sys.executable, "run.py", *arguments],
            cwd=self.root,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """What the command printed; fails the test where it ends with another code."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=280)
        assert process.returncode == code, (
            f"run.py {' '.join(arguments)} ended with {process.returncode}:\n{output}"
        )
        return output

    def train(self, *settings: str, code: int = 0) -> str:
        """A training run of the synthetic system with as few trials as there can be."""
        return self.run("train", "--config", "configs/synthetic.yaml", *SMALL, *settings, code=code)

    def bundle(self, version: str, name: str, system: str = "synthetic") -> Any:
        """A JSON file of a bundle."""
        path = self.home / "releases" / system / "bundles" / version / name
        return json.loads(path.read_text(encoding="utf-8"))

    def ledger(self, system: str = "synthetic") -> Sequence[dict[str, Any]]:
        """All ledger entries in order."""
        folder = self.home / "releases" / system / "ledger"
        return [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]

    def outcomes(self, output: str) -> dict[str, str]:
        """Step -> what happened to it, from the table that `train` prints."""
        lines = output[output.index("what happened") :].splitlines()[1:]
        table = lines[: next(i for i, line in enumerate(lines) if not line.strip())]
        words = [line.split() for line in table]
        return {step: " ".join(rest).lstrip("0123456789. ") for step, *rest in words}
