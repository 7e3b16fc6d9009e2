from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.config import Checks
from perennial.data.checks import check, quarantine, require, write_quarantine
from perennial.data.coerce import coerced
from perennial.data.ids import row_ids, text_words
from perennial.errors import CheckError
from perennial.table import Column, Contract

CONTRACT = Contract(
    "shop",
    (
        Column("id", "text", "digest", role="id"),
        Column("size", "number", "size", unit="m", minimum=0, maximum=10),
        Column("power", "number", "power", unit="kW", minimum=1, nullable=True, impossible="blank"),
        Column("doors", "integer", "doors", unit="1"),
        Column("kind", "category", "kind", categories=("a", "b"), aliases=("Kind",)),
        Column("brand", "category", "brand"),
        Column("used", "boolean", "whether used", nullable=True),
        Column("sold", "time", "when it was sold", role="time"),
        Column("price", "number", "price", role="target", unit="GBP"),
    ),
)
RULES = Checks(min_rows=10, max_quarantined=0.5)


def good(rows: int = 100) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "size": rng.uniform(0, 10, rows),
            "power": rng.uniform(1, 90, rows),
            "doors": rng.integers(2, 6, rows),
            "kind": rng.choice(["a", "b"], rows),
            "brand": rng.choice(["x", "y"], rows),
            "used": rng.choice([True, False], rows),
            "sold": pd.date_range("2020-01-01", periods=rows, tz="UTC"),
            "price": rng.uniform(100, 200, rows),
        }
    )


def planted(column, cells):
    frame = good()
    values = frame[column].astype(object)
    for row, cell in cells.items():
        values[row] = cell
    return frame.assign(**{column: values})


def rules_of(report, severity=None):
    return {(f.rule, f.column) for f in report.findings if severity in (None, f.severity)}


def test_good_data_passes_whole_and_in_order():
    checked = check(good(), CONTRACT, RULES)
    assert checked.report.findings == ()
    assert (checked.report.rows_in, checked.report.rows_out, checked.report.quarantined) == (100, 100, 0)
    assert list(checked.table.frame.columns) == [c.name for c in CONTRACT.columns]
    pd.testing.assert_frame_equal(
        checked.table.frame.drop(columns="id"), good(), check_dtype=False, check_like=True
    )
    require(checked.report)


@pytest.mark.parametrize(
    ("column", "cells", "rule", "reason"),
    [
        ("size", {3: "1,5", 8: "big"}, "type", "size: expected a finite number, found '1,5'"),
        ("size", {3: True}, "type", "size: expected a finite number, found True"),
        ("size", {3: np.inf}, "type", "size: expected a finite number, found inf"),
        ("size", {3: [1]}, "type", "size: expected a finite number, found [1]"),
        ("size", {3: -0.5, 9: 10.01}, "range", "size: expected 0 to 10 m, found -0.5"),
        ("size", {3: None, 4: "", 5: np.nan}, "missing", "size: expected a value, found none"),
        ("doors", {3: 2.5}, "type", "doors: expected a whole number, found 2.5"),
        ("kind", {3: "c"}, "category", "kind: expected one of a, b, found 'c'"),
        ("brand", {3: False}, "type", "brand: expected a text, found False"),
        ("used", {3: "perhaps", 4: 2}, "type", "used: expected true or false, found 'perhaps'"),
        ("sold", {3: "yesterday"}, "type", "sold: expected a time in ISO 8601, found 'yesterday'"),
        ("price", {3: None}, "missing", "price: expected a value, found none"),
    ],
)
def test_a_row_that_breaks_a_rule_is_put_aside_with_a_reason(column, cells, rule, reason):
    checked = check(planted(column, cells), CONTRACT, RULES)
    assert rules_of(checked.report, "warning") == {(rule, column)}
    assert checked.rejected["source_row"].tolist() == [row + 1 for row in sorted(cells)]
    assert checked.rejected["reason"].iloc[0] == reason
    assert checked.report.quarantined == len(cells)
    kept = check(good().drop(index=list(cells)), CONTRACT, RULES).table.frame
    pd.testing.assert_frame_equal(checked.table.frame, kept)


