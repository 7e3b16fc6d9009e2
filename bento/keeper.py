"""Has the journal pruned: once an hour, by one worker of all, and never in the way of an answer."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from perennial.errors import JournalError
from perennial.live.journal.store import Store

logger = logging.getLogger("bento.service")

ROOT = Path(__file__).resolve().parent.parent
FIRST_S, ENDING_S = 30.0, 5.0
"""Seconds to the first look, or the next one while there is no release that says whose journal it is; of an end."""


class Keeper:
    """Starts `bento.prune` again and again, in the worker whose store leads.

    Args:
        store: opens the journal, for this thread alone; None while it is not known whose it is.
        every_s: seconds between two looks.
    """

    def __init__(self, store: Callable[[], Store | None], every_s: float) -> None:
        self._open, self._every_s = store, every_s
        self._store: Store | None = None
        self._pruning: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="journal keeper", daemon=True)

    def start(self) -> None:
        """Look again and again from now on, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and what prunes; a batch that is not committed is deleted another time."""
        self._over.set()
        if self._pruning is not None:
            self._pruning.terminate()
        if self._thread.ident is not None:
            self._thread.join(ENDING_S)

    def look(self) -> bool:
        """Whether the journal was pruned here; not where another worker leads, or it cannot be reached."""
        self._store = self._store or self._open()
        if self._store is None:
            return False
        try:
            if not self._store.lead():
                return False
        except JournalError as error:
            logger.warning("the journal is not pruned now: %s", error)
            return False
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._pruning = subprocess.Popen(
            [sys.executable, "-m", "bento.prune", self._store.system],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
        )
        return self._pruning.wait() == 0

    def _follow(self) -> None:
        try:
            while not self._over.wait(self._every_s if self._store else min(FIRST_S, self._every_s)):
                self.look()
        finally:
            if self._store is not None:
                self._store.close()
