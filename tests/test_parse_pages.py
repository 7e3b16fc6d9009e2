"""HTML pages: selectors, encodings, embedded JSON, links and layout, broken and hostile pages."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.data.answer import Parsed
from perennial.errors import ParseError
from tests.parsing import cell, feed, html, parsed

ROWS = """
<div class="row first" data-id="7"><h2>Golf <b>GTI</b><br>VII</h2><a href="/golf.html#top">more</a>
<ul><li>Diesel</li><li> </li><li>2.0&nbsp;l</li></ul></div>
<div class="row" data-id=""><h2></h2></div>
"""


def values(rule: dict[str, Any], page: str = ROWS) -> list[Any]:
    return [row["value"] for row in parsed(html({"value": rule}), page).rows]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"css": "h2"}, ["Golf GTI VII", None]),
        ({"css": "h2::text"}, ["Golf", None]),
        ({"css": "h2::text", "join": " | "}, ["Golf | VII", None]),
        ({"css": "h2 > b"}, ["GTI", None]),
        ({"css": "li", "join": ", "}, ["Diesel, 2.0 l", None]),
        ({"css": "::attr(data-id)"}, ["7", None]),
        ({"css": "a::attr(href)"}, ["/golf.html#top", None]),
        ({"css": "a::attr(href)", "parse": "url"}, ["https://example.org/golf.html", None]),
        ({"css": "i, b"}, ["GTI", None]),
        ({"css": ":scope > h2 > b"}, ["GTI", None]),
        ({"css": "h2:contains('Golf')"}, ["Golf GTI VII", None]),
        ({"xpath": ".//li[2]/following-sibling::li"}, ["2.0 l", None]),
        ({"xpath": "@data-id"}, ["7", None]),
        ({"xpath": "count(.//li)", "parse": "integer"}, [3, 0]),
        ({"xpath": "boolean(.//li)", "parse": "boolean"}, [True, False]),
        ({"xpath": "concat(.//li, '!')"}, ["Diesel!", "!"]),
        ({"xpath": "number(@data-id) * 1.5", "parse": "number"}, [10.5, None]),
        ({"xpath": ".//li[re:test(., '^[0-9]')]"}, ["2.0 l", None]),
        ({"css": "li", "regex": r"(\d)\.\d"}, ["2", None]),
        ({"css": "li", "regex": r"[a-z]+"}, ["iesel", None]),
        ({"css": "li", "regex": r"[A-Za-z]+", "join": "+"}, ["Diesel+l", None]),
        ({"css": "li", "translate": {"Diesel": "diesel"}}, ["diesel", None]),
        ({"css": "li", "missing": ["Diesel"]}, [None, None]),
        ({"css": "title", "at": "page"}, ["Cars", "Cars"]),
        ({"xpath": "//title", "at": "page"}, ["Cars", "Cars"]),
    ],
)
def test_a_value_is_found_where_its_selector_points(rule: dict[str, Any], expected: list[Any]) -> None:
    assert values(rule, f"<title>Cars</title>{ROWS}") == expected


def test_the_row_itself_is_selected_by_an_empty_selector() -> None:
    page = "<p class=row>one <b>two</b> three</p>"
    assert values({"css": ""}, page) == values({"css": "."}, page) == ["one two three"]
    assert values({"css": "::text", "join": "/"}, page) == ["one/three"]


def test_hits_count_the_rows_in_which_a_selector_found_something() -> None:
    rules = {
        name: {"css": css} for name, css in {"h": "h2", "b": "b", "d": "::attr(data-id)", "x": "x-y"}.items()
    }
    assert parsed(html(rules), ROWS).hits == {"h": 2, "b": 1, "d": 2, "x": 0}


TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Cn"]), min_size=1)


@given(st.lists(TEXTS, min_size=1, max_size=5), st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]))
def test_any_text_comes_back_from_a_page(texts: list[str], encoding: str) -> None:
    page = "".join(f"<p class=row title='{escape(t)}'>{escape(t)}</p>" for t in texts)
    read = parsed(html({"text": {"css": "."}, "title": {"css": "::attr(title)"}}), page.encode(encoding))
    expected = [" ".join(t.split()) or None for t in texts]
    assert [row["text"] for row in read.rows] == expected
    assert [row["title"] for row in read.rows] == expected


FRENCH = "<p class=row>Citroën 12 900 € œ</p>"


@pytest.mark.parametrize(
    ("body", "header", "configured"),
    [
        (FRENCH.encode("cp1252"), "text/html; charset=ISO-8859-1", "auto"),
        (FRENCH.encode("cp1252"), 'text/html; charset="windows-1252"', "auto"),
        (FRENCH.encode("iso8859-15"), "text/html; charset=utf-8", "iso-8859-15"),
        (FRENCH.encode("utf-8"), "", "auto"),
        (FRENCH.encode("cp1252"), "", "auto"),
        (FRENCH.encode("cp1252"), "text/html; charset=martian", "auto"),
        (b"<meta charset=iso-8859-15>" + FRENCH.encode("iso8859-15"), "text/html", "auto"),
        (b"<meta charset=utf-16>" + FRENCH.encode(), "text/html", "auto"),
        (b"<!-- <meta charset=koi8-r> -->" + FRENCH.encode(), "text/html", "auto"),
        (
            b'<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-15">'
            + FRENCH.encode("iso8859-15"),
            "",
            "auto",
        ),
        (b'<?xml version="1.0" encoding="iso-8859-15"?>' + FRENCH.encode("iso8859-15"), "", "auto"),
        (b"\xef\xbb\xbf" + FRENCH.encode(), "text/html; charset=iso-8859-1", "auto"),
        (FRENCH.encode("utf-16"), "text/html", "auto"),
        (b"<meta charset=iso-8859-1>" + FRENCH.encode(), "text/html; charset=UTF-8", "auto"),
    ],
)
def test_a_page_is_read_in_the_encoding_it_is_written_in(body: bytes, header: str, configured: str) -> None:
    rows = {"kind": "html", "rows": {"css": ".row"}, "encoding": configured}
    assert parsed(feed(rows, {"text": {"css": "."}}), body, header).rows[0]["text"] == "Citroën 12 900 € œ"


def test_asian_and_cyrillic_pages_are_read() -> None:
    for text, encoding, label in [
        ("価格 12,900円", "cp932", "Shift_JIS"),
        ("Цена", "koi8-r", "koi8-r"),
        ("價格", "big5", "big5"),
    ]:
        page = f"<meta charset={label}><p class=row>{text}</p>".encode(encoding)
        assert parsed(html({"text": {"css": "."}}), page).rows[0]["text"] == text


def test_broken_bytes_are_replaced_and_the_rest_is_kept() -> None:
    page = b"<p class=row>a\xff\xfeb\0c</p><p class=row>ok</p>"
    read = parsed(html({"text": {"css": "."}}), page, "text/html; charset=utf-8")
    assert [row["text"] for row in read.rows] == ["a\ufffd\ufffdbc", "ok"]


def test_broken_html_is_read() -> None:
    page = "<table><tr class=row><td>1<td>two<tr class=row><td title='a>b' title=c>3</i></table></div><p class=row>x&"
    assert values({"css": "td", "join": "|"}, page) == ["1|two", "3", None]
    assert values({"css": "."}, page)[2] == "x&"


def test_links_are_absolute_each_once_and_only_of_a_walk_over_pages() -> None:
    page = """<base href="/list/"><a class=n href="?page=3#top">3</a><a class=n href="../all">all</a>
    <a class=n>none</a><a class=n href="javascript:go()">j</a><a class=n href="//other.org/x y">o</a>
    <a class=n href="?page=3">3</a><a class=n href="http://[bad">b</a><p class=row><i>1</i></p>"""
    expected = ("https://example.org/list/?page=3", "https://example.org/all", "https://other.org/x%20y")
    for select in ({"css": "a.n"}, {"css": "a.n::attr(href)"}, {"xpath": "//a[@class='n']/@href"}):
        assert parsed(html({"i": {"css": "i"}}, next=select), page).links == expected
    assert parsed(html({"i": {"css": "i"}}), page).links == ()
    once = html({"i": {"css": "i"}}).model_copy(update={"walk": feed_once().walk})
    assert parsed(once, page).links == ()
    assert cell({"css": "a::attr(href)", "parse": "url"}, "<a href='mailto:x@y.z'>m</a>") is None


def feed_once() -> Any:
    base = html({"i": {"css": "i"}}).model_dump()
    return type(html({"i": {"css": "i"}})).model_validate({**base, "walk": {"kind": "once", "urls": ["/"]}})


CARS = [
    {"@type": "Car", "name": "Golf", "price": 12900.5},
    {"@type": "Car", "name": 'a "b" </i> é', "price": None},
]


def test_rows_are_objects_in_the_json_of_scripts() -> None:
    page = f"""<title>Cars</title><script type="application/ld+json">{{"@type": "BreadcrumbList"}}</script>
    <script type="application/ld+json">not json</script>
    <script type="application/ld+json"><!-- {json.dumps({"cars": CARS[:1], "next": "/3"})} --></script>
    <script type="application/ld+json">{json.dumps({"cars": CARS[1:], "next": "/4"})}</script>"""
    fields = {
        "name": {"path": "name"},
        "price": {"path": "price", "parse": "number"},
        "next": {"path": "next", "at": "page"},
        "title": {"css": "title", "at": "page"},
    }
    rules = feed({"kind": "html", "rows": {"path": "cars"}}, fields, next={"path": "next"})
    read = parsed(rules, page)
    assert list(read.rows) == [
        {"name": "Golf", "price": 12900.5, "next": "/3", "title": "Cars"},
        {"name": 'a "b" </i> é', "price": None, "next": "/4", "title": "Cars"},
    ]
    assert read.links == ("https://example.org/3", "https://example.org/4")
    assert read.hits == {"name": 2, "price": 1, "next": 2, "title": 2}


def test_a_script_may_assign_its_json_and_hold_one_object() -> None:
    page = '<script id=s>window.STATE = {"car": {"name": "a\nb"}}; other = 1;</script>'
    rules = feed({"kind": "html", "rows": {"path": "car"}, "script": "#s"}, {"name": {"path": "name"}})
    assert list(parsed(rules, page).rows) == [{"name": "a b"}]
    assert parsed(rules, "<p>no script</p>").found == 0
    with pytest.raises(ParseError, match="expected JSON in 1 scripts"):
        parsed(rules, "<script id=s>go()</script>")


def page_of(count: int, text: str, extra: str = "", tag: str = "span") -> str:
    rows = [
        f"<li class='row item-{i} {'odd' if i % 2 else 'even'}'><{tag} class=price title='{text}'>{text}{i}</{tag}>"
        f"{extra if i == 1 else ''}</li>"
        for i in range(count)
    ]
    return f"<div class=main><ul>{''.join(rows)}</ul></div>"


def test_the_layout_depends_on_structure_alone() -> None:
    def layout(page: str) -> str:
        rules = html({"price": {"css": ".price"}, "badge": {"css": ".badge"}})
        return parsed(rules, page).layout

    original = layout(page_of(10, "a"))
    assert original
    assert layout(page_of(40, "bcd")) == original
    assert layout(page_of(7, "x", "<i class=badge>!</i>")) == original
    assert layout(page_of(10, "a").replace("item-1 odd", "item-1 odd sold")) == original
    assert layout(page_of(10, "a", tag="b")) != original
    assert layout(page_of(10, "a").replace("class=main", "class=results")) != original
    assert layout("<p>nothing</p>") == ""


FLOOD = "<p class=row " + " ".join(f"a{i}=1" for i in range(60_000)) + ">x</p>"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("", ""),
        (" \n", "text/html"),
        ("<!-- nothing -->", ""),
        ("{}", "application/json"),
        ("GIF89a", "image/gif"),
        ("<div>" * 100_000 + "<p class=row>x", ""),
        (f"<p class=row title='{'x' * 50_000_000}'>x</p>", ""),
        (f"<p class=row>{'x' * 20_000_000}</p>", ""),
        (FLOOD, ""),
        (FLOOD.replace("a7=1", 'a7="<b>"'), ""),
    ],
    ids=[
        "empty",
        "blank",
        "comment",
        "json",
        "image",
        "deep",
        "long-attribute",
        "long-text",
        "flood",
        "quoted-flood",
    ],
)
def test_what_is_no_page_or_beyond_limits_is_refused_by_name(body: str, content_type: str) -> None:
    with pytest.raises(ParseError, match="answer of https"):
        parsed(html({"text": {"css": "."}}), body, content_type)


def test_a_large_page_with_long_attributes_is_no_flood() -> None:
    page = f"<p class=row data-x='{'a b ' * 100_000}'>x</p><p class=row title=\"{'>' * 100_000}\">y</p>"
    assert [row["text"] for row in parsed(html({"text": {"css": "."}}), page).rows] == ["x", "y"]


def test_entities_are_neither_expanded_nor_loaded() -> None:
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "lol"}">' for i in range(10))
    page = f"""<?xml version="1.0"?><!DOCTYPE html [{laughs}<!ENTITY f SYSTEM "file:///etc/passwd">
    <!ENTITY % d SYSTEM "http://127.0.0.1:9/x.dtd"> %d;]><html><p class=row>&l9;&f;&eacute;</p></html>"""
    assert values({"css": "."}, page) == ["&l9;&f;é"]


RULES = html(
    {
        "text": {"css": "."},
        "price": {"css": "b", "parse": "number"},
        "when": {"css": "::attr(title)", "parse": "time"},
        "url": {"css": "a::attr(href)", "parse": "url"},
        "page": {"xpath": "//p", "at": "page", "regex": "(x)?y*", "join": ","},
    },
    next={"css": "a"},
)
IN_SCRIPT = feed(
    {"kind": "html", "rows": {"path": "@"}, "script": "script"},
    {"a": {"path": "a"}, "b": {"path": "b[0].c", "parse": "time"}},
)
PAGES = st.lists(
    st.sampled_from(
        [
            "<p class=row>",
            "<b>",
            "</b>",
            "<a href='",
            "'",
            '"',
            ">",
            "<script>",
            "</script>",
            "&#xD800;",
            "&#0;",
            "\0",
            "[{",
            "}]",
            '"a":',
            "1e999",
            "<!--",
            "<![CDATA[",
            "&amp",
            "<base href=//[>",
            "<br>",
            "title=",
            "<table><tr>",
        ]
    )
    | st.text(max_size=8),
    max_size=30,
).map("".join)


@given(
    st.binary() | PAGES.map(lambda page: page.encode("utf-8", "surrogatepass")),
    st.sampled_from(["", "text/html; charset=gb2312"]),
)
def test_any_bytes_end_in_rows_or_a_named_error(body: bytes, content_type: str) -> None:
    for rules in (RULES, IN_SCRIPT):
        try:
            read = parsed(rules, body, content_type)
        except ParseError:
            continue
        assert isinstance(read, Parsed)
        assert len(read.rows) + read.rejected == read.found
        json.dumps([dict(row) for row in read.rows], allow_nan=False).encode()
