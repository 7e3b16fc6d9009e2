"""A loaded bundle answers requests and files alike, and says what its answers rest on."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_fixtures import NOW, cars, parts

from perennial.errors import BundleError
from perennial.live import bundle, sign
from perennial.live.answer import answer
from perennial.live.build import build_bundle
from perennial.live.golden import replay, request_rows
from perennial.live.load import load_predictor
from perennial.live.models import FittedModel
from perennial.live.predict import Predictor, as_json_rows
from perennial.live.reference import category_profile, number_profile, training_ranges


@pytest.fixture(scope="module")
def predictors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Predictor]:
    folder = tmp_path_factory.mktemp("releases")
    key = sign.key_pair(folder / "keys")
    made = {}
    for kind in ("forest", "lightgbm", "ridge"):
        built = build_bundle(parts(kind), folder / kind, key, NOW)
        made[kind] = load_predictor(bundle.open_bundle(built.path, key.public_path))
    return made


@pytest.mark.parametrize("kind", ["forest", "lightgbm", "ridge"])
def test_one_by_one_equals_a_request_equals_a_file(kind: str, predictors: dict[str, Predictor]) -> None:
    predictor, table = predictors[kind], cars(120, 9)
    rows = request_rows(table)
    single = [as_json_rows(predictor.answer_rows([row]))[0] for row in rows]
    together = as_json_rows(predictor.answer_rows(rows))
    filed = as_json_rows(predictor.answer_columns({name: table.frame[name] for name in rows[0]}))
    for other in (together, filed):
        for a, b in zip(single, other, strict=True):
            assert a["flag"] == b["flag"]
            numbers = [
                [r["prediction"]] if isinstance(r["prediction"], float) else list(r["probabilities"].values())
                for r in (a, b)
            ]
            np.testing.assert_allclose(numbers[0], numbers[1], rtol=1e-12)


@pytest.mark.parametrize("kind", ["forest", "lightgbm", "ridge"])
def test_answers_are_the_fitted_models(kind: str, predictors: dict[str, Predictor]) -> None:
    """Recomputed from the estimator and the table, past the bundle."""
    built, table = parts(kind), cars(120, 9)
    raw = FittedModel(built.estimator, len(built.rule.classes)).raw(replace(table, contract=built.contract).X)
    expected = answer(raw, built.rule)
    features = {c.name: table.frame[c.name] for c in built.contract.features}
    found = predictors[kind].answer_columns(features).answers
    if built.rule.classes:
        assert found.prediction.tolist() == expected.prediction.tolist()
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-12)
    else:
        np.testing.assert_allclose(found.prediction, expected.prediction, rtol=1e-12)
        np.testing.assert_allclose(found.low, expected.low, rtol=1e-12)


@pytest.mark.parametrize("kind", ["forest", "ridge"])
def test_what_cannot_be_answered_is_null(kind: str, predictors: dict[str, Predictor]) -> None:
    rows = request_rows(cars(3, 9))
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["year"][1] = "abc"
    answers = as_json_rows(predictors[kind].answer_columns(columns))
    assert json.loads(json.dumps(answers, allow_nan=False)) == answers
    assert answers[1]["prediction"] is None
    assert answers[1]["flag"] == "year: expected a whole number, found 'abc'"
    spoilt = answers[1]["probabilities"].values() if kind == "forest" else [answers[1]["prediction_low"]]
    assert set(spoilt) == {None}
    assert answers[0]["prediction"] is not None
    assert {a["model_version"] for a in answers} == {"v1"}


def test_an_answer_without_an_interval_or_beyond_float64_is_null(predictors: dict[str, Predictor]) -> None:
    class Huge:
        def raw(self, matrix: Any) -> Any:
            return np.full(len(matrix), 1e4)

    opened = predictors["ridge"].bundle
    open_ended = replace(opened, rule=replace(opened.rule, interval=None))
    with np.errstate(over="ignore"):
        answers = as_json_rows(Predictor(open_ended, Huge()).answer_rows(opened.golden["rows"][:1]))
    assert answers[0]["prediction"] is answers[0]["prediction_low"] is answers[0]["prediction_high"] is None
    assert answers[0]["flag"].endswith("the model's answer to these values is beyond all numbers")


def test_no_rows_give_no_answers(predictors: dict[str, Predictor]) -> None:
    for predictor in predictors.values():
        features = {c.name: [] for c in predictor.bundle.contract.features}
        assert as_json_rows(predictor.answer_columns(features)) == []


def test_a_number_beyond_training_carries_a_flag(predictors: dict[str, Predictor]) -> None:
    predictor = predictors["ridge"]
    row = {**predictor.bundle.golden["rows"][0], "mileage": 999_999.0}
    flag = as_json_rows(predictor.answer_rows([row]))[0]["flag"]
    assert flag.startswith("mileage 999999 is outside the training range ")


def test_replay_notices_other_answers(predictors: dict[str, Predictor]) -> None:
    predictor = predictors["ridge"]
    replay(predictor, predictor.bundle.golden)
    golden = json.loads(json.dumps(predictor.bundle.golden))
    golden["answers"][3]["prediction"] *= 1 + 1e-5
    with pytest.raises(BundleError, match="1 of 8 golden rows are answered differently"):
        replay(predictor, golden)
    golden["answers"][3]["prediction"] = None
    with pytest.raises(BundleError, match="golden rows are answered differently"):
        replay(predictor, golden)


def test_golden_rows_are_unseen_rows(predictors: dict[str, Predictor]) -> None:
    """None of the training rows is among them, and all are hold-out rows."""
    built = parts("ridge")
    golden = predictors["ridge"].bundle.golden["rows"]
    assert len(golden) == 8
    holdout = request_rows(built.holdout)
    assert all(row in holdout for row in golden)
    assert not any(row in request_rows(built.train) for row in golden)


def test_the_reference_profile_is_small_and_true(predictors: dict[str, Predictor]) -> None:
    built = parts("ridge")
    reference = predictors["ridge"].bundle.reference
    mileage = built.train.frame["mileage"].to_numpy()
    profile = reference["features"]["mileage"]
    assert (profile["minimum"], profile["maximum"]) == (mileage.min(), mileage.max())
    np.testing.assert_allclose(profile["quantiles"][50], np.median(mileage), rtol=1e-6)
    assert sum(profile["histogram"]["counts"]) == len(mileage)
    assert reference["features"]["engine"]["missing_share"] == pytest.approx(
        built.train.frame["engine"].isna().mean(), abs=1e-6
    )
    shares = built.train.frame["make"].value_counts(normalize=True)
    assert reference["features"]["make"]["shares"] == pytest.approx(shares.to_dict(), abs=1e-6)
    assert reference["predictions"]["rows"] == len(built.holdout)
    assert training_ranges(reference)["mileage"] == (mileage.min(), mileage.max())


def test_twenty_number_columns_fit_into_fifty_kilobytes() -> None:
    rng = np.random.default_rng(0)
    profiles = [number_profile(rng.normal(size=5000) * 10**i) for i in range(-10, 10)]
    assert len(json.dumps(profiles)) < 50_000


def test_histogram_counts_are_those_of_the_edges() -> None:
    values = np.array([1.0] * 90 + [2.0, 3.0, 4.0, np.nan])
    profile = number_profile(values)
    edges, counts = profile["histogram"]["edges"], profile["histogram"]["counts"]
    assert edges == sorted(set(edges))
    bounds = [-math.inf, *edges, math.inf]
    expected = [int(((values >= a) & (values < b)).sum()) for a, b in pairwise(bounds)]
    assert counts == expected
    assert profile["missing_share"] == pytest.approx(1 / 94, rel=1e-6)


def test_a_column_without_values_has_a_profile() -> None:
    assert number_profile(np.full(3, np.nan))["minimum"] is None
    assert category_profile(np.full(3, np.nan), ("a",))["shares"] == {"a": 0.0}


def test_the_card_tells_what_matters(predictors: dict[str, Predictor]) -> None:
    card = predictors["lightgbm"].bundle.read("MODEL_CARD.md").decode()
    for told in (
        "# cars v1",
        "Predicts `price` in GBP",
        "| dataset version | 3 |",
        "| rows fitted on | 600 |",
        "0.9 [0.85, 0.95]",
        "against majority: better",
        "| `mileage` | number | 0 to 1e+06 miles | no | distance driven |",
        "beside decision thresholds",
        "| candidate | `lightgbm` |",
        "| seed | 0 |",
        "| scikit-learn | ",
    ):
        assert told in card


SERVED = """
import sys
for heavy in {heavy!r}:
    sys.modules[heavy] = None
