"""What the learning room knows of a kind of model, before it is fitted to anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.learn.rows import Rows
from perennial.learn.spaces import Distribution
from perennial.live.answer import Task
from perennial.table import Column

Build = Callable[[Sequence[Column], Mapping[str, Any], int, int], Any]


def _no_arguments(features: Sequence[Column], given: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    Attributes:
        build: makes the unfitted estimator, per task that it can do.
        defaults: parameters where the config gives none.
        space: what random draws vary.
        parameters: every name that the config may set.
        fit_arguments: what `fit` takes besides X and y.
        refusals: the errors by which the learner refuses parameters or rows.
        relative: whether `learn.relative_to` is for it; not for one that follows the level by itself.
        of_members: whether it is made of other candidates, which its parameter `members` names; `build` gets them
            as pairs of a name and an estimator.
        trees: the parameter that says how many trees it has, for one that has trees; a search tries fewer first.
        whole: whether it learns from the order of the rows, so that a search never fits it to a sample of them.
    """

    build: Mapping[Task, Build]
    defaults: Mapping[str, Any]
    space: Mapping[str, Distribution]
    parameters: tuple[str, ...]
    fit_arguments: Callable[[Sequence[Column], Mapping[str, Any], Rows], dict[str, Any]] = _no_arguments
    refusals: Callable[[], tuple[type[Exception], ...]] = lambda: (ValueError, TypeError)
    relative: bool = True
    of_members: bool = False
    trees: str = ""
    whole: bool = False
