"""What the tests of schedules share."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from commands.schedule import cli
from perennial.cron import Calendar, read_cron
from perennial.live.schedule import Job

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
HOURLY = Job("cars", "collect", "0 * * * * UTC", Calendar(read_cron("0 * * * *"), UTC))
PYTHON = sys.executable


def said(monkeypatch: pytest.MonkeyPatch, home: Path, *words: str) -> str:
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    result = CliRunner().invoke(cli, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output