def test_what_can_be_read_is_read():
    frame = planted("size", {3: " 1.5 ", 4: "2e0"})
    frame["doors"] = frame["doors"].astype(str)
    frame["used"] = frame["used"].map({True: "True", False: "0"})
    frame["sold"] = frame["sold"].dt.strftime("%Y-%m-%dT%H:%M:%S")
    frame["brand"] = frame["brand"].map({"x": 500, "y": 208.0}).astype(object)
    checked = check(frame, CONTRACT, RULES)
    assert checked.report.findings == ()
    result = checked.table.frame
    assert result["size"][3:5].tolist() == [1.5, 2.0]
    assert set(result["brand"]) == {"500", "208"}
    pd.testing.assert_frame_equal(
        result[["doors", "used", "sold"]], good()[["doors", "used", "sold"]], check_dtype=False
    )


def test_a_row_tells_every_rule_that_it_broke():
    frame = planted("size", {3: 11.0})
    frame.loc[3, ["price", "kind"]] = [np.nan, "z"]
    (reason,) = check(frame, CONTRACT, RULES).rejected["reason"]
    assert [part.split(":")[0] for part in reason.split("; ")] == ["size", "kind", "price"]


def test_a_blanked_value_keeps_its_row():
    checked = check(planted("power", {3: 0.0, 7: -1}), CONTRACT, RULES)
    assert rules_of(checked.report) == {("range", "power")}
    assert checked.report.findings[0].severity == "note"
    assert checked.report.rows_out == 100
    assert np.flatnonzero(checked.table.frame["power"].isna()).tolist() == [3, 7]


def test_repeats_are_counted_kept_and_share_an_id():
    frame = pd.concat([good(), good().iloc[[5, 5, 9]].assign(doors=lambda f: f["doors"].astype(float))])
    checked = check(frame, CONTRACT, RULES)
    assert checked.report.duplicates == 3
    assert rules_of(checked.report, "note") == {("duplicates", "")}
    ids = checked.table.ids
    assert ids[5] == ids[100] == ids[101]
    assert ids[9] == ids[102]
    assert len(set(ids)) == 100
    too_many = check(frame, CONTRACT, RULES.model_copy(update={"max_repeats": 0.01}))
    assert rules_of(too_many.report, "block") == {("duplicates", "")}


def test_ids_of_the_records_are_kept():
    checked = check(good().assign(id=[f"k{i}" for i in range(100)]), CONTRACT, RULES)
    assert checked.table.ids[:2].tolist() == ["k0", "k1"]


def test_a_bad_cell_elsewhere_changes_no_id():
    clean = check(good(), CONTRACT, RULES).table.frame
    texts = good().assign(doors=good()["doors"].astype(str).where(good().index != 3, "many"))
    pd.testing.assert_series_equal(
        check(texts, CONTRACT, RULES).table.frame["id"], clean["id"].drop(3).reset_index(drop=True)
    )


@pytest.mark.parametrize(
    ("change", "rule", "column"),
    [
        (lambda f: f.drop(columns="size"), "absent", "size"),
        (lambda f: f.drop(columns="sold"), "absent", "sold"),
        (lambda f: f.assign(Kind="a"), "name", "kind"),
        (lambda f: f.assign(brand="x"), "constant", "brand"),
        (lambda f: f.assign(price=7.0), "constant", "price"),
        (lambda f: f.assign(power=np.nan), "empty", "power"),
        (lambda f: f.assign(power=0.0), "range", "power"),
        (lambda f: f.assign(size=np.nan), "missing", "size"),
        (lambda f: f.assign(power=f["power"].where(f.index < 40)), "missing share", "power"),
        (lambda f: f.head(9), "rows", ""),
        (lambda f: f.assign(size=f["size"].where(f.index < 40, -1)), "rejected", ""),
    ],
)
def test_what_no_model_should_learn_from_blocks(change, rule, column):
    checked = check(change(good()), CONTRACT, RULES)
    assert (rule, column) in rules_of(checked.report, "block")
    with pytest.raises(CheckError, match="checks blocked training"):
        require(checked.report)


def test_everything_wrong_is_told_at_once():
    frame = good().drop(columns=["size", "doors"]).assign(brand="x", extra=1, power=np.nan)
    report = check(frame, CONTRACT, RULES).report
    assert rules_of(report, "block") == {
        ("absent", "size"),
        ("absent", "doors"),
        ("constant", "brand"),
        ("empty", "power"),
    }
    assert rules_of(report, "warning") == {("new", "extra")}
    with pytest.raises(CheckError) as caught:
        require(report)
    assert len(caught.value.problems) == 4


def test_severities_come_from_the_config():
    frame = good().assign(brand="x", extra=1)
    rules = RULES.model_copy(update={"constant": "warning", "new_columns": "block"})
    report = check(frame, CONTRACT, rules).report
    assert rules_of(report, "block") == {("new", "extra")}
    assert rules_of(report, "warning") == {("constant", "brand")}


