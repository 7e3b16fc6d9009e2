"""What the tests of scoring share: two models, and a database of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from perennial.config_score import Score
from perennial.live import sign
from perennial.live.predict import Predictor
from perennial.live.scoring.score import Scored, score_table
from tests import stock
from tests.postgres import Server, running
from tests.stock import VARIABLE, Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, Predictor]:
    folder = tmp_path_factory.mktemp("models")
    key = sign.key_pair(folder / "keys")
    return stock.predictor(folder / "a", key), stock.predictor(folder / "a", key, (50.0,))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    if request.param == "sqlite":
        path = tmp_path / "stock.sqlite"
        path.touch()
        yield Database(str(path), sa.create_engine(f"sqlite:///{path}"))
        return
    url = request.getfixturevalue("server").url
    monkeypatch.setenv(VARIABLE, url)
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    found = Database(f"env:{VARIABLE}", engine)
    found.run("DROP SCHEMA public CASCADE")
    found.run("CREATE SCHEMA public")
    yield found
    engine.dispose()


def run(score: Score, predictor: Predictor, hours: float = 0, again: bool = False) -> Scored:
    return score_table(score, predictor, lambda: NOW + timedelta(hours=hours), again)
