"""Everything that is made once from a release to answer requests: how bodies are read, and what answers hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from bento import asked, openapi
from bento.decoder import Decoder, Values
from bento.forecast.plan import Plan, plan_of
from bento.state import Ready, facts
from bento.wire import Headers
from perennial.errors import TableError
from perennial.live.predict import Answered, json_rows
from perennial.live.trial.book import CHAMPION, SHADOW


class Again(NamedTuple):
    """How another release answers what was asked, from what the first one knew.

    Attributes:
        rows: how many rows of a history are kept for it.
        ask: gives what a release answers; None where there is nothing to compare it with.
    """

    rows: int
    ask: Callable[[Answering], Exchange | None]


@dataclass(frozen=True)
class Exchange:
    """A request and its answers, as a journal keeps them.

    Attributes:
        prediction_id: the id of the request.
        row_ids: the id of every row.
        features: the names of the contract's features.
        values: per row the values as they were sent, in the order of `features`; numbers as floats.
        predictions: per row what the answer says of it.
        answered: the answers, with the version that gave them.
        body: the answer as it is sent.
        answering: the release that answered.
        arm: which part of a trial answered.
        unit: whom a trial assigned to the arm; "" for none.
        quality: how the answer came about; "" for the usual way.
        abouts: per row what it is about, where truth comes by time; None where it does not.
        own_unit: the unit that it is in a shadow's trial where the caller names none; "" for one of its own.
        again: how a shadow answers it; None where it does so from the rows.
    """

    prediction_id: str
    row_ids: tuple[str, ...]
    features: tuple[str, ...]
    values: list[Values]
    predictions: list[dict[str, Any]]
    answered: Answered
    body: bytes
    answering: Answering
    arm: str = CHAMPION
    unit: str = ""
    quality: str = ""
    abouts: tuple[str, ...] | None = None
    own_unit: str = ""
    again: Again | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The values of every row by the names of the features."""
        return [dict(zip(self.features, row, strict=True)) for row in self.values]


class Answering:
    """One release at work; may be shared between threads. A request takes one of these and stays with it."""

    def __init__(self, ready: Ready) -> None:
        self.ready = ready
        manifest = ready.bundle.manifest
        self.names = {"model": manifest.system, "version": manifest.version}
        self.headers: Headers = (
            (b"x-model-name", manifest.system.encode()),
            (b"x-model-version", manifest.version.encode()),
        )
        self._decoder = Decoder(ready.predictor.reader)
        self._encoder = msgspec.json.Encoder()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the model says about itself."""
        return facts(self.ready)

    @cached_property
    def plan(self) -> Plan | None:
        """How it forecasts; None where its system does not."""
        return plan_of(self.ready.bundle)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return openapi.document(self.ready, self.plan)

    def answer(self, body: bytes, caller_id: str | None) -> Exchange:
        """The answer to any request; raises Refused."""
        return self.quickly(body, caller_id) or self.carefully(body, caller_id)

    def quickly(self, body: bytes, caller_id: str | None) -> Exchange | None:
        """The answer to a request that has nothing wrong; None leaves it to `carefully`, which can say what is."""
        found = self._decoder.decode(body)
        if found is None or not 0 < len(found.rows) <= self.ready.max_rows:
            return None
        parsed = self._decoder.parsed(found.rows)
        if parsed is None:
            return None
        prediction_id = asked.request_id(found.prediction_id, caller_id)
        row_ids = asked.row_ids(found.prediction_ids, prediction_id, len(found.rows))
        return self._exchange(prediction_id, row_ids, found.rows, self.ready.predictor.answer_parsed(parsed))

    def carefully(self, body: bytes, caller_id: str | None) -> Exchange:
        """The same at leisure; raises Refused with everything that is wrong with the request."""
        wanted = asked.read(body, caller_id, self.ready.max_rows)
        try:
            answered = self.ready.predictor.answer_rows(wanted.rows, self.ready.max_rows)
        except TableError as error:
            raise asked.from_table(error) from None
        values = self._decoder.ordered(wanted.rows)
        return self._exchange(wanted.prediction_id, wanted.row_ids, values, answered)

    def beside(self, other: Exchange) -> Exchange | None:
        """What this release answers, in shadow, to what another one was asked.

        None where that has nothing to be compared with. Raises TableError and whatever `Again.ask` does.
        """
        if other.again is not None:
            answered_again = other.again.ask(self)
            return answered_again and replace(answered_again, arm=SHADOW, unit=other.unit)
        rows = other.rows
        answered = self.ready.predictor.answer_rows(rows, len(rows))
        values = self._decoder.ordered(rows)
        exchange = self._exchange(other.prediction_id, other.row_ids, values, answered)
        return replace(exchange, arm=SHADOW, unit=other.unit)

    def _exchange(
        self, prediction_id: str, row_ids: tuple[str, ...], values: list[Values], answered: Answered
    ) -> Exchange:
        predictions = json_rows(answered)
        for prediction, row_id in zip(predictions, row_ids, strict=True):
            prediction["prediction_id"] = row_id
        answer = {**self.names, "prediction_id": prediction_id, "predictions": predictions}
        body = self._encoder.encode(answer)
        return Exchange(
            prediction_id, row_ids, self._decoder.features, values, predictions, answered, body, self
        )
