"""A `/metrics` page, read by Prometheus's own client, for the tests of figures."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from perennial.live.catalogue.metric import Metric

OURS = ("perennial_", "process_")


def families(url: str) -> dict[str, Any]:
    """The page's metrics by the name that its TYPE line has."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as reply:
        found = text_string_to_metric_families(reply.read().decode())
    return {name_of(family): family for family in found if family.name.startswith(OURS)}


def name_of(family: Any) -> str:
    """The client's parser takes the ending off a counter's name."""
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def samples(url: str, name: str) -> dict[tuple[str, ...], float]:
    """The values of a series by the values of its labels, in the order of the labels' names."""
    found: list[Sample] = [s for family in families(url).values() for s in family.samples if s.name == name]
    return {tuple(s.labels[label] for label in sorted(s.labels)): s.value for s in found}


def against(page: dict[str, Any], catalogue: tuple[Metric, ...]) -> list[str]:
    """What a page says otherwise than the catalogue does."""
    known = {metric.name: metric for metric in catalogue}
    wrong = [f"{name} is not in the catalogue" for name in page if name not in known]
    for name in page.keys() & known.keys():
        family, metric = page[name], known[name]
        if (family.type, family.documentation) != (metric.kind, metric.help):
            wrong.append(f"{name}: {family.type} {family.documentation!r}")
        for sample in family.samples:
            if sample.name not in metric.series or set(sample.labels) - {"le"} != set(metric.labels):
                wrong.append(f"{sample.name} {sample.labels}")
    return wrong


def post(url: str, value: Any, path: str = "/predict") -> Any:
    """The answer to a request."""
    request = urllib.request.Request(
        url + path, json.dumps(value).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait; fails where it does not come true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "expected it to happen by now"
        time.sleep(0.1)
