"""What the tests that attack the real thing share."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

import pytest

import run as run_py
from tests.project import ROOT, Project

gc.enable()  # run.py switches it off, which is meant for processes that end soon

CONFIG = "configs/synthetic.yaml"
STORE = Path("stacks/local/zenml/local_stores/default_zen_store/zenml.db")

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def only_sentence(output: str) -> str:
    """The sentence of a command that failed: one line, the last, and no trace anywhere."""
    assert "Traceback" not in output, output
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and output.splitlines()[-1] == lines[0], output
    assert "unexpected" not in lines[0], output
    return lines[0]


def golden_rows(project: Project, path: Path) -> Path:
    """A file of the rows that v2 was tested with."""
    path.write_text("\n".join(json.dumps(row) for row in project.bundle("v2", "golden.json")["rows"]))
    return path


def call(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str]:
    """Exit code and output of a light command, run in this process for speed."""
    monkeypatch.setenv("PERENNIAL_HOME", str(project.home))
    monkeypatch.chdir(ROOT)
    code = run_py.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out + captured.err
