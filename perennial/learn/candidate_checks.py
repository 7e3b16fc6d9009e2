"""What is wrong with the candidates of a config, told before anything is fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perennial.errors import Violation, suggestion
from perennial.learn.blending import BEST, BLEND, FEWEST_MEMBERS, is_open
from perennial.learn.candidates import CANDIDATES
from perennial.live.answer import Task
from perennial.table import Column

if TYPE_CHECKING:
    from perennial.config import Learn


def check_candidates(
    learn: Learn, task: Task, features: Callable[[], Sequence[Column]] | None = None
) -> list[Violation]:
    """Everything that is wrong with the candidates of a config for this task; empty if nothing is.

    `features` gives the feature columns of the contract, where they are known; it is asked only where the config
    names any.
    """
    found = []
    if task == "classification":
        for name, plain in (("target_scale", "identity"), ("relative_to", None)):
            if getattr(learn, name) != plain:
                problem = f"expected {plain or 'none'} for {task}, found {getattr(learn, name)!r}"
                found.append(Violation(f"learn.{name}", problem))
    elif learn.relative_to is not None and features is not None:
        known = [column.name for column in features() if column.is_numeric]
        if learn.relative_to not in known:
            problem = f"expected a number among the features, found {learn.relative_to!r}"
            hint = suggestion(learn.relative_to, known)
            found.append(Violation("learn.relative_to", f"{problem}{hint}"))
    for i, candidate in enumerate(learn.candidates):
        found += _check(f"learn.candidates.{i}", candidate.name, candidate.parameters, task)
    if is_open(learn.candidates[0].name, learn.candidates[0].parameters):
        problem = "expected a default that is known before the search, found members: best; list it later"
        found.append(Violation("learn.candidates.0", problem))
    return found


def _check(where: str, name: str, parameters: Mapping[str, Any], task: Task) -> list[Violation]:
    """What is wrong with a candidate that stands at `where`."""
    able = [known for known, kind in CANDIDATES.items() if task in kind.build]
    if name not in able:
        problem = f"expected a candidate for {task}, found {name!r}{suggestion(name, able)}"
        return [Violation(f"{where}.name", problem)]
    kind = CANDIDATES[name]
    found = [
        Violation(
            f"{where}.parameters.{parameter}",
            f"expected a parameter of {name}, found {parameter!r}{suggestion(parameter, kind.parameters)}",
        )
        for parameter in parameters
        if parameter not in kind.parameters
    ]
    if kind.of_members and not is_open(name, parameters):
        found += _check_members(f"{where}.parameters.members", parameters.get("members"), task)
    return found


def _check_members(where: str, members: Any, task: Task) -> list[Violation]:
    """What is wrong with the members of a blend."""
    if not isinstance(members, list | tuple) or len(members) < FEWEST_MEMBERS:
        problem = (
            f"expected {FEWEST_MEMBERS} or more candidates, each with a name, or {BEST}, found {members!r}"
        )
        return [Violation(where, problem)]
    found = []
    for i, member in enumerate(members):
        place = f"{where}.{i}"
        if not isinstance(member, Mapping) or not {"name"} <= set(member) <= {"name", "parameters"}:
            problem = f"expected name and, if any, parameters, found {member!r}"
            found.append(Violation(place, problem))
        elif member["name"] == BLEND:
            found.append(
                Violation(f"{place}.name", "expected a candidate that is no blend itself, found 'blend'")
            )
        else:
            found += _check(place, str(member["name"]), member.get("parameters") or {}, task)
    return found
