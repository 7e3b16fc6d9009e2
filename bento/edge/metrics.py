"""What an agent tells a Prometheus: names, meanings and values in the text format 0.0.4."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from pathlib import Path

from perennial.live.catalogue.names import metric_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Samples = Mapping[str, float | Mapping[tuple[tuple[str, str], ...], float]]


def page(samples: Samples) -> str:
    """The page of the given samples: a value, or values by labels; raises InputError for one without a meaning."""
    return "".join(f"{line}\n" for name, values in samples.items() for line in _lines(name, values))


def memory_bytes() -> int:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


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
