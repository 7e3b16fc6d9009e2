"""Scrapy: `with_scrapy.py BASE_URL` follows every page, prints pages and items as JSON."""

import json
import sys

import scrapy
from fields import FIELDS, FIRST, ITEM, NEXT
from scrapy.crawler import CrawlerProcess

base = sys.argv[1]
counts = {"pages": 0, "items": 0}


class Count:
    """Counts what the spider yields."""

    def process_item(self, item, spider=None):
        """Takes one item."""
        counts["items"] += 1
        return item


class Listings(scrapy.Spider):
    """Reads the items of a page and follows its pager."""

    name = "listings"
    start_urls = [base + FIRST]  # noqa: RUF012

    def parse(self, response):
        """Items, then links."""
        counts["pages"] += 1
        for item in response.css(ITEM):
            yield {name: item.css(selector).get() for name, selector in FIELDS.items()}
        for link in response.css(NEXT).getall():
            yield response.follow(link, self.parse)


process = CrawlerProcess(
    {
        "LOG_LEVEL": "ERROR",
        "ROBOTSTXT_OBEY": False,
        "CONCURRENT_REQUESTS": 16,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
        "DOWNLOAD_DELAY": 0,
        "TELNETCONSOLE_ENABLED": False,
        "ITEM_PIPELINES": {Count: 1},
    }
)
process.crawl(Listings)
process.start()
print(json.dumps(counts))
