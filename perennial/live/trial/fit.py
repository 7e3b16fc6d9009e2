"""Whether a challenger can answer what the champion is asked, and be compared with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.live.answer import AnswerRule
from perennial.table import Column, Contract

if TYPE_CHECKING:
    from perennial.live.bundle import Bundle

KEPT_OF_A_VALUE = {"": 2, "hash": 1, "mask": 0}
"""How much a journal keeps of a value, by the column's privacy."""


def misfits(champion: Bundle, challenger: Bundle) -> list[str]:
    """What stands against a trial of these two, a phrase each; [] where every request of one suits the other."""
    return answer_misfits(champion.rule, challenger.rule) + request_misfits(
        champion.contract, challenger.contract
    )


def answer_misfits(champion: AnswerRule, challenger: AnswerRule) -> list[str]:
    """Why the answers of one are no answers of the other, or lack what callers read; [] where neither is so."""
    found = []
    for what in ("task", "target", "unit"):
        asked, offered = getattr(champion, what), getattr(challenger, what)
        if asked != offered:
            found.append(f"it answers the {what} {offered!r} and not {asked!r}")
    if set(champion.classes) != set(challenger.classes):
        found.append(f"it knows the classes {', '.join(sorted(challenger.classes))}")
    levels, own = (() if rule.interval is None else rule.interval.levels for rule in (champion, challenger))
    if levels[:1] != own[: len(levels[:1])] or not set(levels) <= set(own):
        found.append(f"its intervals are of {_shares(own)} and not of {_shares(levels)}")
    return found


def request_misfits(champion: Contract, challenger: Contract) -> list[str]:
    """Why rows that were sent for one contract cannot be answered under another; [] where they can.

    Ranges and categories do not count: a value outside of them is answered, with a flag.
    """
    asked, offered = ({c.name: c for c in contract.features} for contract in (champion, challenger))
    found = [f"it needs {name}, which callers do not send" for name in offered if name not in asked]
    for name, column in asked.items():
        if name not in offered:
            found.append(f"it does not know {name}")
        else:
            found += _column_misfits(column, offered[name])
    return found


def _column_misfits(asked: Column, offered: Column) -> list[str]:
    name = asked.name
    found = []
    if offered.kind != asked.kind and (asked.kind, offered.kind) != ("integer", "number"):
        found.append(f"its {name} is of the kind {offered.kind} and not {asked.kind}")
    if asked.nullable and not offered.nullable:
        found.append(f"its {name} must not be missing")
    if unknown := sorted(set(asked.aliases) - {name, *offered.aliases}):
        found.append(f"it does not know {name} as {unknown[0]}")
    if KEPT_OF_A_VALUE[offered.privacy] > KEPT_OF_A_VALUE[asked.privacy]:
        found.append(f"the journal would keep more of its {name}")
    return found


def _shares(levels: tuple[float, ...]) -> str:
    return " and ".join(f"{level:.4g}" for level in levels) or "no level"
