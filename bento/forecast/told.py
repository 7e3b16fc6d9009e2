"""A forecast as it is answered and journalled."""

from __future__ import annotations

from datetime import UTC

import msgspec

from bento import asked
from bento.answering import Exchange
from bento.forecast.ladder import Stood
from bento.forecast.request import Wanted
from bento.forecast.rungs import Forecast
from perennial.live.journal.entry import about
from perennial.live.predict import json_rows

_encoder = msgspec.json.Encoder()


def exchange_of(wanted: Wanted, stood: Stood[Forecast]) -> Exchange:
    """The exchange of a forecast; in a shadow's trial its unit is the day of the origin, UTC."""
    forecast = stood.answer
    ids = asked.row_ids(None, wanted.prediction_id, len(forecast.times))
    told = zip(forecast.times, json_rows(forecast.answered), ids, strict=True)
    rows = [{"time": time.isoformat(), **row, "prediction_id": row_id} for time, row, row_id in told]
    answer = {
        **forecast.answering.names,
        "prediction_id": wanted.prediction_id,
        "origin": wanted.origin.isoformat(),
        "quality": stood.quality,
        "reason": stood.reason,
        "predictions": rows,
    }
    features = tuple(forecast.inputs[0]) if forecast.inputs else ()
    return Exchange(
        wanted.prediction_id,
        ids,
        features,
        [tuple(row.values()) for row in forecast.inputs],
        [{name: value for name, value in row.items() if name != "time"} for row in rows],
        forecast.answered,
        _encoder.encode(answer),
        forecast.answering,
        quality=stood.quality,
        abouts=tuple(about(time, {}) for time in forecast.times),
        own_unit=wanted.origin.astimezone(UTC).date().isoformat(),
    )
