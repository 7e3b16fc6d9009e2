"""Follows the ledger: a new release or challenger is checked, tried on its golden rows, then taken or left out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from bento.answering import Answering
from bento.state import NotReady, Settings, champion_entry, only_system, released, settings
from perennial.errors import PerennialError
from perennial.live import golden, shelf
from perennial.live.ledger import Entry
from perennial.live.trial.book import Trial, current

logger = logging.getLogger("bento.service")

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0


@dataclass(frozen=True)
class Standing:
    """How a worker stands.

    Attributes:
        state: what answers.
        warm: the release that answered before, loaded still; None where there is none.
        trouble: why the newest release does not answer here, in one sentence; "" where it does.
        swaps: how often one release took another's place.
        failures: how often a release was not taken.
        trial: the trial that runs, whether or not its challenger can answer.
        challenger: what is on trial beside `state`; None where nothing is, or it cannot answer.
        trial_trouble: why the challenger does not answer here, in one sentence; "" where it does, or none should.
    """

    state: Answering | NotReady
    warm: Answering | None = None
    trouble: str = ""
    swaps: int = 0
    failures: int = 0
    trial: Trial | None = None
    challenger: Answering | None = None
    trial_trouble: str = ""


def prepared(chosen: Settings, entry: Entry) -> Answering:
    """The release of a ledger's entry, ready to answer; raises PerennialError where it must not."""
    answering = Answering(released(chosen, entry))
    answering.document, answering.facts  # noqa: B018  (made here, so that no request waits for them)
    return answering


class Watch:
    """One worker's view of the ledger.

    `standing` is replaced as a whole, by one assignment: a request that took it goes on with the release that it
    began with, and none ever sees half of a swap.

    Args:
        chosen: where releases lie.
        load: makes a release ready; raises PerennialError where it must not answer.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        chosen: Settings,
        load: Callable[[Settings, Entry], Answering] = prepared,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.standing = Standing(
            NotReady("expected a release to be looked for first, found that none was yet")
        )
        self._chosen, self._load, self._clock = chosen, load, clock
        self._seen: tuple[str, ...] | None = None
        self._retry_at, self._retry_s = 0.0, FIRST_RETRY_S
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, looked: Callable[[bool], None] = lambda _: None) -> None:
        """Looks at the ledger again and again from now on, in a thread of its own.

        `looked` is called there after every look, and is told whether another release answers now, or is on trial.
        """

        def follow() -> None:
            while not self._stopped.wait(self._chosen.watch_s):
                before = self.standing
                self.look()
                now = self.standing
                looked(now.state is not before.state or now.challenger is not before.challenger)

        self._thread = threading.Thread(target=follow, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; a release that is being loaded is not swapped in any more."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Takes what the ledger says, where it says something new; where that fails, what answers goes on.

        After a failure the same release is tried again, at first after `FIRST_RETRY_S`, then at twice the time
        each, for a bundle may still be on its way.
        """
        if reason := _failure(self._look):
            self._failed(reason)

    def _look(self) -> None:
        now = self.standing
        is_due = bool(now.trouble or now.trial_trouble) and self._clock() >= self._retry_at
        system = self._chosen.system or only_system(self._chosen.releases)
        names = tuple(sorted(shelf.store(self._chosen.releases, system).list()))
        if names == self._seen and not is_due:
            return
        if names != self._seen:
            self._retry_s = FIRST_RETRY_S
        self._seen = names
        history = shelf.history(self._chosen.releases, system)
        trial = current(history)
        loaded = (now.warm, now.challenger)
        if trial != now.trial:
            self.standing = replace(now, trial=trial, challenger=None, trial_trouble="")
        self._follow(champion_entry(self._chosen.releases, system), loaded)
        self._chosen = replace(self._chosen, system=system)
        if trial is not None and self.standing.challenger is None:
            self._try(trial, history[trial.number - 1])

    def _follow(self, entry: Entry, loaded: Sequence[Answering | None]) -> None:
        """Have a release answer; where it is among the `loaded` ones, only its golden rows are repeated."""
        now = self.standing
        if _is(now.state, entry):
            self.standing = replace(now, trouble="")
            return
        fresh = next((one for one in loaded if one is not None and _is(one, entry)), None)
        if fresh is not None:
            golden.replay(fresh.ready.predictor, fresh.ready.bundle.golden)
        else:
            fresh = self._load(self._chosen, entry)
        if self._stopped.is_set():
            return
        before = now.state if isinstance(now.state, Answering) else None
        swaps = now.swaps + (before is not None)
        self.standing = replace(now, state=fresh, warm=before, trouble="", swaps=swaps)
        logger.info("%s %s answers from now on", entry.facts.system, entry.facts.version)

    def _try(self, trial: Trial, entry: Entry) -> None:
        """Have a trial's challenger answer beside the champion; where that fails, the champion answers all."""
        fresh: list[Answering] = []
        reason = _failure(lambda: fresh.append(self._load(self._chosen, entry)))
        if self._stopped.is_set():
            return
        if reason:
            self._later()
            if reason != self.standing.trial_trouble:
                logger.error("the challenger of %s does not answer: %s", trial.name, reason)
            self.standing = replace(self.standing, trial_trouble=reason)
            return
        self.standing = replace(self.standing, challenger=fresh[0], trial_trouble="")
        logger.info("%s %s is on trial from now on", entry.facts.system, entry.facts.version)

    def _later(self) -> None:
        self._retry_at = self._clock() + self._retry_s
        self._retry_s = min(2.0 * self._retry_s, LAST_RETRY_S)

    def _failed(self, reason: str) -> None:
        now = self.standing
        self._later()
        if reason != now.trouble:
            logger.error("the newest release is not taken: %s", reason)
        state = NotReady(reason) if isinstance(now.state, NotReady) else now.state
        self.standing = replace(now, state=state, trouble=reason, failures=now.failures + 1)


class Still:
    """A watch of nothing: the settings are wrong, and only another start can mend that."""

    def __init__(self, reason: str) -> None:
        self.standing = Standing(NotReady(reason), trouble=reason)

    def start(self, looked: Callable[[bool], None] = lambda _: None) -> None:
        """Does nothing."""

    def stop(self) -> None:
        """Does nothing."""


def watching(environment: Mapping[str, str]) -> Watch | Still:
    """A watch with the settings of an environment, which has looked once."""
    try:
        watch = Watch(settings(environment))
    except PerennialError as error:
        logger.error("not ready: %s", error)
        return Still(str(error))
    watch.look()
    return watch


def _is(state: Answering | NotReady, entry: Entry) -> bool:
    return isinstance(state, Answering) and state.ready.bundle.digest == entry.facts.bundle_digest


def _failure(take: Callable[[], object]) -> str:
    """Why a release could not be taken, in one sentence; "" where it was."""
    try:
        take()
    except PerennialError as error:
        return str(error)
    except Exception as error:
        # Whatever a damaged release raises, what answers goes on answering.
        logger.exception("a release could not be loaded")
        return f"the release could not be loaded ({type(error).__name__}); see the service's log"
    return ""
