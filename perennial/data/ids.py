"""Row ids made from content: the same values give the same id in every run and on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Words = npt.NDArray[np.uint64]

_MISSING = np.uint64(0x9AE16A3B2F90404F)


def row_ids(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series[str]:
    """The id of every row: 16 hex digits of a 64-bit hash over the given columns' values.

    Rows that agree in all of them (missing equals missing, 2 equals 2.0, -0.0 equals 0.0) share an id; the
    order of the rows and all other columns do not matter. Two different rows collide with probability
    2**-64. Made for content, not for secrecy.

    >>> row_ids(pd.DataFrame({"make": ["ford", "ford"], "year": [2019, 2019.0]}), ["make", "year"]).nunique()
    1
    """
    ids = np.zeros(len(frame), dtype=np.uint64)
    for name in columns:
        ids = _mixed(ids ^ _mixed(_words(frame[name]) ^ text_words([name])[0]))
    text = [f"{word:016x}" for word in ids.tolist()]
    return pd.Series(text, index=frame.index, dtype=object, name="id")


def text_words(texts: Iterable[str], salt: str = "") -> Words:
    """A 64-bit hash (BLAKE2b) of every text, shape (n,); another `salt` gives unrelated numbers."""
    key = hashlib.blake2b(salt.encode(), digest_size=16).digest()
    digests = b"".join(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
        for text in texts
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _words(values: pd.Series[Any]) -> Words:
    """One 64-bit word per value: the bits of a number, the hash of anything else."""
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0
        return np.where(np.isnan(numbers), _MISSING, numbers.view(np.uint64))
    codes, uniques = pd.factorize(values)
    hashed = text_words(map(_text, uniques))
    return np.append(hashed, _MISSING)[codes]


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, pd.Timestamp) else str(value)


def _mixed(words: Words) -> Words:
    """Every word scrambled (the finaliser of splitmix64: Steele, Lea and Flood 2014)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
