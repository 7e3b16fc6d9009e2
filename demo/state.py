"""What a running server remembers: its world, and everything that it was asked."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from demo.world import Layout, World


@dataclass
class Asked:
    """What one path was asked: when (seconds since 1970), with which statuses, and how much was sent."""

    arrivals_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    addresses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    conditional: int = 0


@dataclass
class State:
    """The world and the server's books."""

    world: World
    asked: dict[str, Asked] = field(default_factory=dict)
    requests: int = 0
    result_pages: int = 0
    under_way: int = 0
    most_under_way: int = 0
    forbidden: int = 0
    agents: Counter[str] = field(default_factory=Counter)

    def now(self) -> datetime:
        """The world's moment: the one it was given, or the machine's (UTC)."""
        return self.world.now or datetime.now(UTC)

    def layout(self) -> Layout:
        """How the next result page looks."""
        world = self.world
        after = world.layout_changes_after is not None and self.result_pages > world.layout_changes_after
        at = world.layout_changes_at is not None and self.now() >= world.layout_changes_at
        return world.new_layout if after or at else world.layout

    def arrive(self, request: web.Request, forbidden: bool) -> Asked:
        """The books of the path that was asked, with this request in them."""
        asked = self.asked.setdefault(request.path, Asked())
        asked.arrivals_s.append(time.time())
        asked.addresses[request.path_qs] += 1
        asked.conditional += "If-None-Match" in request.headers or "If-Modified-Since" in request.headers
        self.agents[request.headers.get("User-Agent", "")] += 1
        self.forbidden += forbidden
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        return asked

    def books(self) -> dict[str, object]:
        """Everything that was asked, ready for JSON."""
        return {
            "requests": sum(len(a.arrivals_s) for a in self.asked.values()),
            "not_modified": sum(a.statuses[304] for a in self.asked.values()),
            "forbidden": self.forbidden,
            "most_at_once": self.most_under_way,
            "faults": dict(sum((a.faults for a in self.asked.values()), Counter())),
            "agents": dict(self.agents),
            "now": self.now().isoformat(),
            "layout": self.layout(),
            "paths": {
                path: {
                    "requests": len(a.arrivals_s),
                    "not_modified": a.statuses[304],
                    "conditional": a.conditional,
                    "statuses": {str(status): n for status, n in sorted(a.statuses.items())},
                    "faults": dict(a.faults),
                    "arrivals_s": a.arrivals_s,
                    "addresses": dict(a.addresses),
                }
                for path, a in sorted(self.asked.items())
            },
        }

    def forget(self) -> None:
        """Empties the books; the count of requests that faults go by starts again as well."""
        fresh = State(self.world)
        fresh.under_way = self.under_way
        self.__dict__.update(fresh.__dict__)


STATE = web.AppKey("state", State)


def state_of(request: web.Request) -> State:
    """The state of the server that was asked."""
    return request.app[STATE]
