"""Perennial: `ours.py BASE_URL` crawls into ./state, answers and frontier stored; prints counts as JSON."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.contestants.fields import FIELDS, FIRST, ITEM, NEXT
from perennial.config_web import WebSource
from perennial.data.crawl import crawl

NUMBERS = {"price": {"parse": "number"}, "year": {"parse": "integer"}, "mileage": {"parse": "number"}}


def source(base: str) -> WebSource:
    """The generated site as a config would say it, politeness off."""
    fields = {name: {"css": css, **NUMBERS.get(name, {})} for name, css in FIELDS.items()}
    feed = {
        "base_url": base,
        "walk": {"kind": "pages", "start": [FIRST], "next": {"css": NEXT}},
        "read": {"kind": "html", "rows": {"css": ITEM}},
        "fields": fields,
        "key": ["id"],
    }
    pace = {"robots": False, "requests_per_s": 0, "at_once": 16}
    return WebSource.model_validate({"kind": "web", "pace": pace, "feeds": {"listings": feed}})


def main(base: str) -> None:
    """Crawls once into the working directory."""
    done = asyncio.run(crawl(source(base), Path("state"), lambda: datetime.now(UTC)))
    (facts,) = done.facts
    assert not facts.failed, facts.failed
    print(json.dumps({"pages": facts.requests, "items": facts.rows}))


main(sys.argv[1])
