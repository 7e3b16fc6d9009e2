"""What a source's hosts answer, stored before it is read."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Annotated

from zenml import step

from perennial.config_web import WebSource
from perennial.data import crawl
from perennial.evidence import Collection
from perennial.home import home
from steps.progress import crawl_progress

logger = logging.getLogger(__name__)


@step(enable_cache=False)
def gather(system: str, source: WebSource, manner: dict[str, str]) -> Annotated[Collection, "gathered"]:
    """What one collection brought, feed by feed; nothing of it is in the dataset yet.

    `manner` may hold `reparse`, `record` or `replay` (see `commands/collect.py`).
    """
    folder = home().collections / system
    with crawl_progress(system) as progress, crawl.asking(source, folder, manner, now) as asker:
        crawled = asyncio.run(crawl.crawl(source, folder, now, asker, progress, "reparse" in manner))
    if crawled.resumed:
        logger.info("collection %d had been interrupted, and was gone on with", crawled.number)
    return crawled.collection(system, now())


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)
