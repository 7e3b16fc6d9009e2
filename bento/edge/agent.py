"""Which release a device answers with: the confirmed one, or the one on trial until that fails or is confirmed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from bento.asked import Refused
from bento.edge.pull import PullError, check_order, fetch_bundle, follow_ledger
from bento.edge.serving import Reply, Serving, reply_of
from bento.edge.slots import Device, Refusal, State, Trial, other, runtime
from bento.edge.source import Source
from perennial.errors import BundleError, PerennialError, TableError
from perennial.live import golden, ledger
from perennial.live.ledger import FolderStore
from perennial.live.load import load_predictor

logger = logging.getLogger("bento.edge")
T = TypeVar("T")

MAX_STRIKES = 3
OUTCOMES = (
    *("current", "new", "refused", "none", "unreachable", "ledger", "downgrade", "unsigned", "corrupt"),
    *("incompatible", "self_test", "disk"),
)


class Agent:
    """The device's model. `look` belongs to one thread; everything may be called beside it.

    Args:
        device: where it keeps things.
        source: where releases come from.
        confirm_after: predictions without an error after which a release on trial is confirmed.
        clock: seconds since 1970.
    """

    def __init__(
        self, device: Device, source: Source, confirm_after: int, clock: Callable[[], float]
    ) -> None:
        self._device, self._source, self._confirm_after, self._clock = device, source, confirm_after, clock
        self._lock = threading.RLock()
        self._confirmed: Serving | None = None
        self.serving: Serving | None = None
        self.trouble = ""
        self.head = 0
        self.pulls = dict.fromkeys(OUTCOMES, 0)
        self.state = State()
        self.is_kept = True

    def start(self) -> None:
        """Answers with what the disk holds, as far as it is whole; needs no network."""
        self._device.root.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self.state = self._device.load()
            self.head = len(FolderStore(self._device.ledger).list())
            self._start_confirmed()
            trial = self.state.trial
            if trial is None:
                return
            strikes = trial.strikes + trial.busy
            self._keep(trial=replace(trial, strikes=strikes, busy=False))
            if strikes >= MAX_STRIKES:
                self._give_up(f"the process died {strikes} times while it was at work")
                return
            try:
                self._try_out()
            except PullError as error:
                self.trouble = str(error)

    def look(self) -> str:
        """Asks the source what serves, and takes it; returns the outcome in one word. Never raises for the world."""
        try:
            outcome = self._follow()
        except PullError as error:
            outcome, self.trouble = error.outcome, str(error)
            logger.warning("%s: %s", outcome, error)
        except OSError as error:
            outcome, self.trouble = "disk", f"{self._device.root}: {error}; free space or mend the disk"
            logger.warning("%s", self.trouble)
        self.pulls[outcome] += 1
        return outcome

    def answer(self, rows: list[Any], max_rows: int) -> Reply:
        """The answers to the rows of a request; see `answered`. Raises TableError where they break the contract."""
        return self.answered(lambda serving: reply_of(serving, rows, max_rows))

    def answered(self, work: Callable[[Serving], T], is_proof: Callable[[T], bool] = lambda _: True) -> T:
        """What the release that answers makes of a request.

        A release on trial that fails is given up, and the confirmed one does the same work.

        Args:
            work: raises TableError or Refused where the request is wrong; whatever else it raises is the release's.
            is_proof: whether what came of it counts for a release on trial.

        Raises:
            BundleError: no release answers here.
        """
        serving = self.serving
        if serving is not None and not serving.on_trial:
            return work(serving)
        with self._lock:
            serving = self.serving
            if serving is None:
                raise BundleError(
                    self._device.root, self.trouble or "no release yet", "wait for the first pull"
                )
            trial = self.state.trial
            if trial is None:
                return work(serving)
            self._keep(trial=replace(trial, busy=True))
            try:
                reply = work(serving)
            except (TableError, Refused):
                self._keep(trial=trial)
                raise
            except Exception as error:
                logger.exception("%s failed on trial", trial.version)
                self._give_up(f"it failed a live prediction ({type(error).__name__}: {str(error)[:200]})")
                if self._confirmed is None:
                    raise
                return work(self._confirmed)
            self._passed(trial, int(is_proof(reply)))
            return reply

    @property
    def confirmed(self) -> Serving | None:
        """The release that a trial falls back to; None where there is none yet."""
        return self._confirmed

    def _follow(self) -> str:
        device, state = self._device, self.state
        chain = follow_ledger(self._source, device)
        self.head = len(chain)
        with self._lock:
            self._keep(contact=self._clock())
        entry = ledger.champion(chain)
        if entry is None:
            self.trouble = (
                f"{device.system}: expected a champion, found none; train and promote a model first"
            )
            return "none"
        digest, trial = entry.facts.bundle_digest, self.state.trial
        if self.serving is not None and self.serving.predictor.bundle.digest == digest:
            self.trouble = ""
            return "current"
        if self._confirmed is not None and self._confirmed.predictor.bundle.digest == digest:
            with self._lock:
                self._keep(trial=None)
                self.serving, self.trouble = self._confirmed, ""
            return "current"
        refusal = state.refused.get(digest)
        if refusal is not None and refusal.runtime == runtime():
            self.trouble = _given_up(device.system, refusal)
            return "refused"
        check_order(chain, entry, state)
        if trial is not None:
            with self._lock:
                self._keep(trial=None)
                self.serving = self._confirmed
        slot = other(self.state.slot)
        if not device.holds(slot, digest):
            fetch_bundle(self._source, device, entry, slot)
        version = entry.facts.version
        with self._lock:
            highest = max(self.state.highest, int(version[1:]))
            self._keep(trial=Trial(slot, digest, version), highest=highest)
            self._try_out()
        return "new"

    def _start_confirmed(self) -> None:
        """Loads the confirmed slot; where that is damaged the other counts, unless it is on trial or was given up."""
        first = self.state.slot
        if not first or self._loaded(first):
            return
        found = State() if self.state.trial else self._device.recovered(first, self.state)
        self._keep(slot=found.slot if found.slot and self._loaded(found.slot) else "")

    def _loaded(self, slot: str) -> bool:
        """Whether a slot answers from now on, its golden rows repeated."""
        try:
            predictor = load_predictor(self._device.bundle(slot))
        except PerennialError as error:
            self.trouble = str(error)
            logger.error("slot %s: %s", slot, error)
            return False
        self._confirmed = self.serving = Serving(predictor, slot, False)
        return True

    def _try_out(self) -> None:
        """Loads the release on trial and lets it repeat its golden rows; raises PullError where it fails.

        Where there is none to go back to, golden rows are all it needs.
        """
        trial = self.state.trial
        assert trial is not None
        try:
            opened = self._device.bundle(trial.slot)
        except BundleError as error:
            self._keep(trial=None)
            raise PullError("corrupt", str(error)) from error
        self._keep(trial=replace(trial, busy=True))
        outcome = "incompatible"
        try:
            predictor = load_predictor(opened, replay=False)
            outcome = "self_test"
            golden.replay(predictor, opened.golden)
        except PerennialError as error:
            self._give_up(str(error))
            raise PullError(outcome, self.trouble) from error
        except Exception as error:
            # Whatever a release raises, what answers goes on answering.
            logger.exception("%s could not be tried", trial.version)
            self._give_up(f"{type(error).__name__}: {str(error)[:200]}")
            raise PullError(outcome, self.trouble) from error
        self._keep(trial=trial)
        self.serving, self.trouble = Serving(predictor, trial.slot, True), ""
        logger.info("%s %s answers on trial", self._device.system, trial.version)
        if self._confirmed is None or not self._confirm_after:
            self._confirm()

    def _passed(self, trial: Trial, proofs: int) -> None:
        self._keep(trial=replace(trial, answered=trial.answered + proofs, busy=False))
        if trial.answered + proofs >= self._confirm_after:
            self._confirm()

    def _confirm(self) -> None:
        serving, trial = self.serving, self.state.trial
        assert serving is not None and trial is not None
        before = self._confirmed.digest if self._confirmed else ""
        self._keep(slot=trial.slot, trial=None, before=before)
        self._confirmed = self.serving = replace(serving, on_trial=False)
        logger.info("%s %s is confirmed", self._device.system, trial.version)

    def _give_up(self, why: str) -> None:
        """Back to the confirmed release; the one on trial is not tried again."""
        trial = self.state.trial
        assert trial is not None
        refusal = Refusal(trial.version, why, runtime())
        self._keep(
            trial=None,
            refused={**self.state.refused, trial.digest: refusal},
            returns=self.state.returns + 1,
        )
        self.serving = self._confirmed
        self.trouble = _given_up(self._device.system, refusal)
        logger.error("%s", self.trouble)

    def _keep(self, **changes: Any) -> None:
        """The state from now on. Where the disk does not take it, it counts until the next start."""
        self.state = replace(self.state, **changes)
        try:
            self._device.save(self.state)
            self.is_kept = True
        except OSError as error:
            self.is_kept = False
            logger.error(
                "%s: expected to write the state, found: %s; free space or mend the disk",
                self._device.root,
                error,
            )


def _given_up(system: str, refusal: Refusal) -> str:
    return f"{system} {refusal.version} was given up on this device: {refusal.why}"
