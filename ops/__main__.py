"""`python -m ops`: writes the rules, the dashboards and the table of metrics that are made from the catalogue."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from ops.dashboard import dashboard_json
from ops.edge_dashboard import EDGE
from ops.rules import rules
from ops.scrape import scrape
from ops.service_dashboard import SERVICE
from ops.table import with_table

ROOT = Path(__file__).resolve().parent.parent
MADE = "# Made by `python -m ops` from perennial/live/catalogue and ops/*.py; edit those.\n"
PAGE = "docs/metrics.md"


def made(root: Path = ROOT) -> dict[str, str]:
    """The content of every file that is made, by its path under the project's folder."""
    return {
        "ops/prometheus/rules.yml": MADE + _yaml(rules()),
        "ops/prometheus/prometheus.yml": MADE + _yaml(scrape()),
        **{f"ops/grafana/{told.uid}.json": _json(dashboard_json(told)) for told in (SERVICE, EDGE)},
        PAGE: with_table((root / PAGE).read_text()),
    }


def main() -> None:
    """Write what is not as it should be, and say how much."""
    files = {ROOT / name: text for name, text in made().items()}
    wrong = {path: text for path, text in files.items() if not path.exists() or path.read_text() != text}
    for path, text in wrong.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sys.stdout.write(f"{len(wrong)} of {len(files)} files written\n")


def _yaml(value: object) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, width=110))


def _json(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


if __name__ == "__main__":
    main()