sys.path[:0] = [{root!r}]
from pathlib import Path
from perennial.live import bundle
from perennial.live.load import load_predictor
from perennial.live.predict import as_json_rows
opened = bundle.open_bundle({path!r}, Path({key!r}))
print(as_json_rows(load_predictor(opened).answer_rows(opened.golden["rows"][:1]))[0]["prediction"])
"""


def test_serving_needs_none_of_the_training_libraries(tmp_path: Path) -> None:
    """Where they cannot be imported, an ONNX bundle answers, and a skops bundle names the layer it lacks."""
    heavy = ["pandas", "sklearn", "skops", "lightgbm", "scipy", "onnx", "skl2onnx", "pydantic", "yaml"]
    key = sign.key_pair(tmp_path / "keys")
    options = parts("ridge").options
    results = []
    for mode in ("auto", "off"):
        chosen = options.model_copy(update={"onnx": mode})
        built = build_bundle(parts("ridge", options=chosen), tmp_path / mode, key, NOW)
        code = SERVED.format(
            heavy=heavy, root=str(Path(__file__).parent.parent), path=built.path, key=str(key.public_path)
        )
        results.append(
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        )
    assert float(results[0].stdout) > 0, results[0].stderr
    assert results[1].returncode == 1
    assert "MissingLayerError: expected the package skops" in results[1].stderr
    assert "install requirements/base.in" in results[1].stderr
