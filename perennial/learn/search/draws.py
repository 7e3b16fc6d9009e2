"""What a search tries: every candidate as it is, then random draws from the search spaces in turns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from perennial.learn.blending import BEST_COUNT, FEWEST_MEMBERS, best_members, is_open
from perennial.learn.candidates import kind_of
from perennial.learn.search.runner import Draw
from perennial.learn.spaces import Distribution, draw

if TYPE_CHECKING:
    from perennial.config import Candidate, Learn
    from perennial.evidence import Trial

REDRAWS = 20
"""How often a draw that was tried before is drawn again, before the candidate's space counts as used up."""


class Once:
    """Tells whether a draw is new."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def is_new(self, draw: Draw) -> bool:
        """True the first time that a draw is shown."""
        key = json.dumps(draw, sort_keys=True)
        fresh = key not in self._seen
        self._seen.add(key)
        return fresh


def fixed_of(candidate: Candidate) -> dict[str, Any]:
    """The parameters of a candidate as it stands in the config."""
    return {**kind_of(candidate.name).defaults, **candidate.parameters}


def open_space(candidate: Candidate) -> Mapping[str, Distribution]:
    """What the config leaves open of a candidate's search space."""
    space = kind_of(candidate.name).space
    return {name: values for name, values in space.items() if name not in candidate.parameters}


def fixed_draws(learn: Learn, once: Once) -> list[Draw]:
    """Every candidate with its fixed parameters, the default first; each combination once.

    A blend of the best trials waits for these (see `blend_draws`).
    """
    draws = [Draw(candidate.name, fixed_of(candidate)) for candidate in learn.candidates]
    return [one for one in draws if not is_open(*one) and once.is_new(one)]


def blend_draws(learn: Learn, once: Once, trials: Sequence[Trial]) -> list[Draw]:
    """The blends of the best trials that the config asks for; none where there are fewer than two trials."""
    draws = []
    for candidate in learn.candidates:
        parameters = fixed_of(candidate)
        if is_open(candidate.name, parameters):
            members = best_members(trials, int(parameters.pop("count", BEST_COUNT)))
            draws.append(Draw(candidate.name, {**parameters, "members": members}))
    enough = [one for one in draws if len(one.parameters["members"]) >= FEWEST_MEMBERS]
    return [one for one in enough if once.is_new(one)]


def random_draws(learn: Learn, once: Once, seed: int) -> Iterator[Draw]:
    """Draws of all candidates in turns; each depends on the seed, the candidate and its number alone."""
    for number in range(max(candidate.trials for candidate in learn.candidates)):
        for i, candidate in enumerate(learn.candidates):
            space = open_space(candidate)
            if number >= candidate.trials or not space:
                continue
            rng = np.random.default_rng([seed, crc32(candidate.name.encode()), i, number])
            for _ in range(REDRAWS):
                one = Draw(candidate.name, {**fixed_of(candidate), **draw(space, rng)})
                if once.is_new(one):
                    yield one
                    break
