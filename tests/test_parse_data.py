"""JSON documents, JSON columns and text files with a header line, good, broken and hostile."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from perennial.data.answer import Parsed
from perennial.data.parse import parser
from perennial.errors import ParseError
from tests.parsing import ADDRESS, feed, parsed

JSON = {"kind": "json"}
CSV = {"kind": "csv"}


def column(rule: dict[str, Any], document: Any, read: dict[str, Any] = JSON) -> list[Any]:
    return [row["v"] for row in parsed(feed(read, {"v": rule}), json.dumps(document)).rows]


def test_rows_are_the_objects_or_arrays_of_a_list() -> None:
    events = {
        "meta": {"at": 1700000000},
        "features": [{"p": {"mag": 5.1, "t": 1483232476250}, "g": [1, 2, 3]}, {"p": None}],
    }
    fields = {
        "mag": {"path": "p.mag", "parse": "number"},
        "depth": {"path": "g[-1]", "parse": "integer"},
        "time": {"path": "p.t", "parse": "time", "format": "unix_ms"},
        "asked": {"path": "meta.at", "at": "page", "parse": "time", "format": "unix_s"},
    }
    read = parsed(feed({**JSON, "rows": "features"}, fields), json.dumps(events))
    asked = "2023-11-14T22:13:20+00:00"
    assert list(read.rows) == [
        {"mag": 5.1, "depth": 3, "time": "2017-01-01T01:01:16.250000+00:00", "asked": asked},
        {"mag": None, "depth": None, "time": None, "asked": asked},
    ]
    assert read.hits == {"mag": 1, "depth": 1, "time": 1, "asked": 2}
    assert column({"path": "[1]", "parse": "number"}, [[1, "28923.630"], [2, "7"]]) == [28923.63, 7]


@pytest.mark.parametrize(
    ("rule", "document", "expected"),
    [
        ({"path": "v"}, [{"v": 1}, {"v": 1.5}, {"v": True}, {"v": " a  b "}, {"v": ""}, {"v": None}, {}],
         ["1", "1.5", "true", "a b", None, None, None]),
        ({"path": "v[*].n"}, [{"v": [{"n": "a"}, {"n": "b"}]}, {"v": []}], ["a", None]),
        ({"path": "v[*].n", "join": "+"}, [{"v": [{"n": "a"}, {"n": 2}]}, {"v": [{}]}], ["a+2", None]),
        ({"path": "v"}, [{"v": {"b": [1]}}], ['{"b":[1]}']),
        ({"path": "v", "parse": "number"}, [{"v": "1.234"}, {"v": "€ 1.234"}, {"v": 10**400}, {"v": True}],
         [1.234, 1234, None, None]),
        ({"path": "v", "parse": "integer"}, [{"v": 7.0}, {"v": 7.5}, {"v": 2**63}, {"v": "7"}], [7, None, None, 7]),
        ({"path": "v", "parse": "boolean"}, [{"v": True}, {"v": 0}, {"v": "ja"}], [True, False, True]),
        ({"path": "v", "missing": ["-999"], "parse": "number"}, [{"v": -999}, {"v": -99}], [None, -99]),
        ({"path": "v", "translate": {"2": "two"}}, [{"v": 2}, {"v": 3}], ["two", "3"]),
        ({"path": "v", "regex": r"\d+", "parse": "integer"}, [{"v": "a1b2"}, {"v": 34}], [1, 34]),
        ({"path": "join('-', v)"}, [{"v": ["a", "b"]}, {"v": None}], ["a-b", None]),
        ({"path": "v || w"}, [{"v": "a"}, {"w": "b"}], ["a", "b"]),
        ({"path": "@", "parse": "integer"}, [1, "2", None], [1, 2, None]),
    ],
)  # fmt: skip
def test_values_of_any_json_type_are_read_by_the_rule(
    rule: dict[str, Any], document: Any, expected: list[Any]
) -> None:
    assert column(rule, document) == expected


def test_columns_are_lists_of_equal_length() -> None:
    document = {"unit": "MW", "hours": [0, 3600], "load": [1.5, None], "next": "/b"}
    fields = {
        "time": {"path": "hours", "parse": "time", "format": "unix_s"},
        "load": {"path": "load", "parse": "number"},
        "unit": {"path": "unit", "at": "page"},
        "wind": {"path": "wind", "parse": "number"},
    }
    rules = feed({"kind": "json_columns"}, fields, next={"path": "next"})
    read = parsed(rules, json.dumps(document))
    assert list(read.rows) == [
        {"time": "1970-01-01T00:00:00+00:00", "load": 1.5, "unit": "MW", "wind": None},
        {"time": "1970-01-01T01:00:00+00:00", "load": None, "unit": "MW", "wind": None},
    ]
    assert read.hits == {"time": 2, "load": 1, "unit": 2, "wind": 0}
    assert read.links == ("https://example.org/b",)
    for broken in ({**document, "load": [1]}, {**document, "load": "x"}, {"unit": "MW"}):
        with pytest.raises(ParseError, match="lists of equal length"):
            parsed(rules, json.dumps(broken))


def test_what_other_programs_write_beyond_the_standard_is_read() -> None:
    rules = feed(JSON, {"v": {"path": "v"}})
    for body in (
        b'\xef\xbb\xbf[{"v": "a"}]',
        '[{"v": "a"}]'.encode("utf-16"),
        b'[{"v": "a", "w": NaN, "x": -Infinity}]',
    ):
        assert list(parsed(rules, body).rows) == [{"v": "a"}]
    assert list(parsed(rules, b'[{"v": "a\nb"}]').rows) == [{"v": "a b"}]
    assert list(parsed(rules, b'[{"v": "a\\ud800"}]').rows) == [{"v": "a?"}]
    assert list(parsed(rules, b'[{"v": "\\ud83d\\ude97"}]').rows) == [{"v": "🚗"}]
    latin = '[{"v": "é"}]'.encode("latin-1")
    assert list(parsed(rules, latin, "application/json; charset=iso-8859-1").rows) == [{"v": "é"}]
    with pytest.raises(ParseError, match="utf-8"):
        parsed(rules, latin)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html></html>", b"[1, 2", b'[{"v": 1},]', b'{"error": "quota"}', b"null", b'"text"'),
        *(b"[" * 200_000, b'{"a":' * 200_000),
    ],
    ids=["empty", "html", "half", "comma", "envelope", "null", "text", "deep-list", "deep-object"],
)  # fmt: skip
def test_what_is_no_list_of_rows_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(ParseError, match="answer of https"):
        parsed(feed(JSON, {"v": {"path": "v"}}), body)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("vw"), inner, max_size=2),
    max_leaves=6,
)
KINDS = st.sampled_from(["text", "number", "integer", "boolean", "time", "url"])
PATHS = st.sampled_from(["v", "[0]", "v.w", "v[*].w", "length(v)", "sort(v)", "@", "v[0] || w"])


@given(st.lists(JSON_VALUES, max_size=4), KINDS, PATHS, st.booleans())
def test_any_json_ends_in_rows(rows: list[Any], kind: str, path: str, joined: bool) -> None:
    rule = {"path": path, "parse": kind, **({"join": ","} if joined else {})}
    read = parsed(feed(JSON, {"v": rule}), json.dumps(rows))
    assert read.found == len(rows) == len(read.rows)
    json.dumps([dict(row) for row in read.rows], allow_nan=False).encode()


@given(st.binary() | st.text().map(str.encode), st.sampled_from(["json", "json_columns", "csv"]))
def test_any_bytes_end_in_rows_or_a_named_error(body: bytes, kind: str) -> None:
    place = {"column": "v"} if kind == "csv" else {"path": "v"}
    for start in (b"", b"v\n", b'[{"v":', b"\x1f\x8b"):
        try:
            assert isinstance(parsed(feed({"kind": kind}, {"v": place}), start + body), Parsed)
        except ParseError as error:
            assert "answer of https" in str(error)


CELLS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=8)
HEADER = ["name", "price", "n;o,t\te"]


@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.booleans(),
)
def test_any_table_written_as_csv_comes_back_equal(
    rows: list[tuple[str, str, str]], separator: str, encoding: str, compressed: bool
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows([HEADER, *rows])
    body = text.getvalue().encode(encoding)
    rules = feed(CSV, {f"c{i}": {"column": column} for i, column in enumerate(HEADER)})
    read = parsed(rules, gzip.compress(body) if compressed else body)
    expected = [tuple(" ".join(cell.split()) or None for cell in row) for row in rows]
    assert [tuple(row.values()) for row in read.rows] == expected
    assert read.rejected == 0
    assert set(read.hits.values()) == {len(rows)}


def test_a_preamble_stands_before_the_header() -> None:
    text = "# Weather, hourly\nlatitude;52.5\n\ntime;temp °C;note\n2024-01-01T00:00;1,5;\n2024-01-01T01:00;1.234;x\n"
    rules = feed(
        CSV, {"time": {"column": "time", "parse": "time"}, "temp": {"column": "temp °C", "parse": "number"}}
    )
    assert [row["temp"] for row in parsed(rules, text).rows] == [1.5, 1234]


def test_programs_write_comma_separated_numbers_with_a_point() -> None:
    rules = feed(CSV, {"depth": {"column": "depth", "parse": "number"}})
    assert [row["depth"] for row in parsed(rules, 'depth,mag\n10.123,5\n"1,234.5",5\n').rows] == [
        10.123,
        1234.5,
    ]


def test_rows_that_do_not_fit_the_header_are_rejected() -> None:
    rules = feed(CSV, {"a": {"column": "a"}, "b": {"column": "b"}})
    read = parsed(rules, "a,b\n1,2\n3\n4,5,6\n\n7,8,,\n9,\n,\n")
    assert [tuple(row.values()) for row in read.rows] == [("1", "2"), ("7", "8"), ("9", None), (None, None)]
    assert (read.found, read.rejected) == (6, 2)


def test_a_missing_column_has_no_hits_and_a_doubled_one_is_refused() -> None:
    rules = feed(CSV, {"a": {"column": "a"}, "b": {"column": "b"}})
    assert parsed(rules, "a,c\n1,2\n").hits == {"a": 1, "b": 0}
    assert parsed(rules, "a,b\n").found == 0
    with pytest.raises(ParseError, match="expected one column a"):
        parsed(rules, "a,b,a\n1,2,3\n")


@pytest.mark.parametrize(
    ("body", "content_type", "found"),
    [
        (b"", "", "header"),
        (b"\n\n", "", "header"),
        (b"<!DOCTYPE html><p>down", "", "HTML"),
        (b"a,b\n", "text/html", "HTML"),
        (b"a\n\xff\xfa\n", "", "utf-8"),
        (b"a\n\x81\n", "text/csv; charset=windows-1252", "cp1252"),
        (b'a\n"' + b"x" * 50_000_000, "", "cannot be read"),
        (gzip.compress(b"a\n" + b"1\n" * 1000)[:-20], "", "half"),
        (b"\x1f\x8b" + b"x" * 100, "", "damaged"),
        (gzip.compress(b"a\n" + b"1\n" * 10_000_000, 1), "", "MB once inflated"),
    ],
    ids=[
        *("empty", "blank", "page", "page-by-type", "not-utf8", "not-cp1252", "long-cell"),
        *("half-gzip", "bad-gzip", "bomb"),
    ],
)
def test_what_is_no_such_file_is_refused_by_name(body: bytes, content_type: str, found: str) -> None:
    with pytest.raises(ParseError, match=found):
        parser(feed(CSV, {"a": {"column": "a"}}), inflated_mb=10).parse(body, content_type, ADDRESS)


def test_gzip_files_of_several_members_are_whole() -> None:
    body = gzip.compress(b"a\n1\n") + gzip.compress(b"2\n")
    assert [row["a"] for row in parsed(feed(CSV, {"a": {"column": "a"}}), body).rows] == ["1", "2"]


@given(st.text("ab", min_size=1), st.integers(1, 5))
def test_the_layout_of_data_depends_on_names_alone(text: str, rows: int) -> None:
    assume(text != "v")
    rules = feed(CSV, {"v": {"column": "v"}})
    assert parsed(rules, "v,w\n" + f"{text},1\n" * rows).layout == parsed(rules, "v,w\n").layout
    assert parsed(rules, "v,x\n").layout != parsed(rules, "v,w\n").layout
    objects = feed(JSON, {"v": {"path": "v"}})
    one = parsed(objects, json.dumps([{"v": text, "w": [rows]}] * rows)).layout
    assert one == parsed(objects, '[{"v": 1, "w": [2, 3]}]').layout
    assert one != parsed(objects, '[{"v": 1, "u": [2, 3]}]').layout
