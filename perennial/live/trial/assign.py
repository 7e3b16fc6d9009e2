"""Which arm of a trial a unit belongs to: always the same one, and in the shares that were asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from perennial.errors import InputError

ROOM = 2.0**64


def arm_of(unit: str, salt: str, shares: Mapping[str, float]) -> str:
    """The arm that answers a unit: by its place in (0, 1), where the arms lie side by side in the order of names.

    The place is a hash of salt and unit, so that it is the same in every worker and on every day, and another trial
    (another salt) mixes all units anew. An arm that grows at the cost of the last one takes over units of that one
    alone.

    Args:
        unit: who is answered, such as a customer or a device; it should not change with the request.
        salt: what tells this trial from others.
        shares: the share of each arm, above 0; they sum to 1.

    Raises:
        InputError: where the shares do not.

    >>> arm_of("customer 7", "spring", {"champion": 0.9, "challenger": 0.1})
    'champion'
    """
    checked(shares)
    place = place_of(unit, salt)
    reached = 0.0
    names = list(shares)
    for name in names:
        reached += shares[name]
        if place < reached:
            return name
    return names[-1]


def place_of(unit: str, salt: str) -> float:
    """The place of a unit, in [0, 1): evenly spread, and independent of its place under another salt."""
    digest = hashlib.blake2b(
        unit.encode(), key=hashlib.sha256(salt.encode()).digest(), digest_size=8
    ).digest()
    return int.from_bytes(digest, "big") / ROOM


def checked(shares: Mapping[str, float]) -> None:
    """Raises InputError unless there are two arms or more with shares above 0 that sum to 1."""
    total = sum(shares.values())
    if len(shares) < 2 or min(shares.values(), default=0.0) <= 0.0 or abs(total - 1.0) > 1e-9:
        told = ", ".join(f"{name} {share:g}" for name, share in shares.items()) or "none"
        raise InputError(f"expected shares of two arms or more, each above 0 and 1 altogether, found {told}")
