"""`used_cars` from a file of listings to a bundle that answers, through the library alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from listings import listings

from benchmarks import used_cars as benchmark
from commands.predict import ids, predictions_table, read_input
from perennial.config import Config
from perennial.config_file import load
from perennial.data import splits
from perennial.data.checks import check
from perennial.evidence import DatasetReference, Evaluation
from perennial.learn.evaluate import evaluate
from perennial.learn.metrics import metric_value
from perennial.learn.pairs import pairs_of
from perennial.live.answer import rule_from
from perennial.live.build import build_bundle
from perennial.live.bundle import bundles_folder, open_bundle
from perennial.live.fields import Field
from perennial.live.golden import request_rows
from perennial.live.load import load_predictor
from perennial.live.pack import Parts, id_words
from perennial.live.predict import Predictor, as_json_rows
from perennial.live.sign import key_pair
from perennial.systems import used_cars
from perennial.table import Column, Table

ROOT = Path(__file__).parents[1]
REAL_LISTINGS = ROOT.parent / "shared/data/used-cars/uk_used_cars.csv.gz"
REAL_ROWS = 6000
FEW_TREES = ("learn.candidates.0.parameters.n_estimators=400", "learn.candidates.0.parameters.num_leaves=31")
NUMBERS = ["prediction", "prediction_low", "prediction_high"]


@dataclass(frozen=True)
class Released:
    """A trained system: its config, its sides, what was measured, and the bundle as it would serve."""

    config: Config
    train: Table
    holdout: Table
    evaluation: Evaluation
    predictor: Predictor
    is_real: bool

    def answered(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table that `run.py predict` would write for these rows."""
        answered = self.predictor.answer_columns({name: frame[name] for name in frame.columns})
        return predictions_table(answered, ids(frame, self.predictor.bundle.contract))


