"""Row ids as numbers, and the digest that tells hold-out rows from others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from perennial.table import Table


def id_words(ids: Iterable[Any]) -> npt.NDArray[np.uint64]:
    """Row ids as 64-bit words: 16 hex digits as the number they spell, anything else by its SHA-256."""
    return np.array([_word(str(i)) for i in ids], dtype=np.uint64)


def holdout_digest(holdout: Table) -> str:
    """SHA-256 over ids and targets of the hold-out rows, whatever their order.

    Metrics of two models can be held against each other where they were measured on the same digest.
    """
    words, truth = id_words(holdout.ids), holdout.y
    order = np.lexsort((truth, words))
    told = truth[order].tobytes() if holdout.contract.target.is_numeric else "\0".join(truth[order]).encode()
    return hashlib.sha256(words[order].tobytes() + told).hexdigest()


def _word(text: str) -> int:
    if len(text) == 16 and set(text) <= set("0123456789abcdef"):
        return int(text, 16)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
