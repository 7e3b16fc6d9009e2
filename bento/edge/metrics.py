"""What an agent tells a Prometheus: names, meanings and values in the text format 0.0.4."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CATALOGUE: Mapping[str, tuple[str, str]] = {
    "perennial_edge_ready": ("gauge", "Whether a release answers"),
    "perennial_edge_model_info": ("gauge", "1 for the release that answers"),
    "perennial_edge_model_age_seconds": ("gauge", "Time since the release that answers was built"),
    "perennial_edge_contact_age_seconds": ("gauge", "Time since the source last told what serves"),
    "perennial_edge_stale": ("gauge", "Whether that was too long ago"),
    "perennial_edge_ledger_head": ("gauge", "Number of the newest ledger entry that was accepted"),
    "perennial_edge_on_trial": ("gauge", "Whether the release that answers is on trial"),
    "perennial_edge_state_kept": ("gauge", "Whether the disk took the newest state"),
    "perennial_edge_pulls_total": ("counter", "Looks at the source, by outcome"),
    "perennial_edge_returns_total": ("counter", "Releases that failed on trial and were given up"),
    "perennial_edge_requests_total": ("counter", "Requests answered, by status"),
    "perennial_edge_rows_total": ("counter", "Rows answered"),
    "perennial_edge_request_seconds_sum": ("counter", "Time from requests to their answers"),
    "perennial_edge_queue_rows": ("gauge", "Journal rows that wait to be sent"),
    "perennial_edge_queue_bytes": ("gauge", "Bytes of the journal rows that wait"),
    "perennial_edge_queue_age_seconds": ("gauge", "Age of the oldest journal row that waits"),
    "perennial_edge_queue_dropped_total": ("counter", "Journal rows given up because the queue was full"),
    "perennial_edge_queue_refused_total": ("counter", "Journal rows that the receiver turned away"),
    "perennial_edge_queue_sent_total": ("counter", "Journal rows that the receiver took"),
    "perennial_edge_queue_lost_total": ("counter", "Journal rows that the disk did not take"),
    "perennial_edge_upload_failures": ("gauge", "Failed uploads in a row"),
    "process_resident_memory_bytes": ("gauge", "Memory in use"),
}
Samples = Mapping[str, float | Mapping[tuple[tuple[str, str], ...], float]]


def page(samples: Samples) -> str:
    """The page of the given samples: a value, or values by labels; raises KeyError for a name without a meaning."""
    return "".join(f"{line}\n" for name, values in samples.items() for line in _lines(name, values))


def memory_bytes() -> int:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _lines(name: str, values: float | Mapping[tuple[tuple[str, str], ...], float]) -> Iterator[str]:
    kind, meaning = CATALOGUE[name]
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"
    if not isinstance(values, Mapping):
        yield f"{name} {float(values)!r}"
        return
    for labels, value in values.items():
        inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
        yield f"{name}{{{inner}}} {float(value)!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
