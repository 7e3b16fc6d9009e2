"""A challenger that blocks, fails or answers nonsense costs the callers nothing: the real application over HTTP."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import contextmanager

import pytest
from releases import NOW, build, promote
from trialled import Blocking, Failing, Running, counted, running, until

from bento.answering import Answering
from bento.shadow import MOST_ROWS, Shadow
from bento.state import Ready
from perennial.live.bundle import open_bundle
from perennial.live.load import load_predictor
from perennial.live.predict import Predictor
from perennial.live.sign import key_pair

ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    root = tmp_path_factory.mktemp("shadow")
    key = key_pair(root / "keys")
    for strength in (1.0, 500.0):
        reference = build(root / "releases", key, "prices", strength)
    promote(root / "releases", key, reference)
    folder = root / "releases" / "prices" / "bundles"
    return [open_bundle(folder / version, key.public_path) for version in ("v1", "v2")]


class Priced(Running):
    """Answers prices."""

    def ask(self, value=ROW, unit=None):
        return self.post("/predict", value, unit)


@contextmanager
def trying(bundles, mode, wrap, root):
    with running(Priced(bundles, mode, wrap, root, NOW)) as made:
        yield made


def test_no_answer_waits_for_a_shadow_that_does_not_come(bundles, tmp_path):
    """The challenger is stuck in its first answer until the last caller has been answered."""
    with trying(bundles, "shadow", Blocking, tmp_path) as served:
        dropped = counted("perennial_shadow_dropped_total")
        units = served.units(8)
        many = MOST_ROWS // 2
        answers = [served.ask([ROW] * (many if n < 2 else 1), unit) for n, unit in enumerate(units)]
        assert {(status, answer["version"]) for status, _, answer in answers} == {(200, "v1")}
        until(lambda: counted("perennial_shadow_dropped_total") == dropped + 6)
        served.model.may.set()
        until(lambda: len(served.rows(tmp_path)) == 2 * 2 * many + 6)
        arms = Counter((row.unit, row.arm) for row in served.rows(tmp_path))
        assert arms == {
            **{(unit, arm): many for unit in units[:2] for arm in ("champion", "shadow")},
            **{(unit, "champion"): 1 for unit in units[2:]},
        }
        assert served.ask(ROW, units[3])[0] == 200
        until(lambda: len(served.rows(tmp_path)) == 2 * 2 * many + 8)


@pytest.mark.parametrize("mode", ["shadow", "split"])
def test_a_challenger_that_fails_is_counted_and_the_champion_answers(bundles, mode, tmp_path, caplog):
    with trying(bundles, mode, lambda _: Failing(), tmp_path) as served:
        failed = counted("perennial_challenger_failures_total")
        for unit in served.units(5):
            status, headers, answer = served.ask(ROW, unit)
            assert (status, answer["version"]) == (200, "v1")
            assert (headers["X-Arm"], headers["X-Model-Version"]) == ("champion", "v1")
        until(lambda: counted("perennial_challenger_failures_total") == failed + 5)
        for unit in served.units(3, tried=False):
            assert served.ask(ROW, unit)[0] == 200
        rows = served.rows(tmp_path)
    assert counted("perennial_challenger_failures_total") == failed + 5
    # In a split a unit that the challenger lost is in the wrong arm, so that the report's counts show it.
    assert Counter((row.arm, served.trial.tries(row.unit)) for row in rows) == {
        ("champion", True): 5,
        ("champion", False): 3,
    }
    assert "no such operator" in caplog.text


def test_a_stopped_shadow_leaves_what_waits_and_ends(bundles):
    answering = Answering(Ready(load_predictor(bundles[0]), 1000))
    exchange = answering.answer(json.dumps(ROW).encode(), None)
    slow = Blocking(load_predictor(bundles[1]).model)
    challenger = Answering(Ready(Predictor(bundles[1], slow), 1000))
    kept = []
    threads = threading.active_count()
    shadow = Shadow(lambda *of: kept.append(of), lambda: None)
    assert all(shadow.offer(exchange, challenger) for _ in range(10))
    slow.may.set()
    shadow.stop()
    until(lambda: threading.active_count() == threads)
    assert len(kept) <= 10 and all(one.arm == "shadow" for one, _ in kept)
