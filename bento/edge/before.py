"""The release that a device falls back to where the one that is asked cannot forecast."""

from __future__ import annotations

from bento.edge.agent import Agent
from bento.edge.slots import Device, other
from perennial.live import ledger
from perennial.live.ledger import FolderStore
from perennial.live.load import load_predictor
from perennial.live.predict import Predictor


class Before:
    """Loads the release in the other slot when it is first wanted, and keeps it."""

    def __init__(self, agent: Agent, device: Device) -> None:
        self._agent, self._device = agent, device
        self._loaded: Predictor | None = None

    def __call__(self, digest: str) -> Predictor | None:
        """The release before the one whose bundle has this digest; None where there is none.

        Before one on trial stands the confirmed one; before that, the one that was confirmed here before it, where
        the other slot still holds it. A release that the ledger was rolled back from does not count.

        Raises:
            PerennialError: it cannot be loaded, or the ledger cannot be read.
        """
        confirmed = self._agent.confirmed
        is_on_trial = confirmed is not None and confirmed.digest != digest
        found = confirmed.predictor if confirmed is not None and is_on_trial else self._beside()
        if found is None:
            return None
        barred = ledger.barred(ledger.entries(FolderStore(self._device.ledger)))
        return None if found.bundle.manifest.version in barred else found

    def _beside(self) -> Predictor | None:
        state = self._agent.state
        if not state.before or state.before in state.refused:
            self._loaded = None
            return None
        if self._loaded is None or self._loaded.bundle.digest != state.before:
            self._loaded = None
            opened = self._device.bundle(other(state.slot))
            if opened.digest != state.before:
                return None
            self._loaded = load_predictor(opened)
        return self._loaded
