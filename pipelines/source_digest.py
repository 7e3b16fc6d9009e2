"""The digest of our own source, which belongs to every cache key: ZenML sees the step's code alone."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("perennial", "steps", "materializers")


@cache
def source_digest() -> str:
    """SHA-256 over the paths and bytes of all source files of the library and the steps, in hex."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in (".py", ".jinja"):
                digest.update(f"{path.relative_to(ROOT)}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def cache_key() -> str:
    """What ZenML's cache must know besides a step's inputs: our source, and the state folder.

    Step outputs are remembered by their absolute paths, which hold no more once the folder was moved.
    """
    return f"{source_digest()} {os.environ.get('ZENML_CONFIG_PATH', '')}"
