"""What looks after the journal beside a worker's answers: the keeper of its limits, and the alarm."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bento.alarm import Alarm, people
from bento.answering import Answering
from bento.keeper import Keeper
from bento.prune import ADDRESS, journal_of, limits
from bento.record import OFF, Recorder
from bento.watch import Standing
from perennial.home import home
from perennial.live.journal.store import Store


class Minding:
    """The threads of one worker that look after the journal; none where there is no journal."""

    def __init__(self, *minders: Keeper | Alarm) -> None:
        self._minders = minders

    def start(self) -> None:
        """Start them."""
        for minder in self._minders:
            minder.start()

    def stop(self) -> None:
        """End them; blocks for a moment."""
        for minder in self._minders:
            minder.stop()


def check(environment: Mapping[str, str]) -> None:
    """Return if an environment's settings can be used; raises InputError. Nothing is opened."""
    if environment.get(ADDRESS) != OFF:
        journal_of("system", environment)
    limits(environment)
    people(environment)


def minding(
    recorder: Recorder | None, standing: Callable[[], Standing], environment: Mapping[str, str]
) -> Minding:
    """What an environment asks for (see `limits` and `people`); raises InputError."""
    allowed, told = limits(environment), people(environment)
    if recorder is None:
        return Minding()

    def store() -> Store | None:
        state = standing().state
        return recorder.store(state.names["model"]) if isinstance(state, Answering) else None

    return Minding(Keeper(store, allowed.every_s), Alarm(recorder.trouble, told, home(environment).incidents))
