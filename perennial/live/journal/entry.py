"""One prediction as the journal keeps it, and the name of what it was about."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One predicted row. Its fields are the columns of the table `predictions`, in their order.

    Attributes:
        prediction_id: the row's own id, as it was answered; with `arm` it is the key.
        arm: which part of a trial answered: `champion`, `challenger`, `shadow`.
        time_us: when it was answered, in microseconds since 1970, UTC.
        model_version: the release that answered.
        inputs: the row as it was sent, masked, as the text of a JSON object.
        output: what was answered, as the text of a JSON object.
        latency_s: seconds from the request to the answer.
        flag: sentences about the inputs, "" for none.
        quality: how the answer came about, such as the rung of a fallback ladder; "" for the usual way.
        request_id: the id of the request that held the row.
        row: the row's place in the request, from 0.
        unit: whom or what a trial assigned to the arm; "" for none.
        about: what `about` made of the predicted time and key, so that truth without a prediction id is joined.
    """

    prediction_id: str
    arm: str
    time_us: int
    model_version: str
    inputs: str
    output: str
    latency_s: float
    flag: str = ""
    quality: str = ""
    request_id: str = ""
    row: int = 0
    unit: str = ""
    about: str | None = None

    @property
    def bytes(self) -> int:
        """About how much memory the entry holds, in bytes."""
        return OVERHEAD_BYTES + len(self.inputs) + len(self.output) + len(self.flag)


SORTED = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
DECIMAL = re.compile(r"-?(0|[1-9]\d*)\.\d+")
"""The text of a fraction, as spreadsheets write whole numbers too."""

OVERHEAD_BYTES = 600
"""Of the tuple, its smaller texts and its share of a put."""


def microseconds(moment: datetime) -> int:
    """A moment in microseconds since 1970, exactly; raises ValueError for a time without a zone.

    >>> microseconds(datetime(1970, 1, 2, tzinfo=UTC))
    86400000000
    """
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with a zone, found {moment.isoformat()}")
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment_of(time_us: int) -> datetime:
    """The moment, in UTC, that `microseconds` counted."""
    seconds, rest = divmod(time_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def about(time: datetime, key: Mapping[str, Any]) -> str:
    """One text for a predicted time and the values of the key columns, the same however they are written.

    Names are sorted, the time is in UTC, and a number equals its text: 2, 2.0, "2" and "2.0" are one value ("02" is
    another). Raises ValueError for a time without a zone, and for a value that is no text, number or boolean.

    >>> about(datetime(2026, 1, 1, 10, tzinfo=UTC), {"zone": "FR", "area": 2.0})
    '2026-01-01T10:00:00+00:00 {"area":"2","zone":"FR"}'
    """
    plain = {name: _plain(name, value) for name, value in key.items()}
    if time.tzinfo is None:
        raise ValueError(f"expected a time with a zone, found {time.isoformat()}")
    return f"{time.astimezone(UTC).isoformat()} {SORTED.encode(plain)}"


def _plain(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"expected the key {name} to be a text, a number or a boolean, found {value!r}")
    if isinstance(value, float) or (isinstance(value, str) and DECIMAL.fullmatch(value)):
        return f"{float(value):.15g}"
    return str(value)
