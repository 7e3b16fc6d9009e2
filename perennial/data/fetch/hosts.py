"""What is remembered about a host between collections: how slowly it wants to be asked, and its robots.txt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import msgspec


@dataclass(frozen=True)
class RobotsFile:
    """What asking for a robots.txt brought, and until when (UTC) that holds.

    `text` is "" where there is no robots.txt, and None where it could not be read, for the reason `trouble`:
    then everything is forbidden until it is asked again.
    """

    text: str | None
    until: datetime
    trouble: str = ""


@dataclass(frozen=True)
class HostState:
    """The state of one host; times are UTC.

    `delay_s` is the time between two requests as it was last, `asked_at` when the last request went out,
    `blocked_until` the end of a Retry-After or of an open breaker, `failures` the failures in a row, and
    `robots` the robots.txt by origin (scheme, host and port).
    """

    delay_s: float = 0.0
    asked_at: datetime | None = None
    blocked_until: datetime | None = None
    failures: int = 0
    robots: Mapping[str, RobotsFile] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The state as JSON, for those who store it."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, text: bytes | str) -> HostState:
        """The state that `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)


class HostMemory(Protocol):
    """Keeps the state of hosts. `host` is a name, with the port where that is not 80 or 443.

    `save` is called before every request that has to wait its turn, so it must be quick.
    """

    def load(self, host: str) -> HostState | None:
        """What is known about `host`; None where it was never asked."""
        ...

    def save(self, host: str, state: HostState) -> None:
        """Keeps `state` in place of what was known."""
        ...


class BriefHostMemory:
    """Remembers hosts as long as the process lives."""

    def __init__(self) -> None:
        self._states: dict[str, HostState] = {}

    def load(self, host: str) -> HostState | None:
        """What is known about `host`; None where it was never asked."""
        return self._states.get(host)

    def save(self, host: str, state: HostState) -> None:
        """Keeps `state` in place of what was known."""
        self._states[host] = state
