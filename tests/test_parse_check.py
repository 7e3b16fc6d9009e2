"""What is wrong in a feed is told by field before anything is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from perennial.data.parse import check, parser
from perennial.errors import ConfigError
from tests.parsing import feed, html

PATH = {"v": {"path": "v"}}


@pytest.mark.parametrize(
    ("rule", "where", "problem"),
    [
        ({"css": "span["}, "fields.v.css", "CSS selector"),
        ({"css": "span::before"}, "fields.v.css", "::text or ::attr"),
        ({"css": "span::attr()"}, "fields.v.css", "::text or ::attr"),
        ({"xpath": ".//span["}, "fields.v.xpath", "XPath expression"),
        ({"xpath": ".//span[lower-case(.)='a']"}, "fields.v.xpath", "found lower-case()"),
        ({"xpath": ".//x:span"}, "fields.v.xpath", "XPath expression"),
        ({"xpath": "//span"}, "fields.v.xpath", "at: page"),
        ({"path": "v"}, "fields.v.path", "css or xpath"),
        ({"column": "v"}, "fields.v.column", "css or xpath"),
        ({"css": "b", "regex": "(a"}, "fields.v.regex", "regular expression"),
        ({"css": "b", "parse": "time", "format": "%Q"}, "fields.v.format", "bad directive"),
        ({"css": "b", "parse": "time", "zone": "Europe/Berlim"}, "fields.v.zone", "time zone"),
        ({"css": "b", "minimum": 1}, "fields.v.minimum", "number or integer"),
        ({"css": "b", "parse": "number", "zone": "Europe/Paris"}, "fields.v.zone", "parse: time"),
        ({"css": "b", "parse": "number", "minimum": 2, "maximum": 1}, "fields.v.minimum", "at most 1"),
    ],
)
def test_a_wrong_rule_is_named_with_its_field(rule: dict[str, Any], where: str, problem: str) -> None:
    rules = html({"v": rule, "good": {"css": "b"}})
    found = check(rules)
    assert [violation.where for violation in found] == [where]
    assert problem in found[0].problem
    with pytest.raises(ConfigError, match=where):
        parser(rules)


@pytest.mark.parametrize(
    ("read", "fields", "walk", "where"),
    [
        ({"kind": "html", "rows": {"css": "]"}}, {"v": {"css": "b"}}, {}, "read.rows.css"),
        ({"kind": "html", "rows": {"css": "p::text"}}, {"v": {"css": "b"}}, {}, "read.rows.css"),
        ({"kind": "html", "rows": {"xpath": "count(//p)"}}, {"v": {"css": "b"}}, {}, "read.rows.xpath"),
        ({"kind": "html", "rows": {"path": "a["}}, PATH, {}, "read.rows.path"),
        ({"kind": "html", "rows": {"path": "a"}}, {"v": {"css": "b"}}, {}, "fields.v.css"),
        ({"kind": "html", "rows": {"path": "a"}, "script": "script["}, PATH, {}, "read.script"),
        (
            {"kind": "html", "rows": {"css": "p"}, "encoding": "utf-9"},
            {"v": {"css": "b"}},
            {},
            "read.encoding",
        ),
        (
            {"kind": "html", "rows": {"css": "p"}, "encoding": "rot13"},
            {"v": {"css": "b"}},
            {},
            "read.encoding",
        ),
        (
            {"kind": "html", "rows": {"css": "p"}},
            {"v": {"css": "b"}},
            {"next": {"css": "a["}},
            "walk.next.css",
        ),
        ({"kind": "json", "rows": "a["}, PATH, {}, "read.rows"),
        ({"kind": "json"}, {"v": {"path": "lenght(v)"}}, {}, "fields.v.path"),
        ({"kind": "json"}, {"v": {"path": "a[?lenght(v) > `1`]"}}, {}, "fields.v.path"),
        ({"kind": "json"}, {"v": {"css": "b"}}, {}, "fields.v.css"),
        ({"kind": "json"}, PATH, {"next": {"css": "a"}}, "walk.next"),
        ({"kind": "json_columns"}, {"v": {"column": "v"}}, {}, "fields.v.column"),
        ({"kind": "csv"}, PATH, {}, "fields.v"),
        ({"kind": "csv"}, {"v": {"column": "v", "at": "page"}}, {}, "fields.v.at"),
        ({"kind": "csv", "separator": "||"}, {"v": {"column": "v"}}, {}, "read.separator"),
        ({"kind": "csv", "encoding": "idna"}, {"v": {"column": "v"}}, {}, "read.encoding"),
    ],
)
def test_a_wrong_reading_is_named(
    read: dict[str, Any], fields: dict[str, Any], walk: dict[str, Any], where: str
) -> None:
    assert [violation.where for violation in check(feed(read, fields, **walk))] == [where]


def test_all_that_is_wrong_is_told_at_once() -> None:
    rules = html({"a": {"css": "["}, "b": {"xpath": "["}, "c": {"css": "b", "regex": "["}}, next={"css": "["})
    assert {violation.where for violation in check(rules)} == {
        "fields.a.css",
        "fields.b.xpath",
        "fields.c.regex",
        "walk.next.css",
    }
