"""Over generated contracts: the quick decoder, the careful parser, the request's schema and training agree."""

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

from bento import asked
from bento.asked import ENVELOPE, Refused
from bento.decoder import ODD, Decoder
from perennial.errors import TableError
from perennial.live.golden import request_rows
from perennial.live.rows import ParsedRows, RowReader, parse_columns, request_schema
from perennial.table import Column, Contract, Table

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6) | st.sampled_from(
    ["rows", "prediction_id", "a:b", '"', "x" * 70]
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=4).filter(str.strip)
BOUNDS = st.none() | st.floats(-1e6, 1e6) | st.integers(-100, 100).map(float)


@st.composite
def contracts(draw: st.DrawFn) -> tuple[Contract, dict[str, tuple[float, float]]]:
    """A contract of one to five features, with the ranges that a model was trained on."""
    names = draw(st.lists(NAMES, min_size=1, max_size=8, unique=True))
    columns, training = [], {}
    while names and len(columns) < 5:
        name = names.pop()
        aliases = tuple(names.pop() for _ in range(draw(st.integers(0, min(2, len(names))))))
        kind = draw(st.sampled_from(["number", "integer", "category", "boolean"]))
        low, high = draw(BOUNDS), draw(BOUNDS)
        if low is not None and high is not None:
            low, high = min(low, high), max(low, high)
        if kind == "integer":
            low, high = (None if bound is None else float(round(bound)) for bound in (low, high))
        known = draw(st.lists(TEXTS, max_size=4, unique=True))
        columns.append(
            Column(
                name,
                kind,
                "a feature",
                minimum=low if kind in ("number", "integer") else None,
                maximum=high if kind in ("number", "integer") else None,
                categories=tuple(sorted(known)) if kind == "category" else (),
                nullable=draw(st.booleans()),
                aliases=aliases,
            )
        )
        if kind in ("number", "integer") and draw(st.booleans()):
            training[name] = tuple(sorted((draw(st.floats(-1e3, 1e3)), draw(st.floats(-1e3, 1e3)))))
    return Contract("made", tuple(columns)), training


NUMBERS = (
    st.integers(-200, 200) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.just(-0.0)
)


def right(column: Column) -> st.SearchStrategy[Any]:
    """Values of the column's type, possible and impossible ones."""
    kinds = {
        "number": NUMBERS,
        "integer": st.integers(-200, 200) | st.integers(-(2**70), 2**70) | st.integers(-9, 9).map(float),
        "boolean": st.booleans(),
        "category": st.sampled_from((*column.categories, "never seen"))
        | st.sampled_from((*column.categories, "x")).map(lambda text: f" {text.upper()} ")
        | st.text(st.characters(codec="utf-8"), max_size=4),
    }
    return kinds[column.kind] | st.none() if column.nullable else kinds[column.kind]


@st.composite
def rows(draw: st.DrawFn, contract: Contract) -> dict[str, Any]:
    """A row that the contract accepts, under any of its features' names, in any order."""
    row = {draw(st.sampled_from((c.name, *c.aliases))): draw(right(c)) for c in contract.features}
    return dict(draw(st.permutations(list(row.items()))))


WRONG = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(10**308, 10**310) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
IDS = st.fixed_dictionaries(
    {},
    optional={
        "prediction_id": st.sampled_from(["mine", "a:b", "", None]),
        "prediction_ids": st.sampled_from([["a"], ["a", "b"], ["a", "a"], None]),
    },
)


