"""Tables to explore, and what is read off the page of an exploration."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from perennial.data.exploration.reading import Seen, read

ROOT = Path(__file__).resolve().parent.parent
EVIL = """</script><script>alert(1)</script>"'&<img src=x onerror=alert(2)>"""
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """The tags of a page, which must be balanced, and every address that it points to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]
        self.ids += [v or "" for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def records(rows: int = 2000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    happened = pd.Series(pd.date_range("2023-01-01", periods=rows, freq="h", tz="UTC"))
    return pd.DataFrame(
        {
            "key": [f"secret-{i}" for i in range(rows)],
            "event_time": happened,
            "available_at": happened + pd.to_timedelta(rng.exponential(5400, rows), unit="s"),
            "load_mw": rng.normal(50_000, 4000, rows),
            "zone": rng.choice(["north", "south"], rows),
            "note": [f"hush {i}" for i in range(rows)],
        }
    )


def column(values: Any) -> Seen:
    frame = pd.DataFrame({"x": values})
    return read(frame["x"], 0, "x", np.arange(len(frame)), None)
