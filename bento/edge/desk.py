"""What a device says: answers with the model's age, whether it is ready, and figures about itself."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from bento import asked
from bento.asked import Refused
from bento.edge import metrics
from bento.edge.agent import Agent
from bento.edge.queue import Queue
from bento.edge.serving import Reply
from bento.edge.upload import Uploader
from perennial.errors import BundleError, TableError
from perennial.live.journal.entry import Entry
from perennial.live.journal.masking import Rules, hash_key, masked, masked_flags, rules_of

logger = logging.getLogger("bento.edge")


@dataclass(frozen=True)
class Limits:
    """Rows that a request may hold, and how long after the last contact an answer counts as stale, in seconds."""

    max_rows: int
    stale_after_s: float


class Desk:
    """Answers requests and queues each answer for the journal; `answer` and `samples` belong to one thread."""

    def __init__(
        self,
        agent: Agent,
        queue: Queue | None,
        uploader: Uploader | None,
        limits: Limits,
        key_path: Path,
        clock: Callable[[], float],
    ) -> None:
        self._agent, self._queue, self._uploader, self._limits = agent, queue, uploader, limits
        self._key_path, self._clock = key_path, clock
        self._rules: tuple[str, Rules] | None = None
        self._requests: Counter[int] = Counter()
        self._rows = self._lost = 0
        self._seconds = 0.0

    def count(self, status: int, seconds: float) -> None:
        """Counts one request for predictions."""
        self._requests[status] += 1
        self._seconds += seconds

    def answer(self, body: bytes, caller_id: str | None) -> tuple[dict[str, Any], dict[str, str]]:
        """The answer to a request and its headers; raises Refused."""
        started = perf_counter()
        wanted = asked.read(body, caller_id, self._limits.max_rows)
        try:
            reply = self._agent.answer(wanted.rows, self._limits.max_rows)
        except TableError as error:
            raise asked.from_table(error) from None
        except BundleError as error:
            raise Refused(503, "not_ready", str(error)) from None
        told = self._standing(reply)
        is_written = self._journalled(wanted, reply, told["stale"], perf_counter() - started)
        self._rows += len(reply.rows)
        named = [{**row, "prediction_id": one} for row, one in zip(reply.rows, wanted.row_ids, strict=True)]
        headers = {
            "X-Model-Name": told["model"],
            "X-Model-Version": told["version"],
            "X-Model-Age-Seconds": str(told["model_age_s"]),
            "X-Prediction-Id": wanted.prediction_id,
            **({} if is_written else {"X-Journal": "not written"}),
        }
        return {**told, "prediction_id": wanted.prediction_id, "predictions": named}, headers

    def readiness(self) -> dict[str, Any]:
        """Who answers, and what is wrong; raises Refused where nobody does."""
        serving, state = self._agent.serving, self._agent.state
        if serving is None:
            raise Refused(
                503, "not_ready", self._agent.trouble or "no release yet; the first pull is under way"
            )
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
            "perennial_edge_queue_lost_total": self._lost,
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
        return {**told, **self._queue_samples()}

    def _standing(self, reply: Reply) -> dict[str, Any]:
        """Who answers, how old it is, and how long ago the source confirmed that."""
        manifest, now = reply.serving.predictor.bundle.manifest, self._clock()
        contact_age_s = self._contact_age_s()
        return {
            "model": manifest.system,
            "version": manifest.version,
            "on_trial": reply.serving.on_trial,
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

    def _journalled(self, wanted: asked.Asked, reply: Reply, is_stale: bool, latency_s: float) -> bool:
        if self._queue is None:
            return True
        try:
            self._queue.put(self._entries(wanted, reply, is_stale, latency_s))
        except (OSError, sqlite3.Error) as error:
            self._lost += len(reply.rows)
            logger.error("%s rows are not in the queue: %s", len(reply.rows), error)
            return False
        return True

    def _entries(self, wanted: asked.Asked, reply: Reply, is_stale: bool, latency_s: float) -> list[Entry]:
        bundle = reply.serving.predictor.bundle
        if self._rules is None or self._rules[0] != bundle.digest:
            self._rules = bundle.digest, rules_of(bundle.contract, hash_key(self._key_path))
        rules = self._rules[1]
        rows = masked(wanted.rows, rules)
        return [
            Entry(
                prediction_id=wanted.row_ids[place],
                arm="champion",
                time_us=round(self._clock() * 1e6),
                model_version=reply.answered.model_version,
                inputs=json.dumps(rows[place], separators=(",", ":")),
                output=json.dumps(
                    {name: value for name, value in told.items() if name != "flag"},
                    separators=(",", ":"),
                ),
                latency_s=latency_s,
                flag="; ".join(masked_flags(reply.answered.flags[place], rules)),
                quality="stale" if is_stale else "",
                request_id=wanted.prediction_id,
                row=place,
            )
            for place, told in enumerate(reply.rows)
        ]

    def _queue_samples(self) -> dict[str, float]:
        if self._queue is None:
            return {}
        try:
            counts = self._queue.counts()
        except (OSError, sqlite3.Error) as error:
            logger.error("the queue cannot be read: %s", error)
            return {}
        oldest_us = counts.oldest_us
        return {
            "perennial_edge_queue_rows": counts.rows,
            "perennial_edge_queue_bytes": counts.bytes,
            "perennial_edge_queue_age_seconds": 0.0
            if oldest_us is None
            else max(0.0, self._clock() - oldest_us / 1e6),
            "perennial_edge_queue_dropped_total": counts.dropped,
            "perennial_edge_queue_refused_total": counts.refused,
            "perennial_edge_queue_sent_total": counts.sent,
        }
