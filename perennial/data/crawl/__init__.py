"""Collects feed by feed: walks, a frontier that survives kills, stored answers, rows in a fixed order."""

from perennial.data.crawl.engine import Advance, Progress
from perennial.data.crawl.gathered import rows
from perennial.data.crawl.run import Crawled, asking, crawl, finish

__all__ = ["Advance", "Crawled", "Progress", "asking", "crawl", "finish", "rows"]
