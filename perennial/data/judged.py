"""What one collection of a feed brought, beside what it may be compared with; numbers alone, no verdicts.

Only like is compared with like: collections of the same feed definition, full with full and partial with
partial. Few rows prove little: shares of fewer than `FEW` rows, and all comparisons with earlier collections,
count only where chance is an unlikely explanation.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from perennial.config_web import Feed
from perennial.evidence import FeedFacts

NEEDED = 3
NEWEST = 10
FEW = 20
SURE_OF_SHARE = 0.01
SURE_OF_CHANGE = 0.001
EXACT = 1e-9


@dataclass(frozen=True)
class Usual:
    """The median share of earlier collections, of which the median one had `rows` rows."""

    share: float
    rows: float


@dataclass(frozen=True)
class Judged:
    """One feed's facts beside the comparable earlier ones, oldest first."""

    facts: FeedFacts
    past: tuple[FeedFacts, ...]
    feed: Feed

    @property
    def found(self) -> int:
        """Row elements, rejected ones among them."""
        return self.facts.rows + self.facts.rejected

    @property
    def failed(self) -> int:
        """Requests that failed."""
        return sum(self.facts.failed.values())

    @property
    def nothing_new(self) -> bool:
        """Whether every answer was a 304, and none was read again."""
        return self.found == 0 and 0 < self.facts.requests - self.failed == self.facts.unchanged

    @property
    def earlier(self) -> str:
        """How many collections there are to compare with, in words."""
        return f"{len(self.past)} earlier good collection{'s' * (len(self.past) != 1)}"

    @property
    def has_history(self) -> bool:
        """Whether there are enough earlier collections to compare numbers of rows with."""
        return len(self.past) >= NEEDED

    @property
    def usual_rows(self) -> float:
        """The median number of rows of earlier collections; 0 where there are none."""
        return median(f.rows for f in self.past) if self.past else 0

    @property
    def band(self) -> tuple[int, int]:
        """Fewest and most rows that expect.row_band allows."""
        low, high = self.feed.expect.row_band
        return math.ceil(low * self.usual_rows - EXACT), math.floor(high * self.usual_rows + EXACT)

    @property
    def is_outside(self) -> bool:
        """Whether the rows of a full collection are outside the band; no row at all is for min_rows to judge."""
        low, high = self.band
        comparable = not self.facts.partial and self.has_history and self.usual_rows > 0
        return comparable and self.facts.rows > 0 and not low <= self.facts.rows <= high

    @property
    def is_chance(self) -> bool:
        """Whether the scatter of a count explains how far the rows are from the usual.

        The square root of a Poisson count has variance 1/4 (Bartlett, 1936); the median of n such values has
        that times pi / 2n.
        """
        distance = 2 * abs(math.sqrt(self.facts.rows) - math.sqrt(self.usual_rows))
        scatter = math.sqrt(1 + math.pi / (2 * max(len(self.past), 1)))
        return distance <= NormalDist().inv_cdf(1 - SURE_OF_CHANGE) * scatter

    @property
    def layout_before(self) -> str:
        """The layout of the newest earlier collection that had one; "" where none did."""
        return next((f.layout for f in reversed(self.past) if f.layout), "")

    @property
    def has_new_layout(self) -> bool:
        """Whether the layout is none of those of earlier collections."""
        known = {f.layout for f in self.past} - {""}
        return bool(known and self.facts.layout and self.facts.layout not in known)

    def usual(self, counts: Callable[[FeedFacts], tuple[int, int]]) -> Usual | None:
        """The usual share, where `counts` gives count and total of a collection; None without enough data.

        A share of many rows is evidence even where one collection alone has it, unlike a number of rows.
        """
        pairs = [(count, total) for count, total in map(counts, self.past) if total >= FEW]
        if not pairs:
            return None
        return Usual(median(min(c / t, 1.0) for c, t in pairs), median(t for _, t in pairs))


def judged(facts: FeedFacts, earlier: Sequence[FeedFacts], feed: Feed) -> Judged:
    """`facts` beside the newest comparable ones of `earlier` (good collections, oldest first)."""
    known = {"", definition(feed)}
    past = [
        f for f in earlier if (f.feed, f.partial) == (facts.feed, facts.partial) and f.definition in known
    ]
    return Judged(facts, tuple(past[-NEWEST:]), feed)


def definition(feed: Feed) -> str:
    """A digest of what a feed asks for, reads and promises; request headers do not count."""
    return hashlib.sha256(feed.model_dump_json(exclude={"headers"}).encode()).hexdigest()[:16]


def is_above(count: int, total: int, limit: float) -> bool:
    """Whether a share is above `limit`; of fewer than `FEW`, only where a true share of `limit` is unlikely."""
    if total == 0 or count <= (limit + EXACT) * total:
        return False
    return total >= FEW or 1 - at_most(count - 1, total, limit) < SURE_OF_SHARE


def has_fallen(count: int, total: int, usual: Usual | None, drop: float) -> bool:
    """Whether a share is more than `drop` below the usual one, and chance is an unlikely explanation."""
    if usual is None or total == 0 or usual.share - count / total <= drop + EXACT:
        return False
    cautious = (usual.share * usual.rows + 1) / (usual.rows + 2)  # Laplace's rule: 900 of 900 is no certainty
    return at_most(count, total, cautious) < SURE_OF_CHANGE


def at_most(count: int, total: int, share: float) -> float:
    """The chance of `count` or fewer among `total`, each with chance `share` (binomial).

    >>> round(at_most(0, 3, 0.5), 3)
    0.125
    """
    from scipy.special import bdtr

    return float(bdtr(count, total, share)) if count >= 0 else 0.0


def shares_of(name: str) -> Iterator[Callable[[FeedFacts], tuple[int, int]]]:
    """Two counts with their totals for one field: where its selector found something, where it has a value."""
    yield lambda f: (f.hits.get(name, 0), f.rows + f.rejected if f.hits else 0)
    yield lambda f: (f.filled.get(name, 0), f.rows)
