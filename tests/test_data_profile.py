from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from perennial.data.profile import SAMPLE_ROWS, profile_html
from perennial.table import Column, Contract

CONTRACT = Contract(
    "shop",
    (
        Column("id", "text", "digest", role="id"),
        Column("size", "number", "size <b>in metres</b>", unit="m", nullable=True),
        Column("year", "integer", "year", unit="1"),
        Column("kind", "category", "kind"),
        Column("used", "boolean", "whether used"),
        Column("sold", "time", "when it was sold", role="time"),
    ),
)


class Reader(HTMLParser):
    """The facts of every column as shown, and whatever the page points to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.facts: dict[str, dict[str, str]] = {}
        self.links: list[str] = []
        self.bars: dict[str, int] = {}
        self.open: list[str] = []
        self.column = self.term = ""
        self.feed(html)
        assert not [tag for tag in self.open if tag not in ("meta", "rect")]

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "srcset")]
        if tag == "rect":
            self.bars[self.column] = self.bars.get(self.column, 0) + 1

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        tag = self.open[-1] if self.open else ""
        if tag == "b":
            self.column = data
            self.facts[data] = {}
        elif tag == "dt":
            self.term = data
        elif tag == "dd":
            self.facts[self.column][self.term] = data


def frame(rows: int = 1000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": [f"secret-{i}" for i in range(rows)],
            "size": rng.normal(50, 10, rows),
            "year": rng.integers(1990, 2021, rows),
            "kind": rng.choice(["big <i>", "small"], rows, p=[0.25, 0.75]),
            "used": rng.random(rows) < 0.5,
            "sold": pd.date_range("2020-01-01", periods=rows, freq="h", tz="UTC"),
        }
    )


def test_the_figures_are_those_of_the_table():
    data = frame()
    data.loc[:9, "size"] = np.nan
    facts = Reader(profile_html(data, CONTRACT)).facts
    assert facts["size"]["missing"] == "10 (1.0 %)"
    assert facts["size"]["median"] == f"{data['size'].median():.2f} m"
    assert facts["year"] == {
        "missing": "none",
        "distinct": "31",
        "least": "1990",
        "median": f"{data['year'].median():g}",
        "greatest": "2020",
    }
    small = (data["kind"] == "small").sum()
    assert facts["kind"]["small"] == f"{small} ({small / 10:.1f} %)"
    assert facts["sold"]["first"] == "2020-01-01 00:00"
    assert facts["id"] == {"missing": "none", "distinct": "1,000"}


def test_the_page_is_safe_small_and_needs_nothing_else():
    html = profile_html(frame(), CONTRACT)
    assert len(html) < 30_000
    assert not Reader(html).links
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert "prefers-color-scheme:dark" in html
    assert "<b>in metres</b>" not in html
    assert "big &lt;i&gt;" in html


def test_no_single_row_can_be_read_off():
    data = frame().assign(note=[f"private {i}" for i in range(1000)])
    data.loc[0, "kind"] = "the only one of its kind"
    html = profile_html(data, CONTRACT)
    assert "secret-" not in html
    assert "private" not in html
    assert "the only one" not in html
    assert Reader(html).facts["note"]["distinct"] == "1,000"


@pytest.mark.parametrize("rows", [0, 1, 2, 1000])
@pytest.mark.parametrize(
    "fill",
    [
        None,
        np.nan,
        np.inf,
        -np.inf,
        0,
        1e308,
        "x",
        "",
        True,
        pd.NaT,
        pd.Timestamp("2020-01-01", tz="UTC"),
        [1],
    ],
    ids=repr,
)
def test_any_content_of_any_column_is_survived(rows, fill):
    whole = frame(rows)
    for name in whole.columns:
        constant = whole.assign(**{name: pd.Series([fill] * rows, dtype=object)})
        mixed = constant.copy()
        mixed.loc[mixed.index % 2 == 1, name] = "5"
        for data in (constant, mixed):
            facts = Reader(profile_html(data, CONTRACT)).facts
            assert list(facts) == list(whole.columns)
            assert not {"nan", "inf", "-inf"} & {v for f in facts.values() for v in f.values()}


def test_what_is_no_number_is_counted_by_name():
    data = frame().assign(size=frame()["size"].astype(object))
    data.loc[:4, "size"] = "five"
    data.loc[5:7, "size"] = np.inf
    facts = Reader(profile_html(data, CONTRACT)).facts["size"]
    assert facts["infinite"] == "3 (0.3 %)"
    assert facts["not a number"] == "5 (0.5 %)"
    assert "inf" not in facts["greatest"]


def test_a_large_table_is_sampled_and_says_so():
    data = pd.DataFrame({"size": np.arange(SAMPLE_ROWS + 50_000.0)})
    html = profile_html(data, CONTRACT)
    assert "150,000 rows, 1 column; figures from a random sample of 100,000 rows" in html
    assert Reader(html).facts["size"]["distinct"] == "100,000"
    assert profile_html(data, CONTRACT) == html
    assert "sample of" not in profile_html(data.head(SAMPLE_ROWS), CONTRACT)


def test_a_histogram_has_bars_where_values_are():
    shown = Reader(profile_html(frame(), CONTRACT))
    assert 15 <= shown.bars["size"] <= 24
    assert shown.bars["kind"] == 2
    assert "size" not in Reader(profile_html(frame().assign(size=3.0), CONTRACT)).bars
