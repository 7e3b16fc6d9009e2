"""The tables in docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterable

from perennial.live.catalogue.edge import EDGE
from perennial.live.catalogue.metric import Metric
from perennial.live.catalogue.service import SERVICE

HEAD = "| name | kind | labels | unit | meaning |\n|---|---|---|---|---|\n"
TABLES = {"service": SERVICE, "edge": EDGE}


def with_table(page: str) -> str:
    """The page; the tables in it are made anew that stand after `<!-- service -->` and `<!-- edge -->`."""
    for name, metrics in TABLES.items():
        head, rest = page.split(f"<!-- {name} -->\n", 1)
        page = f"{head}<!-- {name} -->\n{HEAD}{_rows(metrics)}<!-- end{rest.split('<!-- end', 1)[1]}"
    return page


def _rows(metrics: Iterable[Metric]) -> str:
    lines = (
        (f"`{m.name}`", m.kind, ", ".join(f"`{label}`" for label in m.labels), m.unit, m.help)
        for m in metrics
    )
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