def sample_file(kind: str, folder: Path) -> Path:
    path = folder / "listings.csv"
    if kind == "made up":
        frame = listings(1500).frame
    elif not REAL_LISTINGS.exists():
        pytest.skip("the real listings are not on this machine")
    else:
        frame = pd.read_csv(REAL_LISTINGS).sample(REAL_ROWS, random_state=1)
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module", params=["made up", "real"])
def released(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Released:
    folder = tmp_path_factory.mktemp("used_cars")
    path = sample_file(request.param, folder)
    config = load(ROOT / "configs" / "used_cars.yaml", Config, [f"source.path={path}", *FEW_TREES]).config
    train, holdout = benchmark.sides(config, benchmark.listings(config), config.seed)
    default = config.learn.candidates[0]
    model = benchmark.fit_default(config, default, train, config.seed)
    evaluation = evaluate(
        "used_cars", model, train, holdout, config.evaluate, used_cars.SYSTEM.segments, config.seed
    )
    parts = Parts(
        system="used_cars",
        estimator=model.estimator,
        contract=model.contract,
        rule=model.rule,
        train=train,
        holdout=holdout,
        evaluation=evaluation,
        candidate=model.candidate,
        parameters=model.parameters,
        dataset=DatasetReference(uri="memory", version=0, rows=len(train), fingerprint="f" * 64),
        config_digest="c" * 64,
        code_digest="d" * 64,
        seed=config.seed,
        options=config.bundle,
    )
    key = key_pair(folder / "keys")
    place = bundles_folder(folder, "used_cars")
    place.mkdir(parents=True)
    built = build_bundle(parts, place, key, datetime(2026, 1, 1, tzinfo=UTC))
    predictor = load_predictor(open_bundle(built.path, key.public_path))
    return Released(config, train, holdout, evaluation, predictor, request.param == "real")


def features(table: Table, rows: int | None = None) -> pd.DataFrame:
    return table.frame[[c.name for c in table.contract.features]].head(rows or len(table))


def theirs(released: Released, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows under the source's own column names."""
    assert released.config.source.kind == "file"
    return frame.rename(columns={new: old for old, new in released.config.source.columns.items()})


def changed(frame: pd.DataFrame, **values: Any) -> pd.DataFrame:
    return frame.astype(dict.fromkeys(values, object)).assign(**values)


def test_it_is_accurate_and_its_intervals_cover(released):
    found = {m.name: m.value for m in released.evaluation.metrics}
    assert found["r2_score"] > 0.9
    assert found["median_absolute_percentage_error"] < 8
    interval = released.evaluation.details["intervals"][0]
    assert interval["level"] == 0.9
    assert 0.85 < interval["coverage"] < 0.95
    assert all(c.verdict == "better" for c in released.evaluation.against_baselines)


def test_the_bundle_repeats_what_was_reported(released):
    assert released.predictor.bundle.manifest.backend == "onnx"
    answered = released.predictor.answer_columns(dict(features(released.holdout)))
    pairs = pairs_of(released.holdout.y, answered.answers)
    for metric in released.evaluation.metrics:
        assert metric_value(metric.name, pairs) == pytest.approx(metric.value, rel=1e-9)
    truth = released.holdout.y
    inside = (truth >= answered.answers.low) & (truth <= answered.answers.high)
    assert inside.mean() == pytest.approx(released.evaluation.details["intervals"][0]["coverage"])


def test_no_listing_and_no_twin_is_on_both_sides(released):
    train, holdout = released.train, released.holdout
    assert not set(train.ids) & set(holdout.ids)
    content = [*(c.name for c in train.contract.features), "price_gbp"]
    assert features(train).assign(price_gbp=train.y).duplicated().any()
    both = pd.merge(train.frame[content].drop_duplicates(), holdout.frame[content], on=content)
    assert both.empty
    fitted = released.predictor.bundle.fitted_rows
    assert np.array_equal(fitted, np.unique(id_words(train.ids)))


def test_neither_the_order_nor_the_id_of_listings_moves_them_to_another_side(released):
    config = released.config
    records = used_cars.collect(config.source, config.seed)
    shuffled = records.sample(frac=1, random_state=3).reset_index(drop=True)
    table = check(
        used_cars.prepare(shuffled, config.source), used_cars.contract(config.source), config.checks
    ).table
    rows = splits.split(table, config.split, config.seed)
    assert set(table.ids[rows.holdout]) == set(released.holdout.ids)
    assert {c.name for c in table.contract.features}.isdisjoint({"id", "time", "known_at", "price_gbp"})


def test_either_names_any_order_and_further_columns_give_the_same_answers(released):
    frame = features(released.holdout, 200)
    wanted = released.answered(frame)
    assert list(wanted) == [*NUMBERS, "model_version", "flag"]
    assert (wanted["prediction_low"] < wanted["prediction"]).all()
    assert (wanted["prediction"] < wanted["prediction_high"]).all()
    pd.testing.assert_frame_equal(released.answered(theirs(released, frame)), wanted)
    order = np.random.default_rng(0).permutation(len(frame))
    moved = released.answered(frame.iloc[order].reset_index(drop=True))
    pd.testing.assert_frame_equal(moved, wanted.iloc[order].reset_index(drop=True))
    wide = frame[frame.columns[::-1]].assign(price=1.0, dealer="x", id=[f"car {i}" for i in range(200)])
    with_ids = released.answered(wide)
    assert with_ids["id"].tolist() == wide["id"].tolist()
    pd.testing.assert_frame_equal(with_ids.drop(columns="id"), wanted)
    twice = released.answered(pd.concat([frame, frame], ignore_index=True))
    pd.testing.assert_frame_equal(twice, pd.concat([wanted, wanted], ignore_index=True))


def test_a_file_is_answered_like_requests_of_its_rows(released):
    table = released.holdout.rows(np.arange(150))
    rows = request_rows(table)
    rows[3] = {**rows[3], "make": "trabant"}
    rows[4] = {**rows[4], "year": 2060, "engine_size_l": 0.0}
    rows[5] = {**rows[5], "mpg": None}
    at_once = as_json_rows(released.predictor.answer_rows(rows))
    assert at_once == [as_json_rows(released.predictor.answer_rows([row]))[0] for row in rows]
    by_file = released.predictor.answer_columns({n: [row[n] for row in rows] for n in rows[0]})
    assert as_json_rows(by_file) == at_once
    aliases = {new: old for old, new in released.config.source.columns.items()}
    renamed = [{aliases.get(name, name): value for name, value in row.items()} for row in rows]
    assert as_json_rows(released.predictor.answer_rows(renamed)) == at_once


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".jsonl.gz"])
def test_every_form_of_file_gives_the_same_answers(released, tmp_path, suffix):
    frame = theirs(released, features(released.holdout, 100))
    path = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif "csv" in suffix:
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True, double_precision=15)
    read = read_input(str(path), released.predictor.bundle.contract)
    pd.testing.assert_frame_equal(released.answered(read), released.answered(frame))


