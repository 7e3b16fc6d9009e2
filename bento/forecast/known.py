"""What a forecast may be made from: the rows of its request, or what had been observed when it was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bento.forecast.history import History, history
from bento.forecast.plan import Plan
from bento.forecast.readings import Values
from perennial.live.observed import Observation


@dataclass(frozen=True)
class Known:
    """Rows that were read once, for every release that is asked about them.

    Attributes:
        origin: nothing that became known later is among what `history` gives.
        sent: the rows of a request by feed; None where what was observed counts.
        observed: what had been observed.
    """

    origin: datetime
    sent: Mapping[str, Sequence[Values]] | None
    observed: Sequence[Observation] = ()

    @property
    def rows(self) -> int:
        """How many rows are held."""
        return len(self.observed) + sum(map(len, (self.sent or {}).values()))

    def history(self, plan: Plan) -> History:
        """The history as a release reads it; nothing that happened before its reach is in it."""
        from bento.forecast.frames import remembered, sent

        if self.sent is not None:
            return history(sent(self.sent, plan.source, self.origin), plan, self.origin)
        oldest = self.origin - plan.reach
        rows = [row for row in self.observed if row.event_time >= oldest]
        return history(remembered(rows, plan.source), plan, self.origin)
