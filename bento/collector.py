"""Python's garbage collector in a process that answers requests: it must not stop the world while one waits."""

from __future__ import annotations

import gc

YOUNG = 50_000
"""Objects made between two looks at the young ones; an answer of one row leaves none behind."""


def settle() -> None:
    """Take all that is loaded out of the collector's sight; to be called when a release was made ready.

    A collection that passes over the loaded libraries and the model takes a quarter of a second, and hits the one
    request that happens to be answered. What is frozen is still freed when nothing refers to it any more; only
    cycles in it stay.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 100)