def test_aliases_are_known_names():
    checked = check(good().rename(columns={"kind": "Kind"}), CONTRACT, RULES)
    assert checked.report.findings == ()
    assert set(checked.table.frame["kind"]) == {"a", "b"}


def test_gross_outliers_are_noted_and_kept():
    checked = check(planted("price", {3: 1e6}), CONTRACT, RULES)
    assert rules_of(checked.report, "note") == {("outliers", "price")}
    assert checked.report.rows_out == 100
    rare = check(good().assign(power=np.where(np.arange(100) == 5, 9e9, 5.0)), CONTRACT, RULES)
    assert ("outliers", "power") not in rules_of(rare.report)


def test_nothing_is_changed_in_the_input():
    frame = planted("size", {3: 11.0, 4: "x"}).assign(extra=1)
    before = frame.copy(deep=True)
    check(frame, CONTRACT, RULES)
    pd.testing.assert_frame_equal(frame, before)


def test_no_rows_at_all_is_not_enough_and_no_crash():
    report = check(good().head(0), CONTRACT, RULES).report
    assert rules_of(report, "block") == {("rows", "")}


def test_the_quarantine_holds_every_rejected_record(tmp_path):
    frame = planted("size", {3: 11.0, 4: "x"}).assign(reason="mine", mixed=[1, "a"] * 50)
    checked = check(frame, CONTRACT, RULES)
    report = quarantine(checked, tmp_path / "deep" / "rejected.parquet")
    assert report.quarantine_path == str(tmp_path / "deep" / "rejected.parquet")
    written = pd.read_parquet(report.quarantine_path)
    assert written["source_row"].tolist() == [4, 5]
    assert written["size"].tolist() == ["11.0", "x"]
    assert written["reason (record)"].tolist() == ["mine", "mine"]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["rejected.parquet"]
    clean = check(good(), CONTRACT, RULES)
    assert quarantine(clean, tmp_path / "none.parquet") == clean.report
    assert not (tmp_path / "none.parquet").exists()
    assert len(pd.read_parquet(write_quarantine(clean.rejected, tmp_path / "empty.parquet"))) == 0


def test_an_unreadable_number_is_marked_and_a_missing_one_is_not():
    values = pd.Series(["1", " 2 ", "", None, "x", "1_0", "nan", "0x1"], dtype=object)
    clean, unreadable = coerced(values, CONTRACT["size"])
    assert clean[:2].tolist() == [1.0, 2.0]
    assert clean[2:].isna().all()
    assert unreadable.tolist() == [False, False, False, False, True, True, True, True]


def test_row_ids_are_of_content_alone():
    frame = good()
    columns = [c for c in frame.columns if c != "sold"]
    ids = row_ids(frame, columns)
    assert ids.is_unique
    assert ids.str.fullmatch("[0-9a-f]{16}").all()
    order = np.random.default_rng(0).permutation(100)
    pd.testing.assert_series_equal(row_ids(frame.iloc[order], columns), ids.iloc[order])
    assert not (row_ids(frame.rename(columns={"size": "length"}), ["length", *columns[1:]]) == ids).any()
    swapped = pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 1.0]})
    assert row_ids(swapped, ["a", "b"]).nunique() == 2


def test_row_ids_are_the_same_on_every_machine():
    frame = pd.DataFrame({"a": [1.5, -0.0, np.nan], "b": ["é", None, "x"]})
    again = pd.DataFrame(
        {"a": np.array([1.5, 0, np.nan], dtype=np.float32), "b": pd.Categorical(["é", None, "x"])}
    )
    pd.testing.assert_series_equal(row_ids(frame, ["a", "b"]), row_ids(again, ["a", "b"]))
    assert row_ids(frame, ["a", "b"]).tolist() == [
        one_id(a, b) for a, b in zip(frame["a"], frame["b"], strict=True)
    ]


def one_id(number, text):
    """The id of a row (number, text), recomputed in plain Python integers."""
    import struct

    mask = 2**64 - 1

    def mixed(word):
        word = (word + 0x9E3779B97F4A7C15) & mask
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
        return word ^ (word >> 31)

    missing = 0x9AE16A3B2F90404F
    first = missing if number != number else struct.unpack("<Q", struct.pack("<d", number + 0.0))[0]
    second = missing if text is None else int(text_words([text])[0])
    state = mixed(0 ^ mixed(first ^ int(text_words(["a"])[0])))
    return f"{mixed(state ^ mixed(second ^ int(text_words(['b'])[0]))):016x}"
