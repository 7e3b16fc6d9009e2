"""Feeds and answers for the tests of the parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perennial.config import Config
from perennial.config_file import load
from perennial.config_web import Feed, WebSource
from perennial.data.answer import Parsed
from perennial.data.parse import parser

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
ADDRESS = "https://example.org/cars/?page=2"


def feed(read: dict[str, Any], fields: dict[str, dict[str, Any]], **walk: Any) -> Feed:
    """A feed of result pages, keyed by its first field."""
    steps = {"kind": "pages", "start": ["/"], **walk}
    return Feed.model_validate(
        {
            "walk": steps,
            "read": read,
            "fields": fields,
            "key": [next(iter(fields))],
            "base_url": "https://example.org",
        }
    )


def html(fields: dict[str, dict[str, Any]], rows: str = ".row", **walk: Any) -> Feed:
    """A feed of pages whose rows are elements."""
    return feed({"kind": "html", "rows": {"css": rows}}, fields, **walk)


def parsed(feed: Feed, body: bytes | str, content_type: str = "", url: str = ADDRESS) -> Parsed:
    """What the feed's parser reads from an answer."""
    return parser(feed).parse(body.encode() if isinstance(body, str) else body, content_type, url)


def cell(rule: dict[str, Any], text: str) -> Any:
    """The value that a rule reads from the text of an element (given as HTML)."""
    rows = parsed(html({"value": {"css": "b", **rule}}), f"<div class=row><b>{text}</b></div>").rows
    return rows[0]["value"] if rows else "rejected"


def site(name: str) -> Feed:
    """The one feed of a config under configs/sites."""
    config = load(ROOT / "configs" / "sites" / f"{name}.yaml", Config).config
    assert isinstance(config.source, WebSource)
    return config.source.feeds["listings"]
