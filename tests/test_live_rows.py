"""Requests and files become the model's input under the contract, or one clear error."""

from __future__ import annotations

import json
import math
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_fixtures import CARS, cars

from perennial.errors import TableError
from perennial.live.golden import request_rows
from perennial.live.rows import parse_columns, parse_request, request_schema
from perennial.table import Column, Contract

CONTRACT = cars(300, 0).contract
TRAINED = {"year": (1995.0, 2020.0), "mileage": (10.0, 200_000.0)}
ROW: dict[str, Any] = {
    "make": "ford",
    "fuel": "petrol",
    "year": 2015,
    "mileage": 12_000.5,
    "engine": 1.4,
    "automatic": False,
}


def problems(rows: Any, **options: Any) -> dict[str, str]:
    with pytest.raises(TableError) as caught:
        parse_request(CONTRACT, rows, **options)
    return {v.where: v.problem for v in caught.value.violations}


def test_a_good_row_becomes_the_contracts_matrix() -> None:
    parsed = parse_request(CONTRACT, [ROW, {**ROW, "engine": None, "year": 2015.0}], training=TRAINED)
    columns = {name: [ROW[name], ROW[name]] for name in ROW} | {"engine": [1.4, None]}
    np.testing.assert_array_equal(parsed.matrix, CONTRACT.matrix(columns))
    assert parsed.flags == ((), ())
    assert not parsed.invalid.any()
    np.testing.assert_array_equal(parsed.columns["year"], [2015, 2015])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"year": True}, "expected a whole number, found true"),
        ({"year": "2015"}, "expected a whole number, found '2015'"),
        ({"year": 2015.5}, "expected a whole number, found 2015.5"),
        ({"year": None}, "expected a whole number, found null"),
        ({"mileage": math.nan}, "expected a number, found NaN"),
        ({"mileage": math.inf}, "expected a number, found infinity"),
        ({"mileage": -math.inf}, "expected a number, found infinity"),
        ({"mileage": [1]}, "expected a number, found a list"),
        ({"mileage": {"a": {"b": 1}}}, "expected a number, found an object"),
        ({"mileage": 10**400}, "expected a number, found a number of 1329 bits"),
        ({"engine": "big"}, "expected a number or null, found 'big'"),
        ({"make": 3}, "expected text, found 3"),
        ({"make": None}, "expected text, found null"),
        ({"make": ["ford"]}, "expected text, found a list"),
        ({"automatic": 1}, "expected true or false, found 1"),
        ({"automatic": "x" * 100_000}, f"expected true or false, found {'x' * 37 + '...'!r}"),
    ],
)
def test_a_wrong_value_is_named_with_its_row_and_field(change: dict[str, Any], problem: str) -> None:
    field = next(iter(change))
    assert problems([ROW, {**ROW, **change}]) == {f"rows[1].{field}": problem}


def test_all_violations_are_told_at_once() -> None:
    missing = {k: v for k, v in ROW.items() if k != "make"}
    found = problems(
        [{**missing, "yaer": 1, "year": "x"}, 7, {**ROW, "fuelType": "petrol", "price": 3, "id": "a"}]
    )
    assert found == {
        "rows[0].yaer": "expected a known field, found an unknown one; did you mean 'year'?",
        "rows[0].year": "expected a whole number, found 'x'",
        "rows[0].make": "expected text, found no such field",
        "rows[1]": "expected an object, found 7",
        "rows[2].fuelType": "expected one of 'fuel' and 'fuelType', found both; they are one field",
        "rows[2].price": "expected features only; it is what is predicted: leave it out",
        "rows[2].id": "expected features only; it is the id, and no feature: leave it out",
    }


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "expected at least one row, found none"),
        ({}, "expected a list of objects, found an object"),
        (None, "expected a list of objects, found null"),
        ("rows", "expected a list of objects, found 'rows'"),
        ([ROW] * 3, "expected at most 2 rows, found 3; send them in parts"),
    ],
)
def test_what_is_no_list_of_rows_is_refused(rows: Any, problem: str) -> None:
    assert problems(rows, max_rows=2) == {"rows": problem}


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"year": 2060}, "year 2060 is outside 1950 to 2021: treated as missing"),
        ({"year": 2**60}, "year 1.15292e+18 is outside 1950 to 2021: treated as missing"),
        ({"mileage": -0.5}, "mileage -0.5 is outside 0 to 1000000: treated as missing"),
        ({"make": "hyundai"}, "make 'hyundai' was not seen in training"),
        ({"make": "\ud800"}, r"make '\ud800' was not seen in training"),
    ],
)
def test_an_impossible_or_unseen_value_becomes_missing_with_a_flag(change: dict[str, Any], flag: str) -> None:
    parsed = parse_request(CONTRACT, [{**ROW, **change}])
    assert parsed.flags == ((flag,),)
    assert np.isnan(parsed.columns[next(iter(change))][0])
    assert np.isnan(parsed.matrix).sum() == 1


