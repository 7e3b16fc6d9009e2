"""Successive halving: all draws on few rows, the better ones on more, the best on all.

Karnin, Koren and Somekh 2013; Jamieson and Talwalkar 2016. A round keeps one draw in `factor` and gives it
`factor` times the rows, so that every round costs about as much as any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from perennial.learn.search.runner import Draw, Job, Runner

if TYPE_CHECKING:
    from perennial.config_search import HalvingSearch
    from perennial.evidence import Trial


class Round(NamedTuple):
    """A round on a share of the rows, after which so many draws go on."""

    share: float
    kept: int


class Halved(NamedTuple):
    """The trials on all rows, the default's first, and those that were given up before, round by round."""

    trials: list[Trial]
    early: list[Trial]


def rounds(draws: int, rows: int, rules: HalvingSearch) -> list[Round]:
    """The rounds before the last, which is on all rows.

    There are as many as leave a draw for the last, and `rules.least_rows` of the rows for the first.

    >>> from perennial.config_search import HalvingSearch
    >>> [(round(1 / share), kept) for share, kept in rounds(19, 90_000, HalvingSearch(factor=4))]
    [(16, 4), (4, 1)]
    """
    factor = rules.factor
    by_draws = math.floor(math.log(max(draws, 1), factor) + 1e-9)
    by_rows = math.floor(math.log(max(rows / rules.least_rows, 1.0), factor) + 1e-9)
    first = min(by_draws, by_rows)
    return [
        Round(factor ** (number - first), math.floor(draws / factor ** (number + 1) + 1e-9))
        for number in range(first)
    ]


def halving(draws: Sequence[Draw], runner: Runner, rules: HalvingSearch) -> Halved:
    """The default on all rows, whatever comes, and rounds of all other draws (see `rounds`).

    What replaces the default was so compared with it on all rows. Where the budget runs out in a round, no
    later one begins.
    """
    able = list(draws)
    rows = min(len(fitted) for fitted, _ in runner.problem.folds)
    trials: list[Trial] = []
    early: list[Trial] = []
    while able and not trials:
        default, *alive = able
        plan = rounds(len(alive), rows, rules)
        runner.planned = len(runner.folds) * (1 + len(alive) + sum(kept for _, kept in plan))
        first = [Job(one, runner.folds, plan[0].share if plan else 1.0) for one in alive]
        # The default's long fits go first, and short ones of the first round fill up what they leave idle.
        found, *done = runner.run([Job(default, runner.folds), *first])
        trials = [found] if found is not None else []
        able = [one for one in alive if one.candidate not in runner.missing]
    for number, (_, kept) in enumerate(plan):
        ranked = sorted(
            ((trial, one) for one, trial in zip(alive, done, strict=True) if trial is not None),
            key=lambda pair: pair[0].score,
        )
        kept = 0 if runner.exhausted else kept
        early += [trial for trial, _ in ranked[kept:]]
        going = [one for _, one in ranked[:kept]]
        alive = [one for one in alive if one in going]
        share = plan[number + 1].share if number + 1 < len(plan) else 1.0
        done = runner.run([Job(one, runner.folds, share) for one in alive])
    return Halved([*trials, *(trial for trial in done if trial is not None)], early)