def spelt(draw: st.DrawFn, value: Any) -> bytes:
    """The value as JSON, compact or with blanks, in ASCII or UTF-8."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t : ")]))
    return json.dumps(value, separators=separators, ensure_ascii=draw(st.booleans())).encode(
        "utf-8", "surrogatepass"
    )


def carefully(reader: RowReader, body: bytes) -> tuple[ParsedRows, asked.Asked] | None:
    """What the slow way makes of a body; None where it refuses."""
    try:
        wanted = asked.read(body, "header", 3)
        return reader.request(wanted.rows, 3), wanted
    except (Refused, TableError):
        return None


def quickly(decoder: Decoder, body: bytes) -> tuple[ParsedRows, Any] | None:
    """What the quick way makes of a body; None where it leaves it."""
    found = decoder.decode(body)
    if found is None or not 0 < len(found.rows) <= 3:
        return None
    parsed = decoder.parsed(found.rows)
    return None if parsed is None else (parsed, found)


def same(reader: RowReader, decoder: Decoder, body: bytes) -> bool:
    """Whether the quick way answered; fails where it says anything else than the slow way."""
    quick, careful = quickly(decoder, body), carefully(reader, body)
    if quick is None:
        return False
    parsed, found = quick
    try:
        prediction_id = asked.request_id(found.prediction_id, "header")
        row_ids = asked.row_ids(found.prediction_ids, prediction_id, len(found.rows))
    except Refused:
        assert careful is None
        return True
    assert careful is not None, body
    expected, wanted = careful
    np.testing.assert_array_equal(parsed.matrix, expected.matrix)
    assert parsed.flags == expected.flags
    assert parsed.names == expected.names
    assert (prediction_id, row_ids) == (wanted.prediction_id, wanted.row_ids)
    assert decoder.ordered(wanted.rows) == found.rows
    return True


def is_ordinary(contract: Contract, sent: list[dict[str, Any]]) -> bool:
    """Whether rows hold no colons, and no feature is called like a part of a request or needs escapes."""
    parts = [str(part) for row in sent for part in (*row, *row.values())]
    odd = any(ODD.search(name) or name in ENVELOPE for name in contract.names)
    return not odd and not any(":" in part for part in parts)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_quick_way_reads_good_requests_as_the_careful_one_does(data: st.DataObject) -> None:
    contract, training = data.draw(contracts())
    reader = RowReader(contract, training)
    decoder = Decoder(reader)
    sent = data.draw(st.lists(rows(contract), min_size=1, max_size=3))
    forms = [sent, {"rows": sent}, {"rows": sent, **data.draw(IDS)}]
    if ENVELOPE.isdisjoint(sent[0]):
        forms.append(sent[0])
    body = spelt(data.draw, data.draw(st.sampled_from(forms)))
    quick = same(reader, decoder, body)
    if is_ordinary(contract, sent) and b"a:b" not in body:
        assert quick or carefully(reader, body) is None, "an ordinary request took the slow way"


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_whatever_is_wrong_is_left_to_the_careful_way(data: st.DataObject) -> None:
    contract, training = data.draw(contracts())
    reader = RowReader(contract, training)
    row = data.draw(rows(contract))
    field = data.draw(st.sampled_from([*row, *(n for c in contract.features for n in c.aliases), "other"]))
    changed = {**row, field: data.draw(WRONG)}
    if data.draw(st.booleans()):
        changed.pop(data.draw(st.sampled_from(list(changed))))
    body = spelt(data.draw, data.draw(st.sampled_from([[changed], {"rows": [row, changed]}, changed])))
    if data.draw(st.booleans()) and body.count(b":"):
        place = data.draw(st.integers(0, len(body) - 1))
        body = body[:place] + data.draw(st.binary(max_size=3)) + body[place + 1 :]
    same(reader, Decoder(reader), body)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_request_schema_parsers_and_training_frame_agree(data: st.DataObject) -> None:
    """A row of training data, sent as a request, is valid by the schema and gives the model's very input."""
    contract, _ = data.draw(contracts())
    features = {c.name: data.draw(st.lists(known(c), min_size=2, max_size=2)) for c in contract.features}
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in features.items()})
    table = Table(frame, contract)
    sent = request_rows(table)
    for row in sent:
        jsonschema.validate(row, request_schema(contract))
    reader = RowReader(contract)
    expected = table.X
    np.testing.assert_array_equal(reader.request(sent).matrix, expected)
    np.testing.assert_array_equal(parse_columns(contract, frame).matrix, expected)
    found = quickly(Decoder(reader), json.dumps({"rows": sent}).encode())
    if found is not None:
        np.testing.assert_array_equal(found[0].matrix, expected)
    else:
        assert not is_ordinary(contract, sent)


