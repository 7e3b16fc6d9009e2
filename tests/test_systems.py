"""One suite over every plugin whose source is read whole. A new one needs only an entry in `SOURCES`."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from collected import SHORTER
from listings import listings

from perennial import systems
from perennial.config import Checks, Config, FileSource, GeneratorSource
from perennial.config_file import load
from perennial.data.checks import check, require
from perennial.data.dataset import commit, read
from perennial.errors import InputError, UnknownNameError
from perennial.systems import used_cars

ROOT = Path(__file__).parents[1]
REAL_LISTINGS = ROOT.parent / "shared/data/used-cars/uk_used_cars.csv.gz"
RULES = Checks()


def shipped(name: str, *settings: str) -> Config:
    return load(ROOT / f"configs/{name}.yaml", Config, settings).config


def listings_file(folder: Path) -> Path:
    path = folder / "listings.csv.gz"
    path.write_bytes(gzip.compress(listings().frame.to_csv(index=False).encode()))
    return path


SOURCES = {
    "synthetic": lambda folder: shipped("synthetic").source,
    "used_cars": lambda folder: shipped("used_cars", f"source.path={listings_file(folder)}").source,
}


@pytest.fixture(scope="module", params=sorted(SOURCES))
def case(request, tmp_path_factory):
    """A plugin, its source, its contract and its records."""
    system = systems.get(request.param)
    source = SOURCES[request.param](tmp_path_factory.mktemp(request.param))
    return system, source, system.contract(source), system.collect(source, 7)


def test_every_plugin_is_covered_and_has_a_config():
    assert {*SOURCES, *SHORTER} == set(systems.names())
    assert {shipped(name).system for name in systems.names()} == set(systems.names())


def test_the_plugin_says_what_it_is(case):
    system, _, contract, _ = case
    assert system.name == contract.system
    assert system.title
    assert system.task == ("regression" if contract.target.is_numeric else "classification")
    assert set(system.segments) <= {c.name for c in contract.features}


def test_the_contract_is_documented(case):
    _, _, contract, _ = case
    assert contract.columns[0].role == "id"
    for column in contract.columns:
        assert column.description
        assert not column.is_numeric or column.unit, column.name
        assert not (column.minimum and column.maximum) or column.minimum < column.maximum


def test_the_target_is_no_feature(case):
    _, _, contract, _ = case
    assert [c.role for c in contract.columns].count("target") == 1
    assert contract.features
    assert contract.target not in contract.features


def test_collecting_again_gives_the_same_records(case):
    system, source, _, records = case
    pd.testing.assert_frame_equal(system.collect(source, 7), records)


def test_the_records_survive_the_dataset(case, tmp_path):
    *_, records = case
    reference = commit(records, tmp_path / "d")
    pd.testing.assert_frame_equal(read(reference), records)
    assert commit(case[0].collect(case[1], 7), tmp_path / "d") == reference


def test_no_input_is_changed(case):
    system, source, contract, records = case
    before = records.copy(deep=True)
    prepared = system.prepare(records, source)
    prepared_before = prepared.copy(deep=True)
    check(prepared, contract, RULES)
    pd.testing.assert_frame_equal(records, before)
    pd.testing.assert_frame_equal(prepared, prepared_before)
    prepared.iloc[0, 0] = prepared.iloc[1, 0]
    pd.testing.assert_frame_equal(records, before)


@pytest.mark.parametrize("rows", [1, 2, 57, 300])
def test_the_prefix_of_the_features_is_the_features_of_the_prefix(case, rows):
    system, source, contract, records = case
    whole = system.prepare(records, source)
    pd.testing.assert_frame_equal(system.prepare(records.head(rows), source), whole.head(rows))
    checked = check(whole, contract, RULES)
    kept = rows - (checked.rejected["source_row"] <= rows).sum()
    part = check(system.prepare(records.head(rows), source), contract, RULES).table.frame
    pd.testing.assert_frame_equal(part, checked.table.frame.head(kept), check_dtype=False)


def test_rows_in_another_order_give_the_table_in_that_order(case):
    system, source, contract, records = case
    whole = check(system.prepare(records.assign(place=range(len(records))), source), contract, RULES)
    order = np.random.default_rng(3).permutation(len(records))
    other = check(system.prepare(records.iloc[order].reset_index(drop=True), source), contract, RULES)
    rejected = set(whole.rejected["source_row"] - 1)
    kept = [place for place in range(len(records)) if place not in rejected]
    position = {place: n for n, place in enumerate(kept)}
    expected = whole.table.rows(np.array([position[p] for p in order if p not in rejected]))
    pd.testing.assert_frame_equal(other.table.frame, expected.frame)


def test_ids_follow_the_content(case):
    system, source, contract, records = case
    frame = check(system.prepare(records, source), contract, RULES).table.frame
    content = [c.name for c in contract.columns if c.role in ("feature", "target")]
    assert frame["id"].nunique() == len(frame[content].drop_duplicates())
    assert frame.groupby("id")[content].nunique(dropna=False).max().max() == 1


def test_the_checks_pass_and_the_matrix_is_complete(case):
    system, source, contract, records = case
    checked = check(system.prepare(records, source), contract, RULES)
    require(checked.report)
    table = checked.table
    fitted = contract.fitted(table.frame)
    matrix = fitted.matrix({c.name: table.frame[c.name] for c in fitted.features})
    assert matrix.shape == (len(table), len(fitted.features))
    for place, column in enumerate(fitted.features):
        assert np.array_equal(np.isnan(matrix[:, place]), table.frame[column.name].isna())
        assert column.nullable or not np.isnan(matrix[:, place]).any(), column.name
    assert table.frame[contract.target.name].notna().all()
    assert len(table.y) == len(table)


def test_nothing_is_known_before_it_happened(case):
    system, source, contract, records = case
    frame = check(system.prepare(records, source), contract, RULES).table.frame
    roles = {c.role for c in contract.columns}
    assert ("time" in roles) == ("known_at" in roles)
    if "time" in roles:
        assert (frame[contract.of_role("known_at").name] <= frame[contract.of_role("time").name]).all()


def test_a_source_of_another_kind_is_refused(case):
    system, source, _, _ = case
    other = (
        FileSource(kind="file", path="x.csv")
        if isinstance(source, GeneratorSource)
        else GeneratorSource(kind="generator")
    )
    for ask in (lambda: system.contract(other), lambda: system.collect(other, 7)):
        with pytest.raises(InputError, match=r"expected source\.kind"):
            ask()


def test_another_seed_gives_other_samples():
    synthetic, source = systems.get("synthetic"), shipped("synthetic").source
    assert not synthetic.collect(source, 7).equals(synthetic.collect(source, 8))


def test_planted_flaws_are_found(tmp_path):
    planted = listings()
    source = SOURCES["used_cars"](tmp_path)
    records = used_cars.collect(source, 7)
    checked = check(used_cars.prepare(records, source), used_cars.contract(source), RULES)
    found = {(f.rule, f.column): f.rows for f in checked.report.findings}
    assert found == {
        ("range", "year"): 3,
        ("type", "mileage_miles"): 3,
        ("range", "engine_size_l"): 3,
        ("duplicates", ""): 3,
    }
    assert (checked.rejected["source_row"] - 1).tolist() == sorted(planted.future + planted.worded)
    blanked = checked.table.frame["engine_size_l"].isna()
    kept = planted.frame.drop(index=[*planted.future, *planted.worded]).reset_index(drop=True)
    assert np.array_equal(blanked, kept["engineSize"] == 0)
    assert kept["price"].astype(float).equals(checked.table.frame["price_gbp"])
    assert set(checked.table.frame["model"]) == {"Fiesta", "Focus", "500", "Panda", "208", "3008"}


def test_listings_arrive_under_either_name(tmp_path):
    source = SOURCES["used_cars"](tmp_path)
    contract = used_cars.contract(source)
    ours = used_cars.collect(source, 7)
    theirs = listings().frame.assign(time=ours["time"], known_at=ours["known_at"])
    first, second = (check(frame, contract, RULES).table.frame for frame in (ours, theirs))
    pd.testing.assert_frame_equal(first, second)


def test_a_model_that_looks_like_a_number_keeps_its_zeros(tmp_path):
    path = tmp_path / "listings.csv"
    listings().frame.assign(model="02").to_csv(path, index=False)
    records = used_cars.collect(shipped("used_cars", f"source.path={path}").source, 7)
    assert set(records["model"]) == {"02"}


def test_the_newest_possible_year_follows_the_day_of_collection():
    for year in (2018, 2030):
        source = FileSource(kind="file", path="any.csv", as_of=f"{year}-06-01")
        assert used_cars.contract(source)["year"].maximum == year + 1


def test_a_misspelt_column_in_the_config_is_named():
    source = FileSource(kind="file", path="x.csv", as_of="2020-01-01", columns={"fuelType": "fuel_typ"})
    with pytest.raises(UnknownNameError, match="did you mean 'fuel_type'"):
        used_cars.contract(source)


@pytest.mark.skipif(not REAL_LISTINGS.exists(), reason="the real listings are not on this machine")
def test_the_flaws_of_the_real_listings_are_found():
    source = shipped("used_cars", f"source.path={REAL_LISTINGS}").source
    records = used_cars.collect(source, 7)
    checked = check(used_cars.prepare(records, source), used_cars.contract(source), RULES)
    require(checked.report)
    assert checked.report.rows_in == 65_020
    assert checked.report.duplicates == 955 == records.duplicated().sum()
    assert checked.rejected["year"].tolist() == [2060]
    assert checked.table.frame["engine_size_l"].isna().sum() == 178 == (records["engine_size_l"] == 0).sum()
    assert not checked.table.frame["model"].str.startswith(" ").any()