def test_a_possible_value_beyond_training_stays_with_a_flag() -> None:
    parsed = parse_request(CONTRACT, [{**ROW, "year": 1960, "mileage": 250_000}], training=TRAINED)
    assert parsed.flags == (
        (
            "year 1960 is outside the training range 1995 to 2020",
            "mileage 250000 is outside the training range 10 to 200000",
        ),
    )
    assert parsed.matrix[0, 2] == 1960


def test_an_alias_and_outer_blanks_are_the_same_value() -> None:
    renamed = {("fuelType" if k == "fuel" else k): v for k, v in ROW.items()} | {"make": " ford "}
    np.testing.assert_array_equal(
        parse_request(CONTRACT, [renamed]).matrix, parse_request(CONTRACT, [ROW]).matrix
    )


def test_thousands_of_unknown_fields_are_refused_quickly() -> None:
    found = problems([{f"field{i}" * 50: 1 for i in range(20_000)}])
    assert len(found) > len(ROW)


def test_a_feature_that_no_model_can_take_is_refused() -> None:
    odd = Contract("odd", (Column("when", "time", "a time"),))
    with pytest.raises(ValueError, match="feature when: expected one of number"):
        parse_request(odd, [{"when": 1}])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**320)
    | st.floats()
    | st.text(st.characters(), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLAUSIBLE = st.fixed_dictionaries(
    {
        "make": st.sampled_from(["ford", "audi", "hyundai", ""]) | JSON,
        "fuel": st.sampled_from(["petrol", "steam"]),
        "year": st.integers(1900, 2100) | JSON,
        "mileage": st.floats(allow_nan=False) | st.integers(),
        "engine": st.none() | st.floats(0, 20),
        "automatic": st.booleans(),
    },
    optional={"fuelType": st.text(), "price": JSON, "odd": JSON},
)


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(PLAUSIBLE | JSON, max_size=4) | JSON)
def test_any_json_gives_rows_or_a_table_error(rows: Any) -> None:
    try:
        parsed = parse_request(CONTRACT, rows, max_rows=3, training=TRAINED)
    except TableError as error:
        assert error.violations
        json.dumps([v.where + v.problem for v in error.violations]).encode()
        str(error).encode("utf-8", "strict")
        return
    assert parsed.matrix.shape == (len(rows), 6)
    assert not np.isinf(parsed.matrix).any()
    assert len(parsed.flags) == len(rows)
    missing = {name: parsed.columns[name] for name in ("make", "fuel", "year", "mileage", "automatic")}
    for index, row in enumerate(parsed.flags):
        gaps = [name for name, values in missing.items() if np.isnan(values[index])]
        assert all(any(flag.startswith(name) for flag in row) for name in gaps), "a silent gap"


@settings(max_examples=300, deadline=None)
@given(row=PLAUSIBLE | st.dictionaries(st.sampled_from([*ROW, "fuelType", "x"]), JSON, max_size=7))
def test_the_schema_accepts_what_the_parser_accepts(row: dict[str, Any]) -> None:
    """Not-a-number and numbers beyond float64 apart, which JSON and its schema language do not know."""
    if any(isinstance(v, (int, float)) and (v != v or abs(v) > 1e300) for v in row.values()):
        return
    try:
        jsonschema.validate(row, request_schema(CONTRACT))
        valid = True
    except jsonschema.ValidationError:
        valid = False
    try:
        parse_request(CONTRACT, [row])
        accepted = True
    except TableError:
        accepted = False
    assert valid == accepted


def test_the_schema_tells_units_ranges_and_categories() -> None:
    schema = request_schema(CONTRACT)
    year, make, engine = (schema["properties"][n] for n in ("year", "make", "engine"))
    assert year["type"] == "integer"
    assert year["x-range"] == [1950, 2021]
    assert make["x-categories"] == ["audi", "bmw", "ford", "skoda"]
    assert engine["type"] == ["number", "null"]
    assert engine["x-unit"] == "litres"
    assert "0.1 to 10 litres" in engine["description"]
    assert "price" not in schema["properties"]


