"""Crawlee with Parsel: `with_crawlee.py BASE_URL` follows every page, prints pages and items as JSON."""

import asyncio
import json
import logging
import sys

from crawlee import ConcurrencySettings
from crawlee.configuration import Configuration
from crawlee.crawlers import ParselCrawler, ParselCrawlingContext
from crawlee.storage_clients import MemoryStorageClient
from fields import FIELDS, FIRST, ITEM, NEXT

base = sys.argv[1]
counts = {"pages": 0, "items": 0}


async def main() -> None:
    """Crawls the site with everything in memory and no limit on requests per minute."""
    crawler = ParselCrawler(
        configuration=Configuration(log_level="ERROR"),
        storage_client=MemoryStorageClient(),
        concurrency_settings=ConcurrencySettings(
            min_concurrency=16, max_concurrency=16, desired_concurrency=16
        ),
        configure_logging=False,
    )

    @crawler.router.default_handler
    async def handle(context: ParselCrawlingContext) -> None:
        counts["pages"] += 1
        for item in context.selector.css(ITEM):
            _ = {name: item.css(selector).get() for name, selector in FIELDS.items()}
            counts["items"] += 1
        await context.enqueue_links(selector=NEXT.partition("::")[0])

    await crawler.run([base + FIRST])


logging.disable(logging.WARNING)
asyncio.run(main())
print(json.dumps(counts))
