"""The least that can be done: aiohttp, lxml and a set of addresses; nothing is stored, checked or resumed.

`bare.py BASE_URL` prints pages and items as JSON.
"""

import asyncio
import json
import sys
from urllib.parse import urljoin

import aiohttp
from lxml import html
from lxml.cssselect import CSSSelector

from benchmarks.contestants.fields import FIELDS, FIRST, ITEM, NEXT


def compiled(selector: str) -> tuple[CSSSelector | None, str]:
    """The selector and, after `::attr`, the name of the attribute."""
    css, _, rest = selector.partition("::")
    return CSSSelector(css) if css else None, rest.removeprefix("attr(").rstrip(")") if "attr" in rest else ""


ITEMS, (LINKS, _) = CSSSelector(ITEM), compiled(NEXT)
RULES = {name: compiled(selector) for name, selector in FIELDS.items()}


def read(body: bytes) -> tuple[list[dict[str, str | None]], list[str]]:
    """Items and links of a page."""
    tree = html.document_fromstring(body)
    items = []
    for item in ITEMS(tree):
        values = {}
        for name, (find, attribute) in RULES.items():
            found = find(item) if find else [item]
            values[name] = (found[0].get(attribute) if attribute else found[0].text) if found else None
        items.append(values)
    return items, [link.get("href") for link in LINKS(tree)]


async def main(base: str) -> None:
    """Sixteen requests at once until no link is new."""
    first = base + FIRST
    seen, queue = {first}, asyncio.Queue[str]()
    queue.put_nowait(first)
    counts = {"pages": 0, "items": 0}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=16)) as session:

        async def work() -> None:
            while True:
                url = await queue.get()
                async with session.get(url) as response:
                    items, links = read(await response.read())
                counts["pages"] += 1
                counts["items"] += len(items)
                for link in (urljoin(url, link) for link in links):
                    if link not in seen:
                        seen.add(link)
                        queue.put_nowait(link)
                queue.task_done()

        workers = [asyncio.create_task(work()) for _ in range(16)]
        await queue.join()
        for worker in workers:
            worker.cancel()
    print(json.dumps(counts))


asyncio.run(main(sys.argv[1]))
