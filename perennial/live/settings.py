"""The config that a model came from, as its bundle keeps it, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perennial.config import Config

SECTIONS = ("seed", "source", "checks", "features", "split", "learn", "evaluate", "promotion", "bundle")
UNSAID = "headers"
FREE = ".translate."
"""What keys follow that may hold dots of their own."""


@dataclass(frozen=True)
class Change:
    """A key with its values in two configs; `absent` stands for a key that only the other one has."""

    key: str
    before: Any
    after: Any


class Absent:
    """What a key holds that a config does not have."""

    def __repr__(self) -> str:
        return "not set"


ABSENT = Absent()


def settings(config: Config) -> dict[str, Any]:
    """The values that decide what a model becomes, as JSON values by dotted key.

    Left out is what only says where and when things run or who is told, and request headers, which may hold what
    nobody else should read.
    """
    values = config.model_dump(mode="json", include=set(SECTIONS))
    return {key: value for key, value in _leaves(values, "") if UNSAID not in key.split(".")}


def sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that `settings` took apart, as they stand in a config; lists of mappings stay taken apart.

    >>> sections({"source.kind": "web", "source.pace.retries": 4, "features": None})
    {'source': {'kind': 'web', 'pace': {'retries': 4}}, 'features': None}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        place, text, word = key.partition(FREE)
        *outer, last = [*place.split("."), text.strip("."), word] if text else place.split(".")
        inner = found
        for name in outer:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return found


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every key whose value differs, in the order of `before`, then what only `after` has."""
    keys = dict.fromkeys((*before, *after))
    pairs = ((key, before.get(key, ABSENT), after.get(key, ABSENT)) for key in keys)
    return tuple(Change(key, old, new) for key, old, new in pairs if old != new)


def _leaves(value: Any, key: str) -> list[tuple[str, Any]]:
    """Every plain value under a key; empty mappings, and lists of plain values, are values themselves."""
    inner: list[tuple[str, Any]] = []
    if isinstance(value, dict) and value:
        inner = list(value.items())
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        inner = [(str(place), item) for place, item in enumerate(value)]
    else:
        return [(key, value)]
    return [leaf for name, item in inner for leaf in _leaves(item, f"{key}.{name}" if key else str(name))]
