"""Forecasts of a release on trial: what counts for it and against it, and what stands before it."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from forecasts import build, config, floor_hour, past, sent
from releases import promote
from test_edge import resign
from test_forecast_ladder import Broken

from bento.edge.agent import Agent
from bento.edge.desk import Desk, Limits
from bento.edge.slots import Device
from bento.edge.source import FolderSource
from bento.forecast.forecaster import LATE
from perennial.live import release
from perennial.live.bundle import open_bundle
from perennial.live.sign import SigningKey, key_pair

NOW = floor_hour(datetime.now(UTC))
ORIGIN = NOW.replace(hour=0)
BODY = json.dumps(
    {"origin": ORIGIN.isoformat(), "history": sent(past(ORIGIN), load="load_mw", weather="temperature_c")}
).encode()
BLIND = json.dumps({"origin": ORIGIN.isoformat(), "history": sent(past(ORIGIN), load="load_mw")}).encode()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """A champion, and two later releases."""
    folder, records = tmp_path_factory.mktemp("state") / "releases", past(NOW)
    promote(folder, key, build(folder, key, config(True), records, NOW, 1.0))
    for strength in (2.0, 3.0):
        build(folder, key, config(True), records, NOW, strength)
    return folder


@pytest.fixture
def copy(shelf: Path, tmp_path: Path) -> Path:
    return shutil.copytree(shelf, tmp_path / "releases")


def promoted(folder: Path, key: SigningKey, version: str) -> None:
    promote(folder, key, open_bundle(folder / "load" / "bundles" / version, key.public_path).as_reference())


def started(folder: Path, shelf: Path, key: SigningKey, confirm_after: int = 2) -> tuple[Agent, Desk]:
    at = Device(folder / "edge", "load", key.public_path)
    made = Agent(at, FolderSource(shelf), confirm_after, NOW.timestamp)
    made.start()
    return made, Desk(made, at, None, None, Limits(1000, 3600.0, LATE), NOW.timestamp)


def told(desk: Desk, body: bytes = BODY) -> tuple[str, str]:
    answer, headers = desk.forecast(body, None)
    assert headers["X-Model-Version"] == answer["version"]
    assert len(answer["predictions"]) == 24
    return answer["version"], answer["quality"]


@pytest.mark.parametrize("answer", [None, np.nan], ids=str)
def test_a_forecast_that_fails_on_trial_gives_the_release_up(tmp_path, copy, key, answer) -> None:
    agent, desk = started(tmp_path, copy, key)
    assert agent.look() == "new" and told(desk) == ("v1", "champion")
    promoted(copy, key, "v2")
    assert agent.look() == "new" and told(desk) == ("v2", "champion")
    assert agent.state.trial is not None and agent.state.trial.answered == 1
    agent.serving.predictor.model = Broken(answer)
    assert told(desk) == ("v1", "champion")
    assert agent.state.trial is None and agent.state.returns == 1 and agent.look() == "refused"
    assert "v2 was given up on this device: it failed a live prediction" in agent.trouble
    again, desk = started(tmp_path, copy, key)
    assert told(desk) == ("v1", "champion") and again.look() == "refused"
    promoted(copy, key, "v3")
    assert again.look() == "new" and told(desk) == ("v3", "champion")


def test_a_release_whose_config_is_of_another_version_is_given_up(tmp_path, copy, key) -> None:
    agent, desk = started(tmp_path, copy, key)
    agent.look()
    folder = copy / "load" / "bundles" / "v2"
    settings = json.loads((folder / "config.json").read_bytes())
    name = next(name for name in settings if name.startswith("features."))
    resign(folder, key, {"config.json": json.dumps({**settings, f"{name}_of_tomorrow": 1}).encode()})
    promoted(copy, key, "v2")
    assert agent.look() == "new" and agent.serving is not None and agent.serving.on_trial
    assert told(desk) == ("v1", "champion")
    assert agent.look() == "refused" and "expected config.json of this version" in agent.trouble


def test_what_the_model_did_not_answer_counts_neither_way(tmp_path, copy, key) -> None:
    agent, desk = started(tmp_path, copy, key)
    agent.look()
    promoted(copy, key, "v2")
    agent.look()
    agent.serving.predictor.model = Broken(None)
    assert told(desk, BLIND)[1] == "seasonal naive"
    assert agent.state.trial is not None and agent.state.trial.answered == 0 and not agent.state.trial.busy


def test_before_a_release_stands_the_one_that_was_confirmed_before_it(tmp_path, copy, key) -> None:
    agent, desk = started(tmp_path, copy, key, confirm_after=1)
    agent.look()
    for version, before in (("v2", "v1"), ("v3", "v2")):
        promoted(copy, key, version)
        assert agent.look() == "new" and told(desk) == (version, "champion")
        agent.serving.predictor.model = Broken(None)
        assert told(desk) == (before, "previous champion")
        agent, desk = started(tmp_path, copy, key, confirm_after=1)  # nothing but the disk remembers
        assert told(desk) == (version, "champion")
    release.rollback(copy, "load", "v2", key.public_path, NOW, "it forecasts badly")
    assert agent.look() == "new" and told(desk) == ("v2", "champion")
    agent.serving.predictor.model = Broken(None)
    assert told(desk) == ("v2", "seasonal naive")  # not the one that was rolled back from


def test_a_slot_that_rotted_is_no_release_to_fall_back_to(tmp_path, copy, key) -> None:
    agent, desk = started(tmp_path, copy, key, confirm_after=0)
    agent.look()
    promoted(copy, key, "v2")
    assert agent.look() == "new" and agent.state.trial is None
    (tmp_path / "edge" / "a" / "answer.json").write_bytes(b"{}")
    agent.serving.predictor.model = Broken(None)
    assert told(desk) == ("v2", "seasonal naive")


def test_a_release_that_was_given_up_is_none_to_fall_back_to(tmp_path, copy, key) -> None:
    agent, desk = started(tmp_path, copy, key, confirm_after=1)
    agent.look()
    promoted(copy, key, "v2")
    assert agent.look() == "new" and told(desk) == ("v2", "champion")
    promoted(copy, key, "v3")
    assert agent.look() == "new" and agent.serving is not None
    agent.serving.predictor.model = Broken(None)
    assert told(desk) == ("v2", "champion")
    agent.serving.predictor.model = Broken(None)
    assert told(desk) == ("v2", "seasonal naive")  # the slot of the one before holds what failed
