"""A panel of a dashboard, and the Grafana JSON that it becomes (dashboard schema 39, Grafana 11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ops.queries import checked

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: what it shows.
        lines: queries, each with the legend of what it gives, in Prometheus's template language.
        unit: Grafana's name of the unit.
        shows: `line` over time, `stack` of lines over time, `stat` the newest value, `name` the newest legend,
            `zero` the newest value, of which every other than 0 is bad, `yes` that of which every other than 1 is.
        told: what a reader must know about it.
        width: of 24.
    """

    title: str
    lines: tuple[tuple[str, str], ...]
    unit: str = "short"
    shows: Literal["line", "stack", "stat", "name", "zero", "yes"] = "line"
    told: str = ""
    width: int = 8


def panel_json(panel: Panel, number: int, x: int, y: int, height: int) -> dict[str, Any]:
    """The panel as Grafana reads it; raises InputError where a query names what the catalogue does not have."""
    is_line = panel.shows in ("line", "stack")
    return {
        "id": number,
        "type": "timeseries" if is_line else "stat",
        "title": panel.title,
        "description": panel.told,
        "datasource": DATASOURCE,
        "gridPos": {"h": height, "w": panel.width, "x": x, "y": y},
        "targets": [_target(query, legend, i, not is_line) for i, (query, legend) in enumerate(panel.lines)],
        "fieldConfig": {
            "defaults": _line_defaults(panel) if is_line else _stat_defaults(panel),
            "overrides": [],
        },
        "options": _LINE_OPTIONS if is_line else _stat_options(panel),
    }


def row_json(title: str, number: int, y: int) -> dict[str, Any]:
    """The heading above some panels."""
    place = {"h": 1, "w": 24, "x": 0, "y": y}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _target(query: str, legend: str, place: int, is_instant: bool) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + place),
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": checked(query),
        "legendFormat": legend,
        "instant": is_instant,
        "range": not is_instant,
    }


_LINE_OPTIONS = {
    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
    "tooltip": {"mode": "multi", "sort": "desc"},
}


def _line_defaults(panel: Panel) -> dict[str, Any]:
    is_stack = panel.shows == "stack"
    return {
        "unit": panel.unit,
        "color": {"mode": "palette-classic"},
        "custom": {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if is_stack else 0,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if is_stack else "none", "group": "A"},
        },
    }


def _stat_defaults(panel: Panel) -> dict[str, Any]:
    steps = {
        "zero": [{"color": "green", "value": None}, {"color": "red", "value": 1}],
        "yes": [{"color": "red", "value": None}, {"color": "green", "value": 1}],
    }.get(panel.shows, [{"color": "text", "value": None}])
    words = {"zero": ("no", "yes"), "yes": ("no", "yes")}.get(panel.shows)
    return {
        "unit": panel.unit,
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [] if words is None else [_mapping(*words)],
        "noValue": "none",
    }


def _mapping(zero: str, one: str) -> dict[str, Any]:
    options = {"0": {"index": 0, "text": zero}, "1": {"index": 1, "text": one}}
    return {"type": "value", "options": options}


def _stat_options(panel: Panel) -> dict[str, Any]:
    return {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "none" if panel.shows in ("stat", "name") else "background",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "name" if panel.shows == "name" else "auto",
        "wideLayout": True,
    }
