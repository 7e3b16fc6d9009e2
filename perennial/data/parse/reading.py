"""What every reader of answers hands over, before any value is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast
from urllib.parse import urldefrag, urljoin

from perennial.data.parse.select import Raw
from perennial.errors import Violation

T = TypeVar("T")

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]+)?(?=[/?#]|\Z)")
_FROM_ROOT = re.compile(r"(?:/[\w~%+-][\w~%.+-]*)+(?:\?[\w=&%.+-]+)?", re.ASCII)
"""Addresses such as /cars/golf.html?page=2, for which joining is putting the origin before them."""


@dataclass(frozen=True)
class Found:
    """What was found in an answer: `columns` has per field one entry for each of `rows` rows.

    `base` is the address that relative ones are joined to; `plain` says that programs wrote the numbers.
    """

    rows: int
    columns: Mapping[str, Sequence[Raw]]
    links: tuple[str, ...] = ()
    base: str = ""
    plain: bool = False
    layout: str = ""
    ragged: frozenset[int] = field(default_factory=frozenset)


class Reader(Protocol):
    """What finds rows and fields in answers of one format."""

    def find(self, body: bytes, content_type: str, url: str) -> Found:
        """What the answer holds; raises ParseError where it is not of the format."""
        ...


class Attempts:
    """Collects what is wrong in a feed while its parts are compiled, so that all of it is told at once."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def __call__(self, where: str, make: Callable[[], T]) -> T:
        """What `make` returns; where it raises ValueError a violation is noted and the result is of no use."""
        try:
            return make()
        except ValueError as error:
            self.violations.append(Violation(where, str(error)))
            return cast(T, None)

    def expect(self, where: str, holds: bool, problem: str) -> None:
        """Notes `problem` unless it `holds`."""
        if not holds:
            self.violations.append(Violation(where, problem))


def addresser(base: str) -> Callable[[str], str]:
    """What gives the absolute address that is written on a page at `base`, without its fragment.

    It raises ValueError where that is no http or https address.

    >>> addresser("https://example.org/cars/?page=2")("golf.html#price")
    'https://example.org/cars/golf.html'
    """
    origin = _ORIGIN.match(base)

    def address(written: str) -> str:
        if origin and _FROM_ROOT.fullmatch(written):
            return origin[0] + written
        found = urldefrag(urljoin(base, written.strip())).url.replace(" ", "%20")
        if not found.startswith(("http://", "https://")):
            raise ValueError("an http or https address expected")
        return found

    return address


def addresses(base: str, written: Sequence[object]) -> tuple[str, ...]:
    """The absolute addresses among `written`, each once, in order; what is none is left out."""
    address = addresser(base)
    links: dict[str, None] = {}
    for item in written:
        if isinstance(item, str) and item.strip():
            try:
                links[address(item)] = None
            except ValueError:
                continue
    return tuple(links)
