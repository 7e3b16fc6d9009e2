"""Private inputs never reach the journal: a contract's columns say which are masked or hashed."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from perennial.errors import JournalError
from perennial.live.files import write_exclusive
from perennial.table import Contract

MASKED = "***"
HASHED = "hmac:"
KEY_BYTES = 32
DIGITS = 32


@dataclass(frozen=True)
class Rules:
    """What becomes of inputs, by every name under which a column may arrive.

    Attributes:
        columns: `mask` hides a value, `hash` writes its HMAC-SHA256 (RFC 2104), so that equal values stay equal.
        names: the column's own name of every such name.
        key: the secret key of the hash; without it, guessing values and hashing them tells nothing.
    """

    columns: Mapping[str, Literal["mask", "hash"]]
    names: Mapping[str, str]
    key: bytes


def rules_of(contract: Contract, key: bytes) -> Rules:
    """The rules for the columns that the contract calls private."""
    private = {c.name: c.privacy for c in contract.columns if c.privacy}
    names = {name: own for name, own in contract.names.items() if own in private}
    return Rules({name: private[own] for name, own in names.items()}, names, key)


def without_key(contract: Contract) -> Rules:
    """The rules while there is no key to hash with: every private column is masked."""
    rules = rules_of(contract, b"")
    return replace(rules, columns=dict.fromkeys(rules.columns, "mask"))


def masked(rows: Sequence[Mapping[str, Any]], rules: Rules) -> list[Mapping[str, Any]]:
    """The rows without private values, in their order; a missing value stays missing.

    >>> masked([{"age": 3, "owner": "Ann"}], Rules({"owner": "mask"}, {"owner": "owner"}, b""))
    [{'age': 3, 'owner': '***'}]
    """
    if not rules.columns:
        return list(rows)
    return [
        {
            name: hidden(value, rules.columns[name], rules.key) if name in rules.columns else value
            for name, value in row.items()
        }
        for row in rows
    ]


def masked_flags(flags: Iterable[str], rules: Rules) -> tuple[str, ...]:
    """The sentences about a row; of one about a private column only the name is left.

    A sentence begins with the name of its column, and may repeat the value.
    """
    own = set(rules.names.values())
    return tuple(
        f"{text.split(' ', 1)[0]} was flagged" if text.split(" ", 1)[0] in own else text for text in flags
    )


def hidden(value: Any, how: Literal["mask", "hash"], key: bytes) -> Any:
    """What is written in place of a private value: None for None, else a text.

    Numbers of equal value hash alike: 1 and 1.0 are one value, "1" is another.
    """
    if value is None:
        return None
    if how == "mask":
        return MASKED
    plain = int(value) if isinstance(value, float) and value.is_integer() else value
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return HASHED + hmac.new(key, text.encode(), "sha256").hexdigest()[:DIGITS]


def rules_in(contract: Contract, folder: Path) -> tuple[Rules, str]:
    """The rules with the key of a folder, and "".

    Where the key cannot be had, every private column is masked, and the text says why: answers go on.
    """
    try:
        return rules_of(contract, key_for(contract, folder)), ""
    except (OSError, JournalError) as error:
        return without_key(
            contract
        ), f"private inputs are masked, for there is no key to hash them with: {error}"


def key_for(contract: Contract, folder: Path) -> bytes:
    """The secret key of a folder of journals (see `hash_key`), b"" where the contract calls nothing private."""
    return hash_key(folder / "hash.key") if any(column.privacy for column in contract.columns) else b""


def hash_key(path: Path) -> bytes:
    """The key in a file, made when it is first asked for; of several processes all get the same.

    Raises:
        OSError: the file can be neither read nor made.
        JournalError: it holds no key.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with contextlib.suppress(FileExistsError):  # another process made it first, and that one counts
            write_exclusive(path, os.urandom(KEY_BYTES), mode=0o600)
    key = path.read_bytes()
    if len(key) < KEY_BYTES:
        remedy = "put the file back, or remove it and have other hashes from now on"
        raise JournalError(path, f"expected a key of {KEY_BYTES} bytes, found {len(key)}", remedy)
    return key
