"""What a device says: answers with the model's age, whether it is ready, and figures about itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from bento import asked
from bento.asked import Refused
from bento.edge import layer, metrics
from bento.edge.agent import Agent
from bento.edge.queue import Queue
from bento.edge.record import Record
from bento.edge.serving import Serving, reply_of
from bento.edge.slots import Device
from bento.edge.upload import Uploader
from bento.forecast.ladder import CHAMPION, PREVIOUS, RUNGS
from perennial.errors import BundleError, TableError
from perennial.live.bundle import Bundle

if TYPE_CHECKING:
    from bento.answering import Exchange
    from bento.edge.forecasts import Forecasts

T = TypeVar("T")
Told = tuple[dict[str, Any], dict[str, str]]
"""An answer and its headers."""


@dataclass(frozen=True)
class Limits:
    """What the device puts up with.

    Attributes:
        max_rows: rows that a request may hold.
        stale_after_s: how long after the last contact an answer counts as stale.
        late: by how much a history that is forecast from may be older than usual.
    """

    max_rows: int
    stale_after_s: float
    late: timedelta


class Desk:
    """Answers requests and queues each answer for the journal; belongs to one thread but for `readiness`, `count`."""

    def __init__(
        self,
        agent: Agent,
        device: Device,
        queue: Queue | None,
        uploader: Uploader | None,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._agent, self._device, self._queue, self._uploader = agent, device, queue, uploader
        self._limits, self._clock = limits, clock
        self._record = Record(queue, device.root, clock)
        self._made: Forecasts | None = None
        self._requests: Counter[int] = Counter()
        self._rungs: Counter[str] = Counter()
        self._rows = 0
        self._seconds = 0.0

    def count(self, status: int, seconds: float) -> None:
        """Counts one request for predictions or a forecast."""
        self._requests[status] += 1
        self._seconds += seconds

    def answer(self, body: bytes, caller_id: str | None) -> Told:
        """The answer to a request and its headers; raises Refused."""
        started = perf_counter()
        wanted = asked.read(body, caller_id, self._limits.max_rows)
        try:
            reply = self._asked(lambda serving: reply_of(serving, wanted.rows, self._limits.max_rows))
        except TableError as error:
            raise asked.from_table(error) from None
        bundle = reply.serving.predictor.bundle
        told = self._standing(bundle, reply.serving.on_trial)
        is_written = self._record.put(
            bundle,
            wanted.rows,
            reply.rows,
            reply.answered.flags,
            wanted.row_ids,
            wanted.prediction_id,
            perf_counter() - started,
            "stale" if told["stale"] else "",
        )
        self._rows += len(reply.rows)
        named = [{**row, "prediction_id": one} for row, one in zip(reply.rows, wanted.row_ids, strict=True)]
        answer = {**told, "prediction_id": wanted.prediction_id, "predictions": named}
        return answer, _headers(answer, is_written)

    def forecast(self, body: bytes, caller_id: str | None) -> Told:
        """The answer to a request for a forecast, and its headers; raises Refused."""
        started, now, forecasts = perf_counter(), self._now(), self._forecasts()

        def made(serving: Serving) -> tuple[Serving, Exchange]:
            return serving, forecasts.forecast(serving, body, caller_id, now)

        serving, exchange = self._asked(made, lambda found: found[1].quality == CHAMPION)
        bundle = exchange.answering.ready.bundle
        told = self._standing(bundle, serving.on_trial and serving.digest == bundle.digest)
        is_written = self._record.put(
            bundle,
            exchange.rows,
            exchange.predictions,
            exchange.answered.flags,
            exchange.row_ids,
            exchange.prediction_id,
            perf_counter() - started,
            exchange.quality,
            exchange.abouts,
        )
        self._rungs[exchange.quality] += 1
        self._rows += len(exchange.row_ids) if exchange.quality in (CHAMPION, PREVIOUS) else 0
        answer = {**told, **json.loads(exchange.body)}
        return answer, _headers(answer, is_written)

    def observe(self, body: bytes) -> dict[str, Any]:
        """Keeps the rows of a feed for forecasts, and says what became of them; raises Refused."""
        now, forecasts = self._now(), self._forecasts()
        return self._asked(lambda serving: forecasts.observe(serving, body, now), lambda _: False)

    def readiness(self) -> dict[str, Any]:
        """Who answers, and what is wrong; raises Refused where nobody does."""
        serving, state = self._agent.serving, self._agent.state
        if serving is None:
            raise self._without_release()
        manifest = serving.predictor.bundle.manifest
        return {
            "ready": True,
            "model": manifest.system,
            "version": manifest.version,
            "slot": serving.slot,
            "on_trial": serving.on_trial,
            "answered_on_trial": state.trial.answered if state.trial else None,
            "stale": self._is_stale(),
            "trouble": self._agent.trouble,
            "upload_trouble": self._uploader.trouble if self._uploader else "",
        }

    def samples(self) -> metrics.Samples:
        """The figures for `/metrics`."""
        agent, serving = self._agent, self._agent.serving
        told: dict[str, Any] = {
            "perennial_edge_ready": serving is not None,
            "perennial_edge_stale": self._is_stale(),
            "perennial_edge_ledger_head": agent.head,
            "perennial_edge_on_trial": serving is not None and serving.on_trial,
            "perennial_edge_state_kept": agent.is_kept,
            "perennial_edge_pulls_total": {(("outcome", name),): n for name, n in agent.pulls.items()},
            "perennial_edge_returns_total": agent.state.returns,
            "perennial_edge_requests_total": {
                (("status", str(s)),): n for s, n in self._requests.copy().items()
            },
            "perennial_edge_rows_total": self._rows,
            "perennial_edge_request_seconds_total": self._seconds,
            "perennial_edge_queue_lost_total": self._record.lost,
            "perennial_edge_upload_failures": self._uploader.failures if self._uploader else 0,
            "process_resident_memory_bytes": metrics.memory_bytes(),
        }
        age = self._contact_age_s()
        if age is not None:
            told["perennial_edge_contact_age_seconds"] = age
        if serving is not None:
            manifest, now = serving.predictor.bundle.manifest, self._clock()
            labels = (("system", manifest.system), ("version", manifest.version), ("slot", serving.slot))
            created = datetime.fromisoformat(manifest.created_at).timestamp()
            told["perennial_edge_model_info"] = {labels: 1}
            told["perennial_edge_model_age_seconds"] = max(0.0, now - created)
            if layer.looks_ahead(serving.predictor.bundle):
                told["perennial_edge_forecasts_total"] = {(("rung", n),): self._rungs[n] for n in RUNGS}
        return told if self._queue is None else {**told, **metrics.of_queue(self._queue, self._clock())}

    def _asked(self, work: Callable[[Serving], T], is_proof: Callable[[T], bool] = lambda _: True) -> T:
        """What the release that answers makes of a request; see `Agent.answered`. Raises Refused."""
        try:
            return self._agent.answered(work, is_proof)
        except BundleError as error:
            raise _not_ready(error) from None

    def _forecasts(self) -> Forecasts:
        """What forecasts, made when it is first wanted; raises Refused where it cannot be."""
        if self._made is None:
            serving = self._agent.serving
            if serving is None:
                raise self._without_release()
            layer.check(serving.predictor.bundle)
            from bento.edge.forecasts import Forecasts

            self._made = Forecasts(self._agent, self._device, self._limits.late)
        return self._made

    def _without_release(self) -> Refused:
        return Refused(503, "not_ready", self._agent.trouble or "no release yet; the first pull is under way")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _standing(self, bundle: Bundle, on_trial: bool) -> dict[str, Any]:
        """Who answers, how old it is, and how long ago the source confirmed that."""
        manifest, now = bundle.manifest, self._clock()
        contact_age_s = self._contact_age_s()
        return {
            "model": manifest.system,
            "version": manifest.version,
            "on_trial": on_trial,
            "model_age_s": max(0, round(now - datetime.fromisoformat(manifest.created_at).timestamp())),
            "contact_age_s": None if contact_age_s is None else round(contact_age_s),
            "stale": self._is_stale(),
        }

    def _contact_age_s(self) -> float | None:
        contact = self._agent.state.contact
        return None if contact is None else max(0.0, self._clock() - contact)

    def _is_stale(self) -> bool:
        age = self._contact_age_s()
        return age is None or age > self._limits.stale_after_s


def _headers(answer: dict[str, Any], is_written: bool) -> dict[str, str]:
    return {
        "X-Model-Name": answer["model"],
        "X-Model-Version": answer["version"],
        "X-Model-Age-Seconds": str(answer["model_age_s"]),
        "X-Prediction-Id": answer["prediction_id"],
        **({} if is_written else {"X-Journal": "not written"}),
    }


def _not_ready(error: BundleError) -> Refused:
    return Refused(503, "not_ready", str(error))
