"""Two models on trial in the real service: units stay in their arm, and a shadow is never heard."""

from __future__ import annotations

import http.client
import json
import shutil
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from releases import damage, predicted, two_versions

from bento.process import free_port, service_environment, started
from perennial.live.journal.outcomes import outcomes
from perennial.live.journal.store import open_store
from perennial.live.trial import book
from perennial.live.trial.sequence import sample_ratio_p

ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A releases folder with two versions of `prices`, the first one released, and what each answers."""
    folder, key, _ = two_versions(tmp_path_factory.mktemp("router"))
    return folder, key, predicted(folder, key, ROW)


@pytest.fixture(scope="module")
def served(place):
    folder, key, _ = place
    environment = service_environment(folder, "prices", key.public_path) | {"PERENNIAL_WATCH_S": "0.05"}
    with started(environment, free_port()) as running:
        yield running.url


@pytest.fixture
def on_trial(place, served):
    """Begins a trial that the service has seen, and ends it when the test does."""
    folder, key, _ = place

    def begin(mode, share):
        now = datetime.now(UTC)
        trial = book.start(folder, "prices", "v2", mode, share, key.public_path, now, "a try", "t@h")
        until(lambda: ready(served).get("trial", {}).get("answers"))
        return trial

    yield begin
    if book.current(book.shelf.history(folder, "prices")):
        book.stop(folder, "prices", datetime.now(UTC), "enough", "t@h")
    until(lambda: "trial" not in ready(served))


class Caller:
    """One connection that is kept open."""

    def __init__(self, url):
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)

    def ask(self, value=ROW, unit=None, method="POST", path="/predict", **headers):
        sent = {**JSON, **headers, **({"X-Unit-Id": unit} if unit is not None else {})}
        self._connection.request(method, path, json.dumps(value), sent)
        answer = self._connection.getresponse()
        text = answer.read().decode()
        is_json = answer.headers["Content-Type"].startswith("application/json")
        return answer.status, answer.headers, json.loads(text) if is_json else text


def ready(url):
    return Caller(url).ask(method="GET", path="/readyz")[2]


def until(true, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "expected it to happen by now"
        time.sleep(0.01)


def journalled(place, trial):
    return journalled_of("prices", place, trial)


def journalled_of(system, place, trial):
    store = open_store(system, place[0].parent / "journal" / f"{system}.sqlite")
    try:
        return list(outcomes(store, trial.since, datetime.now(UTC) + timedelta(hours=1)))
    finally:
        store.close()


def metric(url, name):
    page = Caller(url).ask(method="GET", path="/metrics")[2]
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(name))


def test_a_unit_keeps_its_arm_and_the_arms_get_their_shares(place, served, on_trial):
    expected, caller = place[2], Caller(served)
    assert "X-Arm" not in caller.ask(unit="u1")[1]
    trial = on_trial("split", 0.3)
    assert ready(served)["trial"] == {
        "name": trial.name, "mode": "split", "challenger": "v2", "share": 0.3, "answers": True, "trouble": ""
    }  # fmt: skip
    arms = {}
    for place_of in range(400):
        unit = f"customer {place_of % 200}"
        status, headers, answer = caller.ask(unit=unit)
        version = {"champion": "v1", "challenger": "v2"}[headers["X-Arm"]]
        assert status == 200 and arms.setdefault(unit, headers["X-Arm"]) == headers["X-Arm"]
        assert headers["X-Model-Version"] == answer["version"] == version
        assert answer["predictions"][0]["prediction"] == pytest.approx(expected[version], rel=1e-9)
        assert headers["X-Journal"] == "written"
    counts = Counter(arms.values())
    assert sample_ratio_p(counts, trial.shares) > 0.0001 and len(counts) == 2
    _, headers, answer = caller.ask()
    assert (headers["X-Arm"], answer["version"]) == ("champion", "v1")
    rows = journalled(place, trial)
    assert Counter((r.arm, r.model_version, bool(r.unit)) for r in rows) == {
        ("champion", "v1", True): 2 * counts["champion"],
        ("challenger", "v2", True): 2 * counts["challenger"],
        ("champion", "v1", False): 1,
    }
    assert all(arms[r.unit] == r.arm for r in rows if r.unit)
    assert metric(served, 'perennial_arm_requests_total{arm="challenger"') == 2 * counts["challenger"]
    of_v2 = [f"perennial_{name}_total{{" for name in ("rows", "requests")]
    page = caller.ask(method="GET", path="/metrics")[2].splitlines()
    for name in of_v2:
        found = [line for line in page if line.startswith(name) and 'version="v2"' in line]
        assert sum(float(line.rsplit(" ", 1)[1]) for line in found) >= 2 * counts["challenger"], name


@pytest.mark.parametrize("bad", ["", "x" * 129, "\xe9"])
def test_a_unit_that_is_no_id_is_refused_during_a_trial_alone(served, on_trial, bad):
    assert Caller(served).ask(unit=bad)[0] == 200
    on_trial("split", 0.5)
    status, _, answer = Caller(served).ask(unit=bad)
    assert status == 400 and "expected an X-Unit-Id" in answer["message"]
    assert Caller(served).ask({**ROW, "year": "x"}, unit="u")[0] == 400


def test_a_shadow_is_journalled_and_never_returned(place, served, on_trial):
    expected, caller = place[2], Caller(served)
    trial = on_trial("shadow", 1.0)
    for number in range(60):
        status, headers, answer = caller.ask([ROW, ROW], unit=f"u{number}" if number % 2 else None)
        assert status == 200 and (headers["X-Arm"], answer["version"]) == ("champion", "v1")
        for prediction in answer["predictions"]:
            assert prediction["prediction"] == pytest.approx(expected["v1"], rel=1e-9)
    until(lambda: len(journalled(place, trial)) == 240)
    rows = {(r.prediction_id, r.arm): r for r in journalled(place, trial)}
    assert Counter(arm for _, arm in rows) == {"champion": 120, "shadow": 120}
    for (prediction_id, arm), row in rows.items():
        twin = rows[prediction_id, "champion" if arm == "shadow" else "shadow"]
        assert (row.unit, row.request_id, row.row, row.inputs) == (
            twin.unit, twin.request_id, twin.row, twin.inputs
        )  # fmt: skip
        assert row.output["prediction"] == pytest.approx(expected[row.model_version], rel=1e-9)
    assert {r.model_version for r in rows.values() if r.arm == "shadow"} == {"v2"}
    assert metric(served, 'perennial_arm_requests_total{arm="shadow"') == 60


def test_a_shadow_of_a_share_answers_that_share_of_units(place, served, on_trial):
    trial, caller = on_trial("shadow", 0.4), Caller(served)
    for number in range(100):
        caller.ask(unit=f"s{number}")
    tried = {f"s{number}" for number in range(100) if trial.tries(f"s{number}")}
    until(lambda: len(journalled(place, trial)) == 100 + len(tried))
    rows = journalled(place, trial)
    assert {r.unit for r in rows if r.arm == "shadow"} == tried and 10 < len(tried) < 80


def test_a_damaged_challenger_is_told_and_the_champion_answers_all(place, served, on_trial, tmp_path):
    folder, _, expected = place
    bundle = folder / "prices" / "bundles" / "v2"
    shutil.copytree(bundle, tmp_path / "kept")
    trial = on_trial("split", 0.5)
    until(lambda: metric(served, "perennial_challenger_trouble") == 0.0)
    book.stop(folder, "prices", datetime.now(UTC), "enough", "t@h")
    until(lambda: "trial" not in ready(served))
    try:
        damaged_when_started(place, trial)
        until(lambda: ready(served).get("trial", {}).get("trouble"))
        assert "model.onnx" in ready(served)["trial"]["trouble"] and ready(served)["trouble"] == ""
        for number in range(20):
            _, headers, answer = Caller(served).ask(unit=f"u{number}")
            assert "X-Arm" not in headers
            assert answer["predictions"][0]["prediction"] == pytest.approx(expected["v1"], rel=1e-9)
        assert metric(served, "perennial_challenger_trouble") == 1.0
    finally:
        shutil.rmtree(bundle)
        shutil.move(tmp_path / "kept", bundle)


def damaged_when_started(place, trial):
    """A trial whose bundle is damaged between the check of `ab start` and the service's own look."""
    folder, _, _ = place
    damage(folder, "prices", "v2", "model.onnx")
    past = book.shelf.history(folder, "prices")
    facts = past[trial.number - 1].facts
    entry = book.Facts(
        **{**vars(facts), "at": datetime.now(UTC), "evidence": {**facts.evidence, "name": "again"}}
    )
    book.ledger.append_after(book.shelf.store(folder, "prices"), entry, len(past))
