"""Threads that ask a service without a pause."""

from __future__ import annotations

import threading
from typing import Self
from urllib.parse import urlsplit

PATIENCE_S = 60


class Callers:
    """Callers that ask until the block ends; `ask` is one of them, given its number, and returns once `over` is set.

    Attributes:
        host: host and port of the service.
        over: set when the block ends.
        lock: to be held by a caller that notes what it got.
    """

    def __init__(self, url: str, callers: int) -> None:
        self.host = urlsplit(url).netloc
        self.over = threading.Event()
        self.lock = threading.Lock()
        self._threads = [threading.Thread(target=self.ask, args=(n,), daemon=True) for n in range(callers)]

    def ask(self, caller: int) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
