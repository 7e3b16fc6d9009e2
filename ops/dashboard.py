"""A dashboard: headings with panels under them, and the Grafana JSON that it becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.panel import DATASOURCE, Panel, panel_json, row_json
from ops.queries import checked

SCHEMA, WIDTH = 39, 24
STAT_HEIGHT, LINE_HEIGHT = 4, 8
EVERYTHING = "$__all"


@dataclass(frozen=True)
class Dashboard:
    """One dashboard.

    Attributes:
        uid: its address in Grafana; also the file's name.
        title: its title.
        instances: the metric whose instances a reader chooses among.
        changed: the query that is above 0 where another release began to answer; marked in every panel.
        rows: panels by their heading.
    """

    uid: str
    title: str
    instances: str
    changed: str
    rows: Mapping[str, tuple[Panel, ...]]


def dashboard_json(told: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana imports it; raises InputError where a query names what the catalogue does not have."""
    return {
        "uid": told.uid,
        "title": told.title,
        "tags": ["perennial"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "utc",
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [_datasource(), _instance(told.instances)]},
        "annotations": {"list": [_releases(told.changed)]},
        "links": [],
        "panels": list(_placed(told)),
    }


def _placed(told: Dashboard) -> Iterator[dict[str, Any]]:
    """The panels from left to right, a new line where one is full."""
    number, y = 1, 0
    for title, panels in told.rows.items():
        yield row_json(title, number, y)
        number, x, y = number + 1, 0, y + 1
        height = LINE_HEIGHT if any(p.shows in ("line", "stack") for p in panels) else STAT_HEIGHT
        for panel in panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + height
            yield panel_json(panel, number, x, y, height)
            number, x = number + 1, x + panel.width
        y += height


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
    }


def _instance(metric: str) -> dict[str, Any]:
    query = f"label_values({checked(metric)}, instance)"
    return {
        "name": "instance",
        "label": "Instance",
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": 5},
        "current": {"selected": True, "text": ["All"], "value": [EVERYTHING]},
        "allValue": ".+",
        "hide": 0,
        "includeAll": True,
        "multi": True,
        "options": [],
        "refresh": 2,
        "regex": "",
        "sort": 1,
    }


def _releases(query: str) -> dict[str, Any]:
    return {
        "name": "another release",
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "blue",
        "expr": checked(query),
        "titleFormat": "another release answers",
        "textFormat": "{{instance}}",
        "step": "30s",
    }