def columns(**changes: Any) -> dict[str, Any]:
    return {name: [value, value] for name, value in ROW.items()} | changes


def test_a_file_gives_what_requests_give() -> None:
    table = cars(200, 5)
    frame = table.frame.assign(year=table.frame["year"].where(table.frame.index > 3, 2050))
    frame.loc[5, "make"] = "hyundai"
    rows = request_rows(type(table)(frame, CONTRACT))
    asked, read = (
        parse_request(CONTRACT, rows, training=TRAINED),
        parse_columns(CONTRACT, frame, training=TRAINED),
    )
    np.testing.assert_array_equal(asked.matrix, read.matrix)
    assert asked.flags == read.flags
    assert sum(map(len, asked.flags)) >= 5
    assert not read.invalid.any()


def test_a_cell_that_cannot_be_read_spoils_its_row_alone() -> None:
    parsed = parse_columns(
        CONTRACT, columns(year=["abc", 2015], mileage=[1.0, None], extra=[object(), 1], price=["", "x"])
    )
    assert parsed.invalid.tolist() == [True, True]
    assert parsed.flags == (
        ("year: expected a whole number, found 'abc'",),
        ("mileage: expected a number, found null",),
    )


def test_numbers_and_truth_may_be_text_in_a_file() -> None:
    text = {name: [str(value)] for name, value in ROW.items()} | {"engine": [" "]}
    parsed = parse_columns(CONTRACT, text)
    expected = parse_request(CONTRACT, [{**ROW, "engine": None}])
    np.testing.assert_array_equal(parsed.matrix, expected.matrix)
    assert parse_columns(CONTRACT, columns(year=["1_000", "١٢"])).invalid.tolist() == [True, False]


@pytest.mark.parametrize(
    "year",
    [
        [2015, None],
        [2015.0, np.nan],
        ["2015", ""],
        ["2015", "nan"],
        [2015, pd.NA],
        pd.Series([2015, None], dtype="Int64"),
    ],
)
def test_missing_has_many_spellings(year: Any) -> None:
    parsed = parse_columns(CONTRACT, columns(year=year))
    assert parsed.invalid.tolist() == [False, True]
    assert parsed.flags[1] == ("year: expected a whole number, found null",)


def test_infinity_and_broken_numbers_spoil_their_rows() -> None:
    parsed = parse_columns(
        CONTRACT, columns(year=np.array([2015.5, 2016.0]), mileage=np.array([1.0, np.inf]))
    )
    assert parsed.invalid.tolist() == [True, True]
    assert not np.isinf(parsed.matrix).any()


def test_a_category_read_as_a_number_is_its_text() -> None:
    contract = Contract("c", (Column("model", "category", "model", categories=("3", "500")),))
    assert parse_columns(contract, {"model": np.array([500, 3])}).matrix.tolist() == [[1.0], [0.0]]
    assert parse_columns(contract, {"model": np.array([500.0, np.nan])}).invalid.tolist() == [False, True]


def test_missing_columns_are_all_named() -> None:
    with pytest.raises(TableError) as caught:
        parse_columns(CONTRACT, {"make": ["ford"], "yaer": [1], "fuel": ["x"], "fuelType": ["x"]})
    found = {v.where: v.problem for v in caught.value.violations}
    assert sorted(found) == ["automatic", "engine", "fuel", "mileage", "year"]
    assert found["year"] == "expected one column 'year', found none; did you mean 'yaer'?"
    assert "both 'fuel' and 'fuelType'" in found["fuel"]


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(TableError, match="columns of one length"):
        parse_columns(CONTRACT, columns(year=[2015]))


def test_no_rows_in_a_file_are_no_error() -> None:
    assert parse_columns(CONTRACT, {name: [] for name in ROW}).matrix.shape == (0, 6)


def test_many_impossible_values_are_read_in_linear_time() -> None:
    n = 200_000
    rng = np.random.default_rng(0)
    big = {name: np.full(n, value) for name, value in ROW.items()} | {"mileage": -1 - rng.random(n)}
    parsed = parse_columns(CONTRACT, big)
    assert np.isnan(parsed.columns["mileage"]).all()
    assert parsed.flags[7] == (
        f"mileage {big['mileage'][7]:.6g} is outside 0 to 1000000: treated as missing",
    )


def test_the_contract_is_not_changed() -> None:
    before = CARS.fingerprint
    parse_request(CARS.fitted(cars(50, 1).frame), [ROW])
    assert CARS.fingerprint == before
