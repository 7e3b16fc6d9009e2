"""From an answered request to the entries of its rows, without anything private."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perennial.live.journal.entry import Entry
from perennial.live.journal.masking import Rules, masked, masked_flags

TOLD_APART = ("flag", "prediction_id", "model_version")
"""What an answer repeats and an entry has as columns of their own."""


compact: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":")).encode
"""JSON without spaces."""


def entries_of(
    rows: Sequence[Mapping[str, Any]],
    answers: Sequence[Mapping[str, Any]],
    flags: Sequence[Sequence[str]],
    ids: Sequence[str],
    rules: Rules,
    request_id: str,
    model_version: str,
    time_us: int,
    latency_s: float,
    arm: str = "champion",
    quality: str = "",
    unit: str = "",
    abouts: Sequence[str | None] | None = None,
    encode: Callable[[Any], str] = compact,
) -> list[Entry]:
    """The entries of one request, in its rows' order.

    Args:
        rows: as they were sent; `rules` say what of them is kept.
        answers: one JSON object per row; its flag, id and version are left out, being columns of their own.
        flags: per row the sentences about its inputs.
        ids: every row's own id.
        rules: which columns are private.
        request_id: the id of all rows together.
        model_version: the release that answered.
        time_us: when it answered.
        latency_s: how long it took.
        arm: which part of a trial answered.
        quality: how the answer came about.
        unit: whom a trial assigned to the arm.
        abouts: per row what it is about, where truth comes by key and time.
        encode: writes a value as JSON text; a faster one may be given.
    """
    kept = masked(rows, rules)
    return [
        Entry(
            prediction_id=ids[place],
            arm=arm,
            time_us=time_us,
            model_version=model_version,
            inputs=encode(kept[place]),
            output=encode({k: v for k, v in answer.items() if k not in TOLD_APART}),
            latency_s=latency_s,
            flag="; ".join(masked_flags(flags[place], rules)) if flags[place] else "",
            quality=quality,
            request_id=request_id,
            row=place,
            unit=unit,
            about=abouts[place] if abouts else None,
        )
        for place, answer in enumerate(answers)
    ]
