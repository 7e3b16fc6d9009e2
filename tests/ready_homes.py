"""State folders made once per run of the tests, by whichever process needs one first, and copied from there."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.project import ROOT, Project

OPEN = "import sys, pathlib; from pipelines.stack import open_stack; open_stack('local', pathlib.Path(sys.argv[1]))"


@dataclass(frozen=True)
class Homes:
    """Makes projects whose state folders are copies.

    Attributes:
        folder: where the originals are, the same for every process of a run.
    """

    folder: Path

    def empty(self, home: Path) -> Project:
        """A project where nothing ran; ZenML's and MLflow's stores are there, which takes longer than a short run."""
        return self._copy("empty", _empty, home)[0]

    def trained(self, home: Path) -> tuple[Project, str]:
        """A project where `synthetic` was trained once with its own seed, and what that run printed; v1 serves."""
        return self._copy("trained", self._trained, home)

    def trained_twice(self, home: Path) -> Project:
        """A project where `synthetic` was trained with its own seed and then with another; v2 serves."""
        return self._copy("trained_twice", self._trained_twice, home)[0]

    def _trained(self, home: Path) -> str:
        return self.empty(home).train()

    def _trained_twice(self, home: Path) -> str:
        return self.trained(home)[0].train("--set", "seed=8")

    def _copy(self, name: str, make: Callable[[Path], str], home: Path) -> tuple[Project, str]:
        """The project in a copy of an original, made first where there is none, and what making it printed."""
        original, printed = self.folder / name, self.folder / f"{name}.txt"
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not printed.exists():
                shutil.rmtree(original, ignore_errors=True)
                printed.write_text(make(original), encoding="utf-8")
        shutil.copytree(original, home, dirs_exist_ok=True)
        return Project(home), printed.read_text(encoding="utf-8")


def _empty(home: Path) -> str:
    folder = home / "stacks" / "local"
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def homes_of_the_run(factory: pytest.TempPathFactory) -> Homes:
    """The homes of this run of the tests, which all its processes share."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "ready-homes"
    folder.mkdir(exist_ok=True)
    return Homes(folder)
