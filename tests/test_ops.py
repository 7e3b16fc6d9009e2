"""The rules and dashboards: made from the catalogue, and taken by the tools that read them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bento.forecast.ladder import CHALLENGER, CHAMPION
from ops.__main__ import ROOT, made
from ops.dashboard import Dashboard
from ops.edge_dashboard import EDGE
from ops.panel import Panel
from ops.queries import EDGE_JOB, FALLBACKS, RECORDED, SERVICE_JOB, checked
from ops.rules import EDGE_ALERTS, SERVICE_ALERTS
from ops.service_dashboard import SERVICE
from perennial.errors import InputError
from perennial.live.catalogue.names import CATALOGUE, SERIES

PROMETHEUS = ROOT / "ops" / "prometheus"
UNITS = {"short", "s", "bytes", "reqps", "rowsps", "ops", "percentunit"}
"""Those of Grafana's unit names that panels use."""
WIDTH = 24
IMPLIED = {"instance", "version"}
"""Labels that every series of a recorded name has without being told apart by them in a query."""


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        pytest.skip("promtool, of Debian's prometheus package, is not installed")
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def panels(told: Dashboard) -> list[Panel]:
    return [panel for row in told.rows.values() for panel in row]


def queries() -> dict[str, str]:
    """Every query there is, by who asks it."""
    alerts = {alert.name: alert.query for alert in (*SERVICE_ALERTS, *EDGE_ALERTS)}
    asked = {
        f"{told.uid}: {panel.title}, {legend}": query
        for told in (SERVICE, EDGE)
        for panel in panels(told)
        for query, legend in panel.lines
    }
    return {**RECORDED, **alerts, **asked}


def dashboard(uid: str) -> dict[str, Any]:
    return json.loads((ROOT / "ops" / "grafana" / f"{uid}.json").read_text())


def test_the_files_are_what_the_catalogue_makes() -> None:
    for name, text in made().items():
        assert (ROOT / name).read_text() == text, f"{name} is stale: run `python -m ops`"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("rate(perennial_request_total[5m])", "did you mean 'perennial_requests_total'"),
        ('perennial_requests_total{code="500"}', "found 'code'"),
        ('perennial_requests_total{status=~"5..", code!~"4.."}', "found 'code'"),
        ("perennial_request_seconds_buckets", "expected a known metric"),
        ("perennial:request:rate5m > 1", "expected a recorded name"),
        ("up - process_resident_memory", "expected a known metric"),
    ],
)
def test_a_query_beside_the_catalogue_is_refused(query: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        checked(query)


def test_every_metric_is_in_a_panel_and_every_recorded_name_is_used() -> None:
    shown = " ".join(query for asker, query in queries().items() if ":" in asker)
    assert {name for name in SERIES if re.search(rf"\b{name}\b", shown)} >= {
        metric.series[0] for metric in CATALOGUE.values()
    }
    used = " ".join(query for name, query in queries().items() if name not in RECORDED)
    assert [name for name in RECORDED if name not in used] == []


def test_promtool_takes_rules_and_example() -> None:
    for command, name in (("rules", "rules.yml"), ("config", "prometheus.yml")):
        found = promtool("check", command, PROMETHEUS / name)
        assert found.returncode == 0, found.stdout + found.stderr


def test_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    shutil.copy(PROMETHEUS / "rules.yml", tmp_path)
    shutil.copy(ROOT / "tests" / "alerts.yml", tmp_path)
    found = promtool("test", "rules", tmp_path / "alerts.yml")
    assert found.returncode == 0, found.stdout + found.stderr


def test_alerts_say_what_is_wrong_where_and_what_to_do() -> None:
    names = [alert.name for alert in (*SERVICE_ALERTS, *EDGE_ALERTS)]
    assert len(set(names)) == len(names)
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"][1:]:
        for rule in group["rules"]:
            assert "{{ $labels.instance }}" in rule["annotations"]["summary"], rule["alert"]
            assert rule["annotations"]["description"].count("; ") >= 1, rule["alert"]
            assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.parametrize("told", [SERVICE, EDGE], ids=lambda told: told.uid)
def test_grafana_reads_the_dashboard(told: Dashboard) -> None:
    """Held against what Grafana 11 writes when it exports a dashboard; Grafana itself is not run."""
    found = dashboard(told.uid)
    assert found["schemaVersion"] >= 39 and found["uid"] == told.uid and len(told.uid) <= 40
    variables = {variable["name"]: variable for variable in found["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert variables["instance"]["datasource"] == source
    assert all(note["datasource"] == source for note in found["annotations"]["list"])
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
    assert no_overlap([panel["gridPos"] for panel in found["panels"]])
    titles = [panel["title"] for panel in found["panels"]]
    assert len(set(titles)) == len(titles)
    for panel in found["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["type"] in ("timeseries", "stat") and panel["datasource"] == source
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters)) and letters
        for target in panel["targets"]:
            assert target["legendFormat"] and target["datasource"] == source
            assert "$instance" in target["expr"], panel["title"]
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert all(name in target["expr"] or name in IMPLIED for name in named), panel["title"]


def no_overlap(places: list[dict[str, int]]) -> bool:
    taken: set[tuple[int, int]] = set()
    for place in places:
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        if taken & cells or place["x"] + place["w"] > WIDTH:
            return False
        taken |= cells
    return True


def test_the_alert_on_fallbacks_knows_the_names_of_the_rungs() -> None:
    assert f'rung!~"{CHAMPION}|{CHALLENGER}"' in RECORDED[FALLBACKS]


def test_the_jobs_of_compose_are_those_that_the_rules_know() -> None:
    compose = yaml.safe_load((PROMETHEUS / "compose.yml").read_text())
    jobs = [job["job_name"] for job in compose["scrape_configs"]]
    assert jobs == [SERVICE_JOB, EDGE_JOB] and compose["rule_files"] == ["rules.yml"]
