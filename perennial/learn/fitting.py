"""From a candidate's name to an estimator that can be fitted, and what its `fit` takes besides X and y."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perennial.errors import InputError, UnknownNameError
from perennial.learn.blending import FEWEST_MEMBERS
from perennial.learn.candidates import kind_of
from perennial.learn.rows import Rows
from perennial.live.answer import Task
from perennial.table import Column

if TYPE_CHECKING:
    from perennial.config import Learn

Features = Sequence[Column]
Parameters = Mapping[str, Any]


def unfitted(
    candidate: str,
    task: Task,
    features: Features,
    parameters: Parameters,
    seed: int,
    threads: int,
    learn: Learn,
) -> Any:
    """The estimator of a candidate, with those of its members, each relative to `learn.relative_to`.

    Raises:
        UnknownNameError: if there is no such candidate, or no such column.
        InputError: if the candidate cannot do the task.
        MissingLayerError: if it needs a package that is not installed.
        ValueError, TypeError: if the learner refuses its parameters.
    """
    kind = kind_of(candidate)
    if task not in kind.build:
        raise InputError(f"expected a candidate for {task}, found {candidate!r}; choose another one")
    given = {**kind.defaults, **parameters}
    if kind.of_members:
        given["members"] = [
            (f"{member['name']}{i}", unfitted(*_told(member, task, features), seed, threads, learn))
            for i, member in enumerate(_members(given))
        ]
    estimator = kind.build[task](features, given, seed, threads)
    if learn.relative_to is None or not kind.relative or task != "regression":
        return estimator
    from perennial.live.estimators.relative import Relative

    return Relative(estimator, reference_position(features, learn.relative_to), learn.target_scale == "log")


def fit_arguments(candidate: str, features: Features, parameters: Parameters, rows: Rows) -> dict[str, Any]:
    """What `fit` of the candidate's estimator takes besides X and y; arrays with a value per row are told by row."""
    kind = kind_of(candidate)
    given = {**kind.defaults, **parameters}
    own = kind.fit_arguments(features, given, rows)
    if kind.of_members:
        own["arguments"] = [
            fit_arguments(member["name"], features, member.get("parameters") or {}, rows)
            for member in _members(given)
        ]
    return own


def reference_position(features: Features, name: str) -> int:
    """The matrix column of `learn.relative_to`; raises UnknownNameError where it is no number among the features."""
    places = {column.name: i for i, column in enumerate(features) if column.is_numeric}
    if name not in places:
        raise UnknownNameError("feature in learn.relative_to", name, places)
    return places[name]


def _members(given: Parameters) -> Sequence[Parameters]:
    """The members that a candidate's parameters name; raises ValueError where they are still to be found."""
    members: Any = given.get("members", ())
    if isinstance(members, str) or len(members) < FEWEST_MEMBERS:
        raise ValueError(f"members {members!r} that are no list of {FEWEST_MEMBERS} or more candidates")
    return list(members)


def _told(member: Parameters, task: Task, features: Features) -> tuple[str, Task, Features, Parameters]:
    return member["name"], task, features, member.get("parameters") or {}
