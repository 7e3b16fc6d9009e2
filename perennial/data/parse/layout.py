"""Digests of the structure around rows, which tell that a site or an API was rebuilt."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from lxml import etree

from perennial.data.parse.select import Raw

Step = tuple[str, frozenset[str]]
Places = Mapping[str, Callable[[etree._Element], etree._Element | None]]

_SAMPLED_ROWS = 4
_MOST_NODES = 60
_DIGITS = re.compile(r"[0-9]+")


def of_elements(rows: Sequence[etree._Element], places: Places, columns: Mapping[str, Sequence[Raw]]) -> str:
    """A digest of the tags and classes from the root to the rows and from the rows to their values.

    `places` gives per field the element of a row that holds its value. Fields that most rows lack do not count,
    nor do digits in classes, nor classes that the rows looked at (two pairs of neighbours) do not share, such as
    odd and even. "" without rows.
    """
    if not rows:
        return ""
    parts = [_common([_way(row, None) for row in _pairs(rows)])]
    for name, place in places.items():
        hits = [row for row, found in zip(rows, columns[name], strict=True) if found is not None]
        if 2 * len(hits) > len(rows):
            ways = [_way(element, row) for row in _pairs(hits) if (element := place(row)) is not None]
            parts.append(f"{name} {_common(ways)}")
    return _digest(parts)


def of_objects(rows: Sequence[Any]) -> str:
    """A digest of the key paths that most of a few rows share; "" without rows."""
    if not rows:
        return ""
    sample = _pairs(rows)
    counts = Counter(path for row in sample for path in set(_key_paths(row)))
    return _digest(sorted(path for path, count in counts.items() if 2 * count > len(sample)))


def of_names(names: Sequence[str]) -> str:
    """A digest of the names of columns in their order."""
    return _digest(names)


def _pairs(rows: Sequence[Any]) -> list[Any]:
    """The first two rows and two in the middle."""
    if len(rows) <= _SAMPLED_ROWS:
        return list(rows)
    middle = len(rows) // 2
    return [rows[0], rows[1], rows[middle], rows[middle + 1]]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()


def _way(element: etree._Element | None, top: etree._Element | None) -> tuple[Step, ...]:
    """The steps from `element` up to `top`, or to the root."""
    steps: list[Step] = []
    while element is not None:
        steps.append(_step(str(element.tag), element.get("class") or ""))
        if element is top:
            break
        element = element.getparent()
    return tuple(steps)


@lru_cache(maxsize=10_000)
def _step(tag: str, classes: str) -> Step:
    return tag, frozenset(_DIGITS.sub("", classes).split())


def _common(ways: Sequence[tuple[Step, ...]]) -> str:
    """The most frequent way by its tags, with the classes that all who take it share."""
    if not ways:
        return ""
    tags = Counter(tuple(tag for tag, _ in way) for way in ways)
    most = max(sorted(tags), key=lambda way: tags[way])
    levels = zip(*(way for way in ways if tuple(tag for tag, _ in way) == most), strict=True)
    shared = (frozenset.intersection(*(classes for _, classes in level)) for level in levels)
    return "/".join(".".join([tag, *sorted(classes)]) for tag, classes in zip(most, shared, strict=True))


def _key_paths(value: Any) -> Iterator[str]:
    """The paths of a value's first keys, level by level; those of a list are the ones of its first item."""
    level = [("", value)]
    left = _MOST_NODES
    while level and left > 0:
        below = []
        for path, item in level[:left]:
            yield path
            if isinstance(item, dict):
                below += [(f"{path}/{key}", within) for key, within in item.items()]
            elif isinstance(item, list) and item:
                below.append((f"{path}/[]", item[0]))
        left -= len(level)
        level = below
