"""The agent on a device: it takes what the ledger says, whole, and answers whatever happens around it."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bento.edge.agent import Agent
from bento.edge.slots import Device, State, Trial
from bento.edge.source import FolderSource
from perennial.errors import BundleError, TableError
from perennial.evidence import BundleReference
from perennial.learn import recipes
from perennial.live import ledger, release, sign
from perennial.live.build import build_bundle
from perennial.live.ledger import Facts
from perennial.live.shelf import store
from perennial.live.sign import SigningKey
from tests import releases
from tests.releases import NOW

ROW = {"year": 2015, "mileage": 30_000, "fuel": "Petrol", "serviced": True, "tax": 145}
FAR = {**ROW, "year": 2030, "mileage": 0}


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return sign.key_pair(tmp_path / "keys")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return tmp_path / "releases"


def agent(tmp_path: Path, shelf: Path, key: SigningKey, confirm_after: int = 3) -> Agent:
    device = Device(tmp_path / "device" / "prices", "prices", key.public_path)
    made = Agent(device, FolderSource(shelf), confirm_after, NOW.timestamp)
    made.start()
    return made


def version(made: Agent) -> str:
    return made.answer([ROW], 10).answered.model_version


def test_a_release_is_pulled_tried_and_confirmed(tmp_path: Path, shelf: Path, key: SigningKey) -> None:
    first = releases.build(shelf, key, "prices", 1.0)
    releases.promote(shelf, key, first)
    made = agent(tmp_path, shelf, key)
    assert (made.look(), version(made), made.look()) == ("new", "v1", "current")
    second = releases.build(shelf, key, "prices", 50.0)
    releases.promote(shelf, key, second)
    assert made.look() == "new"
    assert made.state.slot == "a" and made.state.trial is not None and made.state.trial.slot == "b"
    assert [version(made) for _ in range(3)] == ["v2"] * 3
    assert (made.state.slot, made.state.trial) == ("b", None)
    again = agent(tmp_path, tmp_path / "gone", key)
    assert version(again) == "v2"
    assert again.look() == "unreachable" and version(again) == "v2"


def test_each_thing_that_can_be_wrong_has_its_own_outcome(
    tmp_path: Path, shelf: Path, key: SigningKey
) -> None:
    release_of(shelf, key, 1.0)
    made = agent(tmp_path, shelf, key)
    assert made.look() == "new"
    found = {}
    for strength, outcome in enumerate(("unsigned", "corrupt", "incompatible", "self_test", "disk"), start=2):
        reference = releases.build(shelf, key, "prices", float(strength))
        folder = shelf / "prices" / "bundles" / reference.version
        if outcome == "incompatible":
            resign(folder, key, manifest={"format": 99})
        if outcome == "self_test":
            golden = json.loads((folder / "golden.json").read_bytes())
            golden["answers"][3]["prediction"] *= 1.01
            resign(folder, key, {"golden.json": json.dumps(golden).encode()})
        if outcome == "disk":
            files = json.loads((folder / "manifest.json").read_bytes())["files"]
            files["model.skops"]["size"] = 10**16
            resign(folder, key, manifest={"files": files})
        if outcome == "unsigned":
            resign(folder, sign.key_pair(tmp_path / "another"))
        append(shelf, folder, "promotion")
        if outcome == "corrupt":
            releases.damage(shelf, "prices", reference.version, "model.onnx")
        found[outcome] = made.look()
        assert version(made) == "v1" and reference.version in made.trouble
    assert found == {outcome: outcome for outcome in found}
    assert agent(tmp_path, shelf, key).answer([ROW], 1).answered.model_version == "v1"


def test_a_damaged_file_is_fetched_again_and_whole_ones_are_not(
    tmp_path: Path, shelf: Path, key: SigningKey
) -> None:
    reference = release_of(shelf, key, 1.0)
    folder = shelf / "prices" / "bundles" / reference.version
    whole = (folder / "model.onnx").read_bytes()
    releases.damage(shelf, "prices", reference.version, "model.onnx")
    made = agent(tmp_path, shelf, key)
    assert made.look() == "corrupt" and made.serving is None
    (folder / "model.onnx").write_bytes(whole)
    (folder / "contract.json").unlink()  # arrived before
    assert made.look() == "new" and version(made) == "v1"


def test_no_way_back_but_a_rollback(tmp_path: Path, shelf: Path, key: SigningKey) -> None:
    release_of(shelf, key, 1.0)
    release_of(shelf, key, 2.0)
    made = agent(tmp_path, shelf, key, confirm_after=0)
    assert made.look() == "new" and version(made) == "v2"
    append(shelf, shelf / "prices" / "bundles" / "v1", "promotion")
    assert made.look() == "downgrade" and version(made) == "v2"
    assert "roll back" in made.trouble
    append(shelf, shelf / "prices" / "bundles" / "v2", "promotion")
    assert made.look() == "current" and made.trouble == ""
    release.rollback(shelf, "prices", "v1", key.public_path, NOW, "it answers badly")
    assert made.look() == "new" and version(made) == "v1"
    assert agent(tmp_path, shelf, key).answer([ROW], 1).answered.model_version == "v1"
    unreleased = releases.build(shelf, key, "prices", 3.0)
    append(shelf, shelf / "prices" / "bundles" / unreleased.version, "rollback")
    assert made.look() == "downgrade" and version(made) == "v1"


def test_an_older_or_another_ledger_is_refused(tmp_path: Path, shelf: Path, key: SigningKey) -> None:
    release_of(shelf, key, 1.0)
    older = shutil.copytree(shelf, tmp_path / "older")
    release_of(shelf, key, 2.0)
    made = agent(tmp_path, shelf, key)
    made.look()
    assert made.head == 2
    replayed = agent(tmp_path, older, key)
    assert replayed.look() == "ledger" and version(replayed) == "v2"
    release_of(older, key, 3.0)
    release_of(older, key, 4.0)
    forked = agent(tmp_path, older, key)
    assert forked.look() == "ledger" and version(forked) == "v2" and forked.head == 2
    assert agent(tmp_path, shelf, key).look() == "current"


def test_a_failing_live_prediction_returns_to_the_old_release_for_good(
    tmp_path: Path, shelf: Path, key: SigningKey
) -> None:
    release_of(shelf, key, 1.0)
    made = agent(tmp_path, shelf, key)
    made.look()
    before = made.answer([FAR], 1).rows
    overflowing(shelf, key)
    assert made.look() == "new" and version(made) == "v2"
    assert made.answer([FAR], 1).rows == before  # the same request, from the old one
    assert version(made) == "v1" and made.look() == "refused" and made.state.returns == 1
    again = agent(tmp_path, shelf, key)
    assert again.look() == "refused" and "v2 was given up" in again.trouble and version(again) == "v1"
    release_of(shelf, key, 3.0)
    assert again.look() == "new" and version(again) == "v3"


def test_a_wrong_request_is_no_failure_of_the_release(tmp_path: Path, shelf: Path, key: SigningKey) -> None:
    release_of(shelf, key, 1.0)
    made = agent(tmp_path, shelf, key)
    made.look()
    release_of(shelf, key, 2.0)
    made.look()
    with pytest.raises(TableError):
        made.answer([{**ROW, "year": "2015"}], 1)
    assert version(made) == "v2" and made.state.trial is not None and made.state.trial.answered == 1


def test_a_release_that_kills_its_process_is_given_up(tmp_path: Path, shelf: Path, key: SigningKey) -> None:
    release_of(shelf, key, 1.0)
    made = agent(tmp_path, shelf, key)
    made.look()
    release_of(shelf, key, 2.0)
    made.look()
    for strikes in (1, 2):
        killed_at_work(made)
        made = agent(tmp_path, shelf, key)
        assert made.state.trial is not None and made.state.trial.strikes == strikes
    restarted = agent(tmp_path, shelf, key)  # a power cut while nothing was asked is no strike
    assert restarted.state.trial == made.state.trial and version(restarted) == "v2"
    killed_at_work(restarted)
    last = agent(tmp_path, shelf, key)
    assert version(last) == "v1" and last.look() == "refused"


def test_a_newer_release_ends_a_trial(tmp_path: Path, shelf: Path, key: SigningKey) -> None:
    release_of(shelf, key, 1.0)
    made = agent(tmp_path, shelf, key)
    made.look()
    release_of(shelf, key, 2.0)
    made.look()
    release_of(shelf, key, 3.0)
    assert made.look() == "new" and version(made) == "v3" and made.state.slot == "a"
    release.rollback(shelf, "prices", "v1", key.public_path, NOW, "it answers badly")
    assert made.look() == "current" and version(made) == "v1" and made.state.trial is None


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "answer.json"])
def test_a_rotten_slot_is_left_for_the_other_and_fetched_again(
    tmp_path: Path, shelf: Path, key: SigningKey, name: str
) -> None:
    for strength in (1.0, 2.0):
        release_of(shelf, key, strength)
        made = agent(tmp_path, shelf, key, confirm_after=0)
        assert made.look() == "new"
    rotten = tmp_path / "device" / "prices" / made.state.slot / name
    rotten.write_bytes(rotten.read_bytes()[:-7])
    offline = agent(tmp_path, tmp_path / "gone", key)
    assert version(offline) == "v1" and offline.trouble
    online = agent(tmp_path, shelf, key, confirm_after=0)
    assert online.look() == "new" and version(online) == "v2"


def test_two_rotten_slots_leave_nothing_to_answer_until_the_next_pull(
    tmp_path: Path, shelf: Path, key: SigningKey
) -> None:
    for strength in (1.0, 2.0):
        release_of(shelf, key, strength)
        agent(tmp_path, shelf, key, confirm_after=0).look()
    for slot in "ab":  # whole, but they answer otherwise than they did when they were built
        folder = tmp_path / "device" / "prices" / slot
        golden = json.loads((folder / "golden.json").read_bytes())
        golden["answers"][0]["prediction"] += 5
        resign(folder, key, {"golden.json": json.dumps(golden).encode()})
    made = agent(tmp_path, shelf, key)
    assert made.serving is None and "golden rows" in made.trouble
    with pytest.raises(BundleError, match="golden rows"):
        made.answer([ROW], 1)
    assert made.look() == "new" and version(made) == "v2"


def test_a_first_release_that_kills_its_process_does_not_keep_it_from_the_next(
    tmp_path: Path, shelf: Path, key: SigningKey
) -> None:
    reference = release_of(shelf, key, 1.0)
    made = agent(tmp_path, shelf, key)
    made._device.save(State(trial=Trial("a", reference.digest, "v1", strikes=2, busy=True), highest=1))
    made = agent(tmp_path, shelf, key)
    assert made.serving is None and made.look() == "refused"
    release_of(shelf, key, 2.0)
    assert made.look() == "new" and version(made) == "v2"


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 1}', b'{"format": 2, "slot": "a"}', b"[]"])
def test_without_a_readable_state_the_newest_slot_answers(
    tmp_path: Path, shelf: Path, key: SigningKey, content: bytes
) -> None:
    for strength in (1.0, 2.0):
        release_of(shelf, key, strength)
        agent(tmp_path, shelf, key, confirm_after=0).look()
    (tmp_path / "device" / "prices" / "state.json").write_bytes(content)
    assert version(agent(tmp_path, tmp_path / "gone", key)) == "v2"


def release_of(shelf: Path, key: SigningKey, strength: float) -> BundleReference:
    reference = releases.build(shelf, key, "prices", strength)
    releases.promote(shelf, key, reference)
    return reference


def overflowing(shelf: Path, key: SigningKey) -> None:
    """A release that answers rows like those it knows, and no number for a car from 2030."""
    parts = releases.parts("prices", 1.0)
    estimator = recipes.ridge(releases.FEATURES, {"alpha": 1e-6}, 7, 1).fit(
        parts.train.X, 70 * np.log(parts.train.y)
    )
    folder = shelf / "prices" / "bundles"
    releases.promote(shelf, key, build_bundle(replace(parts, estimator=estimator), folder, key, NOW))


def resign(
    folder: Path,
    key: SigningKey,
    files: dict[str, bytes] | None = None,
    manifest: dict[str, Any] | None = None,
) -> None:
    """Changes a bundle and signs it again."""
    facts = json.loads((folder / "manifest.json").read_bytes()) | (manifest or {})
    for name, content in (files or {}).items():
        (folder / name).write_bytes(content)
        facts["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    content = json.dumps(facts).encode()
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.sig").write_bytes(sign.sign(key, content))


def append(shelf: Path, folder: Path, kind: str) -> None:
    """An entry in the ledger that nothing has checked."""
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    past = release.history(shelf, "prices")
    facts = Facts("prices", kind, folder.name, digest, "i" * 64, None, NOW, "tester@host")
    ledger.append(store(shelf, "prices"), facts, len(past))


def killed_at_work(made: Agent) -> None:
    """Leaves the disk as it is while a release on trial predicts."""
    assert made.state.trial is not None
    made._device.save(replace(made.state, trial=replace(made.state.trial, busy=True)))
