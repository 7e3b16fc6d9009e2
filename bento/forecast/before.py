"""The champion before this one, for forecasts that the champion cannot make."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from bento.answering import Answering
from bento.state import Settings
from bento.watch import Standing, prepared
from perennial.live import ledger, shelf


class Before:
    """Loads the release to fall back to when it is first wanted, and keeps it.

    Args:
        chosen: where releases lie.
        standing: how the worker stands; its warm release is taken where it is the right one.
    """

    def __init__(self, chosen: Settings, standing: Callable[[], Standing]) -> None:
        self._chosen, self._standing = chosen, standing
        self._loaded: Answering | None = None
        self._one_at_a_time = Lock()

    def __call__(self, answering: Answering) -> Answering | None:
        """The release that the ledger falls back to from this one; None where there is none.

        Raises:
            PerennialError: it cannot be loaded, or the ledger cannot be read.
        """
        entry = ledger.previous(shelf.history(self._chosen.releases, answering.names["model"]))
        if entry is None or entry.facts.bundle_digest == answering.ready.bundle.digest:
            return None
        with self._one_at_a_time:
            for known in (self._standing().warm, self._loaded):
                if known is not None and known.ready.bundle.digest == entry.facts.bundle_digest:
                    return known
            self._loaded = prepared(self._chosen, entry)
            return self._loaded
