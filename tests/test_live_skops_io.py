"""The quick import of skops is the same skops: it trusts the same types, and hides nothing afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TRUSTED = """
import importlib, json, sys
sys.path.insert(0, {root!r})
{imported}
types = importlib.import_module("skops.io._trusted_types")
trusted = {{name: sorted(value) for name, value in vars(types).items() if name.endswith("TYPE_NAMES")}}
print(json.dumps([trusted, [name for name in {names!r} if name in sys.modules]]))
import {bridge}, pytest  # fails where it is still hidden
"""
OURS = "from perennial.live.skops_io import skops_io; skops_io()"
BRIDGE = "sklearn.externals.array_api_compat.dask"
MISSING = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
sys.modules["skops"] = None
{OURS}
"""


def ran(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_same_types_are_trusted_and_what_was_hidden_can_be_imported_later():
    pytest.importorskip("dask")
    names = [BRIDGE, "dask", "torch", "cupy"]
    runs = [
        ran(TRUSTED.format(root=str(ROOT), imported=imported, names=names, bridge=BRIDGE))
        for imported in ("import skops.io", OURS)
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[1].stderr
    plain, ours = (json.loads(run.stdout) for run in runs)
    assert ours[0] == plain[0]
    assert len(ours[0]["SKLEARN_ESTIMATOR_TYPE_NAMES"]) > 100
    assert BRIDGE in plain[1]
    assert ours[1] == []


def test_a_missing_skops_is_an_import_error():
    assert "ModuleNotFoundError" in ran(MISSING).stderr
