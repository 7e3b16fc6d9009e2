"""`crawl_once.py FOLDER SOURCE_JSON`: one crawl in a process of its own, to be killed; prints its facts."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from perennial.config_web import WebSource
from perennial.data.crawl import crawl
from perennial.errors import PerennialError


def main(folder: str, source: str) -> None:
    """Crawls; a named error ends the process with its sentence."""
    try:
        done = asyncio.run(
            crawl(WebSource.model_validate_json(source), Path(folder), lambda: datetime.now(UTC))
        )
    except PerennialError as error:
        sys.exit(str(error))
    for facts in done.facts:
        print(facts.model_dump_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