def known(column: Column) -> st.SearchStrategy[Any]:
    """Values that a training table may hold."""
    low = -1e9 if column.minimum is None else column.minimum
    high = 1e9 if column.maximum is None else column.maximum
    if column.kind == "category" and not column.categories:
        values: st.SearchStrategy[Any] = st.just("x")
    elif column.kind == "category":
        values = st.sampled_from(column.categories)
    elif column.kind == "boolean":
        values = st.booleans()
    elif column.kind == "integer":
        values = st.integers(int(low), int(high))
    else:
        values = st.floats(low, high)
    return values | st.none() if column.nullable else values


TWO = Contract("two", (Column("a", "number", "a"), Column("b", "category", "b", categories=("x", "y"))))
REPEATS = {
    "in a row": '{"rows": [{"a": 1, "a": 2, "b": "x"}]}',
    "in a bare row": '{"a" : 1, "b": "x", "b" : "y"}',
    "in a list": '[{"a": 1, "b": "x"}, {"b": "x", "a": 1, "\\u0061": 1}]',
    "rows": '{"rows": [{"a": 1, "b": "x"}], "rows": [{"a": 2, "b": "x"}]}',
    "an id": '{"prediction_id": "p", "rows": [{"a": 1, "b": "x"}], "prediction_id": "q"}',
}


@pytest.mark.parametrize("name", REPEATS)
def test_a_key_that_stands_twice_is_left_to_the_careful_way(name: str) -> None:
    body = REPEATS[name].encode()
    assert Decoder(RowReader(TWO)).decode(body) is None
    with pytest.raises(Refused, match="every key once"):
        asked.read(body, None, 3)


def test_online_numbers_are_read_to_the_last_digit() -> None:
    """Every spelling of a number is the float64 that is nearest to it, as Python reads it."""
    reader = RowReader(Contract("one", (Column("a", "number", "a"),)))
    decoder = Decoder(reader)
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2**63, 20_000, dtype=np.uint64).view(np.float64)
    numbers = bits[np.isfinite(bits)].tolist()
    spellings = [
        f"{n:.{digits}e}" for n, digits in zip(numbers, rng.integers(0, 40, len(numbers)), strict=True)
    ]
    spellings += [str(n) for n in rng.integers(-(2**63), 2**63, 1000).tolist()]
    spellings += ["9007199254740993", "0.1", "1e23", "5e-324", "2.2250738585072011e-308", "1" + "0" * 300]
    wanted = [float(text) for text in spellings]
    finite = [i for i, value in enumerate(wanted) if math.isfinite(value)]
    found = decoder.decode(b"[" + b",".join(b'{"a":%b}' % spellings[i].encode() for i in finite) + b"]")
    assert found is not None
    assert [row[0] for row in found.rows] == [wanted[i] for i in finite]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "2.5"),
        ("integer", "true"),
        ("integer", '"2"'),
        ("integer", "null"),
        ("number", "1e999"),
        ("number", "NaN"),
        ("number", "false"),
        ("number", "[1]"),
        ("boolean", "1"),
        ("boolean", '"true"'),
        ("category", "3"),
        ("category", "null"),
        ("category", '"\\ud800"'),
    ],
)
def test_a_wrong_value_is_left_to_the_careful_way(kind: Any, text: str) -> None:
    decoder = Decoder(RowReader(Contract("one", (Column("a", kind, "a"),))))
    assert quickly(decoder, b'{"a":%b}' % text.encode()) is None
