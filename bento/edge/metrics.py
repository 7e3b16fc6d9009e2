"""What an agent tells a Prometheus: names, meanings and values in the text format 0.0.4."""

from __future__ import annotations

import logging
import resource
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from bento.edge.queue import Queue
from perennial.live.catalogue.names import metric_of

logger = logging.getLogger("bento.edge")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Samples = Mapping[str, float | Mapping[tuple[tuple[str, str], ...], float]]


def page(samples: Samples) -> str:
    """The page of the given samples: a value, or values by labels; raises InputError for one without a meaning."""
    return "".join(f"{line}\n" for name, values in samples.items() for line in _lines(name, values))


def memory_bytes() -> int:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def of_queue(queue: Queue, now_s: float) -> dict[str, float]:
    """The figures of the queue; none where it cannot be read."""
    try:
        counts = queue.counts()
    except (OSError, sqlite3.Error) as error:
        logger.error("the queue cannot be read: %s", error)
        return {}
    oldest_s = now_s if counts.oldest_us is None else counts.oldest_us / 1e6
    return {
        "perennial_edge_queue_rows": counts.rows,
        "perennial_edge_queue_bytes": counts.bytes,
        "perennial_edge_queue_age_seconds": max(0.0, now_s - oldest_s),
        "perennial_edge_queue_dropped_total": counts.dropped,
        "perennial_edge_queue_refused_total": counts.refused,
        "perennial_edge_queue_sent_total": counts.sent,
    }


def _lines(name: str, values: float | Mapping[tuple[tuple[str, str], ...], float]) -> Iterator[str]:
    metric = metric_of(name)
    yield f"# HELP {name} {metric.help}"
    yield f"# TYPE {name} {metric.kind}"
    if not isinstance(values, Mapping):
        yield f"{name} {float(values)!r}"
        return
    for labels, value in values.items():
        inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
        yield f"{name}{{{inner}}} {float(value)!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
