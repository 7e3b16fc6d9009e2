"""What the world is like: its seed, its time, its troubles."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

Level = Literal["none", "some", "many"]
Layout = Literal["first", "renamed", "rebuilt"]


@dataclass(frozen=True)
class World:
    """Everything that decides what the server answers.

    Attributes:
        seed: seed of all data and faults.
        now: the moment up to which the world has happened (UTC); none means the machine's clock.
        faults: how often answers fail.
        layout: how the dealer's result pages look.
        layout_changes_after: result pages that are answered before they take `new_layout`.
        layout_changes_at: moment at which they take it (UTC).
        new_layout: `renamed` renames the class of the price alone, `rebuilt` changes the whole page.
        crawl_delay_s: what robots.txt asks for; 0 leaves the line out.
        robots_status: status of robots.txt: 200, or 404 (everything is allowed), or 503 (nothing is).
    """

    seed: int = 7
    now: datetime | None = None
    faults: Level = "none"
    layout: Layout = "first"
    layout_changes_after: int | None = None
    layout_changes_at: datetime | None = None
    new_layout: Layout = "rebuilt"
    crawl_delay_s: float = 0.0
    robots_status: int = 200


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A stream of its own for every name, so that no series depends on how long another one is."""
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])
