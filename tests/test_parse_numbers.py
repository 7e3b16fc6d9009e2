"""Numbers, whole numbers and truths as people write them."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.data.parse.numbers import integer, number
from perennial.data.parse.values import boolean
from tests.parsing import cell, html, parsed

BLANKS = " \u00a0\u202f\u2009"
DECORATIONS = st.sampled_from(["{}", "{} €", "€ {}", "£{}", "EUR {},-", "{} km", "ca. {}", "{}\u00a0kWh"])


def grouped(whole: int, separator: str) -> str:
    return f"{whole:,}".replace(",", separator)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12 900 €", 12900),
        ("12\u00a0900\u00a0€", 12900),
        ("12\u202f900", 12900),
        ("£13,400", 13400),
        ("EUR 1.299,-", 1299),
        ("1.299,—", 1299),
        ("99,-", 99),
        ("45 000 km", 45000),
        ("73962km", 73962),
        ("1.234.567,89", 1234567.89),
        ("1,234,567.89", 1234567.89),
        ("1'234.50", 1234.5),
        ("1’234", 1234),
        ("₹ 12,34,567", 1234567),
        ("1 234,567", 1234.567),
        ("1.234", 1234),
        ("0.057", 0.057),
        ("1234.567", 1234.567),
        ("12.5", 12.5),
        ("\u221212,5 °C", -12.5),
        ("-€5", -5),
        ("€ -5", -5),
        ("\u2212 5", -5),
        ("Price - 500", 500),
        ("A-4", 4),
        (".5", 0.5),
        ("Fr.500", 500),
        ("1e3", 1000),
        ("100 m²", 100),
        ("1\u200b2\u00ad0", 120),
    ],
)
def test_a_number_is_read_whatever_stands_around_it(text: str, expected: float) -> None:
    assert number(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *["", "€", "-", "k.A.", "nan", "inf", "١٢", "2½", "9" * 500, "1" * 5000],
        *["1.5k", "12k€", "1.5 k€", "3 Mio.", "2 million", "1.5M"],
        *["1 2", "2011 734", "8 490 12 990", "2019-2021", "12/2020", "90 kW (122 PS)", "12, 900"],
        *["1.2.3", "12.05.2020", "1,234,56", "1.234 567", "1.234,567,8", "1,234.567.8"],
    ],
)
def test_what_is_not_one_certain_number_is_not_guessed(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        number(text)


def test_programs_and_people_mean_different_things_by_one_point() -> None:
    assert number("1.234", plain=True) == 1.234
    assert number("€ 1.234", plain=True) == 1234
    assert number("1.234", decimal=".") == 1.234
    assert number("1.234", decimal=",") == 1234
    assert number("1,234", decimal=".") == 1234
    assert number("1,234", decimal=",") == 1.234
    for text, decimal in [("1,5", "."), ("1.5", ","), ("1.2.3", "."), ("1.5,5", ".")]:
        with pytest.raises(ValueError, match="expected"):
            number(text, decimal=decimal)


@given(
    st.integers(0, 10**12),
    st.integers(0, 99),
    st.sampled_from([(s, ",") for s in (".", "'", *BLANKS)] + [(s, ".") for s in (",", "'", *BLANKS)]),
    st.sampled_from(["", "-", "\u2212"]),
    DECORATIONS.filter(lambda d: "," not in d),
)
def test_numbers_written_with_separators_come_back_equal(
    whole: int, cents: int, signs: tuple[str, str], minus: str, decoration: str
) -> None:
    separator, decimal = signs
    text = decoration.format(f"{minus}{grouped(whole, separator)}{decimal}{cents:02}")
    expected = float(f"{whole}.{cents:02}")
    assert number(text) == (-expected if minus else expected)
    assert number(text, decimal=decimal) == (-expected if minus else expected)


@given(st.integers(0, 10**15), st.sampled_from([".", ",", "'", *BLANKS]), DECORATIONS)
def test_whole_numbers_written_with_separators_come_back_equal(
    whole: int, separator: str, decoration: str
) -> None:
    assert integer(decoration.format(grouped(whole, separator))) == whole


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_of_programs_come_back_equal(value: float) -> None:
    assert number(repr(value), plain=True) == value
    assert number(repr(value), decimal=".") == value


@given(st.decimals(-(10**9), 10**9, places=2))
def test_decimals_with_two_places_come_back_equal(value: Decimal) -> None:
    assert number(str(value)) == float(value)
    assert number(str(value).replace(".", ",")) == float(value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_of_64_bits_come_back_equal(value: int) -> None:
    assert integer(str(value)) == value


@given(
    st.text() | st.text("0123456789.,' -+eEkM€\u00a0\u2212", max_size=20), st.sampled_from(["auto", ".", ","])
)
def test_any_text_is_a_finite_number_or_none(text: str, decimal: str) -> None:
    for plain in (True, False):
        try:
            value = number(text, decimal, plain)
        except ValueError:
            with pytest.raises(ValueError, match="expected"):
                integer(text, decimal, plain)
            continue
        assert math.isfinite(value)


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from([" - ", "/", "–", " bis ", ": ", "; ", " x "]),
)
def test_two_numbers_are_never_one(first: int, second: int, between: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        number(f"{first}{between}{second}")


def test_whole_numbers_have_no_fraction_and_64_bits() -> None:
    assert integer("2011.0") == 2011
    assert integer("1e3") == 1000
    for text in ("12,5", str(2**63), "1e30"):
        with pytest.raises(ValueError, match="whole"):
            integer(text)


def test_truths_are_read_in_several_languages() -> None:
    assert [boolean(t) for t in ("yes", "Oui", "JA", "sí", "1", "True", 1, True)] == [True] * 8
    assert [boolean(t) for t in ("no", "Non", "NEIN", "0", "false", 0, False)] == [False] * 7
    for text in ("maybe", "", "2", 2, 0.5):
        with pytest.raises(ValueError, match="expected"):
            boolean(text)


def test_numbers_in_neighbouring_elements_are_not_glued_into_one() -> None:
    rule = {"parse": "number"}
    assert cell(rule, "€ 34.845<sup>1</sup>") is None
    assert cell(rule, "12<br>34") is None
    assert cell(rule, "<i>34</i>.<i>845</i> €") == 34845
    assert cell(rule, "12<!-- -->.<!-- -->900 €") == 12900
    assert cell({}, "€ 34.845<sup>1</sup>") == "€ 34.8451"


def test_numbers_are_scaled_bounded_and_counted() -> None:
    texts = ["1.5", "2,5", "x", "", "9999", "-1", "k.A."]
    rule = {"css": "b", "parse": "number", "scale": 1000, "minimum": 0, "maximum": 5000, "missing": ["k.A."]}
    page = "".join(f"<div class=row><b>{text}</b></div>" for text in texts) + "<div class=row></div>"
    read = parsed(html({"power": rule}), page)
    assert [row["power"] for row in read.rows] == [1500, 2500, None, None, None, None, None, None]
    assert (read.found, read.rejected, read.hits) == (8, 0, {"power": 7})
    assert (read.unreadable, read.out_of_range) == ({"power": 1}, {"power": 2})
    strict = parsed(html({"power": {**rule, "unbelievable": "reject"}}), page)
    assert [row["power"] for row in strict.rows] == [1500, 2500, None, None, None]
    assert (strict.found, strict.rejected) == (8, 3)
    required = parsed(html({"power": {**rule, "required": True}}), page)
    assert [row["power"] for row in required.rows] == [1500, 2500]
    assert required.rejected == 6


def test_scaled_integers_stay_whole() -> None:
    rule = {"parse": "integer", "scale": 1000}
    assert cell(rule, "12.5") == 12500
    assert cell(rule, "1.1 Tkm") == 1100
    assert cell({"parse": "integer", "scale": 0.5}, "3") is None
