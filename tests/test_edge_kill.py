"""No half model, whatever happens to a device while it changes its release."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perennial.live import sign
from perennial.live.bundle import open_bundle
from perennial.live.load import load_predictor
from perennial.live.predict import json_rows
from perennial.live.sign import SigningKey
from tests.edge_site import post, serving, until
from tests.test_edge import ROW, agent, release_of
from tests.test_edge_http import running

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return sign.key_pair(tmp_path / "keys")


def cut_everywhere(tmp_path: Path, key: SigningKey, mode: str, every: str = "1") -> int:
    """Every cut leaves the old release or the new one, whole; returns how many there were."""
    shelf, device, truth = tmp_path / "releases", tmp_path / "device" / "prices", {}
    for strength in (1.0, 30.0):
        release_of(shelf, key, strength)
        agent(tmp_path, shelf, key, confirm_after=0).look()
    release_of(shelf, key, 900.0)
    for version in ("v2", "v3"):
        bundle = open_bundle(shelf / "prices" / "bundles" / version, key.public_path)
        truth[version] = json_rows(load_predictor(bundle).answer_rows([ROW]))[0]["prediction"]
    assert truth["v2"] != truth["v3"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.edge_crash",
            str(shelf),
            str(device),
            str(key.public_path),
            mode,
            every,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines:
        version, prediction, outcome, gave_up = line["offline"]
        assert (prediction, outcome, gave_up) == (truth[version], "unreachable", False), line
        if line["online"] is None:
            continue
        version, prediction, outcome, gave_up = line["online"]
        assert (version, prediction, gave_up) == ("v3", truth["v3"], False), line
    offline = [line["offline"][0] for line in lines]
    assert offline[0] == "v2" and offline[-1] == "v3" and not lines[-1]["died"]
    assert offline[-2] == "v3", "what was confirmed was not durable"
    assert offline == sorted(offline)  # there is one moment at which the new one counts
    return len(lines) - 1


def test_a_power_cut_at_any_file_operation_leaves_a_whole_release(tmp_path: Path, key: SigningKey) -> None:
    assert cut_everywhere(tmp_path, key, "loses", every="5") > 80


@pytest.mark.torture
@pytest.mark.parametrize(("mode", "what"), [("keeps", "killed"), ("loses", "cut off from power")])
def test_a_swap_that_ends_at_any_file_operation_leaves_a_whole_release(
    tmp_path: Path, key: SigningKey, tell: Callable[[str], None], mode: str, what: str
) -> None:
    count = cut_everywhere(tmp_path, key, mode)
    tell(f"edge: {what} at each of {count} file operations of a swap, 0 half models")
    assert count > 80


@pytest.mark.torture
def test_kills_at_any_moment_lose_no_answer_and_no_release(
    tmp_path: Path, key: SigningKey, tell: Callable[[str], None]
) -> None:
    """Real kills under load, while releases come and go: every answer is one release's, and every row arrives."""
    rng, shelf = np.random.default_rng(3), tmp_path / "releases"
    truth, acknowledged, versions = {}, [], set()

    def released(strength: float) -> None:
        version = release_of(shelf, key, strength).version
        bundle = open_bundle(shelf / "prices" / "bundles" / version, key.public_path)
        truth[version] = json_rows(load_predictor(bundle).answer_rows([ROW]))[0]["prediction"]

    released(1.0)
    began, kills = time.monotonic(), 0
    with serving(shelf) as site:
        while time.monotonic() - began < 45:
            released(2.0 + kills)
            with running(tmp_path, site, key) as (url, process):
                kills += 1
                until_s = time.monotonic() + rng.uniform(0, 1.5)
                while time.monotonic() < until_s:
                    _, answer, headers = post(f"{url}/predict", ROW)
                    assert answer["predictions"][0]["prediction"] == truth[answer["version"]]
                    versions.add(answer["version"])
                    if "X-Journal" not in headers:
                        acknowledged.append(answer["prediction_id"])
                process.kill()
        with running(tmp_path, site, key) as (url, _):
            until(lambda: set(acknowledged) <= set(site.taken))
            until(lambda: post(f"{url}/predict", ROW)[1]["version"] == f"v{len(truth)}")
    at = {name: place for place, name in enumerate(site.taken_once)}
    order = [at[name] for name in acknowledged]
    tell(
        f"edge: {kills} kills, {len(versions)} releases, {len(acknowledged)} acknowledged rows, 0 missing, "
        f"{len(site.taken) - len(at)} repeats, 0 half models"
    )
    assert order == sorted(order)
    assert kills > 10 and len(acknowledged) > 100