def test_a_make_never_seen_is_named_and_gets_a_wider_interval(released):
    frame = features(released.holdout, 300)
    known = released.answered(frame)
    strange = released.answered(changed(frame, make="toyota", model="Yaris"))
    flag = "make 'toyota' was not seen in training; model 'Yaris' was not seen in training"
    assert all(text.startswith(flag) for text in strange["flag"])
    assert np.isfinite(strange[NUMBERS].to_numpy()).all()
    # In the made-up listings a make says nothing about a price.
    ratio = np.median(relative_width(strange)) / np.median(relative_width(known))
    assert ratio > (1.3 if released.is_real else 0.9)
    assert not known["flag"].str.contains("toyota").any()


def test_an_impossible_year_does_not_pass_for_the_oldest_car(released):
    frame = features(released.holdout, 300)
    known = released.answered(frame)
    found = released.answered(changed(frame, year=2060))
    assert found["flag"].str.contains("year 2060 is outside 1900 to 2021: treated as missing").all()
    assert 0.7 < np.median(found["prediction"] / known["prediction"]) < 1.4
    truth = released.holdout.y[:300]
    covered = (truth >= found["prediction_low"]) & (truth <= found["prediction_high"])
    assert covered.mean() > (0.8 if released.is_real else 0.3)
    assert np.median(relative_width(found)) > 1.4 * np.median(relative_width(known))


def test_rows_that_cannot_be_answered_stay_in_their_place(released):
    frame = changed(features(released.holdout, 6), mileage_miles=[1e4, "on request", "12000", None, -5, 7e4])
    found = released.answered(frame)
    assert found["prediction"].isna().tolist() == [False, True, False, True, False, False]
    assert found["flag"][1] == "mileage_miles: expected a number, found 'on request'"
    assert found["flag"][3] == "mileage_miles: expected a number, found null"
    assert "mileage_miles -5 is outside 0 to 1000000" in found["flag"][4]
    number = released.answered(changed(frame, mileage_miles=12000.0))
    assert found["prediction"][2] == number["prediction"][2]


def test_the_case_of_a_make_does_not_matter_where_it_is_clear(released):
    frame = features(released.holdout, 50)
    shouted = frame.assign(make=frame["make"].str.upper(), fuel_type=frame["fuel_type"].str.lower())
    pd.testing.assert_frame_equal(released.answered(shouted), released.answered(frame))


def test_names_that_differ_by_case_alone_are_told_apart():
    field = Field(Column("make", "category", "make", categories=("Seat", "VW", "seat")))
    assert [field.strict(name).value for name in ("Seat", "seat", "vw", " Vw ")] == [0.0, 2.0, 1.0, 1.0]
    assert field.strict("SEAT").flag == "make 'SEAT' was not seen in training"


def test_many_rows_are_answered_in_parts_without_a_change(released, monkeypatch):
    frame = features(released.holdout, 200)
    wanted = released.answered(frame)
    monkeypatch.setattr("perennial.live.predict.CHUNK_ROWS", 7)
    pd.testing.assert_frame_equal(released.answered(frame), wanted)


def test_the_rule_survives_its_file(released):
    rule = released.predictor.bundle.rule
    assert rule.interval is not None and rule.interval.spread is not None
    assert rule_from(json.loads(json.dumps(rule.as_dict()))) == rule


def relative_width(answers: pd.DataFrame) -> pd.Series:
    return (answers["prediction_high"] - answers["prediction_low"]) / answers["prediction"]


def test_the_benchmark_prints_its_tables_or_says_why_not(capsys, tmp_path, monkeypatch):
    benchmark.main(["--path", str(tmp_path / "none.csv")])
    assert "skipped: expected the listings at" in capsys.readouterr().out
    path = tmp_path / "listings.csv"
    listings(900).frame.to_csv(path, index=False)

    def smaller(file: Path, kind: type[Config], settings: list[str]) -> Any:
        few = "learn.candidates.{}.parameters.n_estimators=20"
        return load(file, kind, [*settings, *(few.format(n) for n in (0, 1, 2))])

    monkeypatch.setattr(benchmark, "load", smaller)
    benchmark.main(["--path", str(path), "--seeds", "0", "1"])
    told = capsys.readouterr().out
    for name in ("lightgbm (default)", "random_forest", "ridge", "group_median", "fiat", "peugeot"):
        assert name in told
    share = float(line_of(told, "all")[-2])
    tenths = [float(line.split()[-2]) for line in told.splitlines() if line.startswith("predicted price")]
    assert len(tenths) == 10
    assert np.mean(tenths) == pytest.approx(share, abs=0.3)


def line_of(text: str, start: str) -> list[str]:
    return next(line for line in text.splitlines() if line.startswith(start)).split()
