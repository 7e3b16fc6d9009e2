"""A site in a process of its own, that keeps count of what it is asked; `python tests/crawl_site.py` prints its port.

Result pages that link to one another, events in windows of time, pages that are counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

ROOT = Path(__file__).resolve().parent.parent
PAGES, ITEMS, LINKS = 60, 8, 5
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
EVENTS = [EPOCH + timedelta(minutes=37 * n) for n in range(1500)]
FULL = 100
LONGEST_DAYS = 20
COUNTED = 7


class Site:
    """What the pages say, and how often each was asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.settings: dict[str, str] = {}

    async def page(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        self.asked[f"page-{number}"] += 1
        await asyncio.sleep(float(self.settings.get("delay_s", "0")) * random.random())
        if str(number) in self.settings.get("broken", "").split(","):
            return web.Response(status=500)
        if not 1 <= number <= PAGES and not self.settings.get("endless"):
            return web.Response(status=404)
        body = _page(number, self.settings).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        headers = {} if self.settings.get("no_etags") else {"ETag": etag}
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)

    async def events(self, request: web.Request) -> web.Response:
        start, end = (_moment(request.query[name]) for name in ("start", "end"))
        self.asked[f"events {request.query_string}"] += 1
        if request.query["start"] == self.settings.get("refused_start"):
            return web.Response(status=403)
        if end - start > timedelta(days=LONGEST_DAYS):
            return web.Response(status=400, text="too long")
        last = _moment(self.settings.get("now", "2030-01-01T00:00:00"))
        found = [
            {"id": str(n), "time": time.isoformat(), "size": n % 90 / 10}
            for n, time in enumerate(EVENTS)
            if start <= time <= min(end, last)
        ]
        if updated := request.query.get("updatedafter"):
            found = [event for event in found if int(event["id"]) % 100 == 0] if _moment(updated) else found
        return web.json_response({"events": found[:FULL]})

    async def counted(self, request: web.Request) -> web.Response:
        page = int(request.query["page"])
        self.asked[f"counted-{page}"] += 1
        ending = self.settings.get("ending", "empty")
        if page > COUNTED and ending == "status":
            return web.Response(status=404)
        page = min(page, COUNTED) if ending == "repeat" else page
        rows = [{"id": f"{page}-{n}"} for n in range(5)] if page <= COUNTED else []
        text = "[{" if str(page) in self.settings.get("broken", "").split(",") else json.dumps(rows)
        return web.Response(text=text, content_type="application/json")

    async def set(self, request: web.Request) -> web.Response:
        self.settings, self.asked = dict(request.query), Counter()
        return web.Response()

    async def count(self, _: web.Request) -> web.Response:
        return web.json_response(self.asked)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def pager(number: int) -> list[int]:
    """The pages that a page links to, in an order that is not theirs."""
    ahead = [number + n for n in range(1, LINKS + 1)]
    random.Random(number).shuffle(ahead)
    return [max(1, number - 1), *ahead]


def _page(number: int, settings: dict[str, str]) -> str:
    """Items whose prices depend on the edition; the last one of every page is the first of the next."""
    edition = settings.get("edition", "1")
    items = "".join(
        f'<li data-id="{i}"><b class="price">£{1000 + i * 7 + int(edition):,}</b><i>fuel {i % 3}</i></li>'
        for i in range((number - 1) * (ITEMS - 1), number * (ITEMS - 1) + 1)
    )
    links = "".join(
        f'<a href="page-{n}.html?sid={number}#top">{n}</a>'
        for n in pager(number)
        if n <= PAGES or settings.get("endless")
    )
    away = '<a href="http://127.0.0.1:9/page-1.html">partner</a>'
    noise = random.Random(number).randbytes(2000).hex()
    return f"<html><body><ul>{items}</ul><nav>{links}{away}</nav><p>{noise}</p></body></html>"


def source(base: str, **feeds: dict[str, Any]) -> dict[str, Any]:
    """A source of the given feeds, politeness off."""
    pace = {"robots": False, "requests_per_s": 0, "at_once": 8, "retries": 0, "breaker_failures": 1000}
    return {
        "kind": "web",
        "pace": pace,
        "feeds": {name: {"base_url": base, **feed} for name, feed in feeds.items()},
    }


def cars(*fields: str, **walk: Any) -> dict[str, Any]:
    """The feed of the result pages."""
    rules = {
        "id": {"css": "::attr(data-id)"},
        "price": {"css": "b.price", "parse": "number"},
        "fuel": {"css": "i", "regex": r"fuel (\d)", "parse": "integer"},
    }
    following = {"next": {"css": "nav a"}, "drop_parameters": ["sid"]}
    return {
        "walk": {"kind": "pages", "start": ["page-1.html"], **following, **walk},
        "read": {"kind": "html", "rows": {"css": "li"}},
        "fields": {name: rules[name] for name in fields or rules},
        "key": ["id"],
    }


def events(**walk: Any) -> dict[str, Any]:
    """The feed of events in windows of time."""
    return {
        "walk": {
            "kind": "windows",
            "url": "events?start={start}&end={end}",
            "since": EPOCH.isoformat(),
            "until": (EVENTS[-1] + timedelta(hours=1)).isoformat(),
            "days": 15,
            "most_rows": FULL,
            **walk,
        },
        "read": {"kind": "json", "rows": "events"},
        "fields": {
            "id": {"path": "id"},
            "time": {"path": "time", "parse": "time"},
            "size": {"path": "size", "parse": "number"},
        },
        "key": ["id"],
        "event_time": "time",
    }


def counted(**walk: Any) -> dict[str, Any]:
    """The feed of counted pages."""
    return {
        "walk": {"kind": "pages", "start": ["counted?page={page}"], **walk},
        "read": {"kind": "json"},
        "fields": {"id": {"path": "id"}},
        "key": ["id"],
    }


class Running:
    """A site that runs."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"

    def set(self, **settings: object) -> None:
        """Changes how the site behaves, and starts counting anew."""
        self._get("/set?" + urllib.parse.urlencode(settings))

    def asked(self) -> dict[str, int]:
        """How often each page was asked since `set`."""
        counts: dict[str, int] = json.loads(self._get("/count"))
        return counts

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.base + path, timeout=30) as answer:
            body: bytes = answer.read()
        return body


@contextmanager
def running() -> Iterator[Running]:
    """The site in a process of its own, until the end of the block."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Running(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait(timeout=10)


async def main() -> None:
    """Serves until it is killed, or whoever started it is gone."""
    site = Site()
    app = web.Application()
    app.router.add_get(r"/page-{number:-?\d+}.html", site.page)
    app.router.add_get("/events", site.events)
    app.router.add_get("/counted", site.counted)
    app.router.add_get("/set", site.set)
    app.router.add_get("/count", site.count)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    print(runner.addresses[0][1], flush=True)
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main())
