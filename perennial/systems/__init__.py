"""One plugin per system: a module here that defines `SYSTEM`. Adding a file is enough to register it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.errors import UnknownNameError
from perennial.live.answer import Task
from perennial.table import Contract

if TYPE_CHECKING:
    import pandas as pd

    from perennial.config import Source


@dataclass(frozen=True)
class System:
    """What differs between systems, and all of it.

    Attributes:
        name: the module's name and the config's `system:`.
        title: what is predicted, in a few words.
        task: classification or regression.
        contract: the declared contract for a source; categories left empty are learned from training rows.
        collect: the raw records of a source, one row each, under the contract's names; `seed` drives generators.
        prepare: model-ready rows from records: features and target; a pure function. The checks add the `id`.
        segments: feature columns by which errors are broken down in reports.
    """

    name: str
    title: str
    task: Task
    contract: Callable[[Source], Contract]
    collect: Callable[[Source, int], pd.DataFrame]
    prepare: Callable[[pd.DataFrame], pd.DataFrame]
    segments: tuple[str, ...] = ()


def names() -> list[str]:
    """The names of all systems, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def get(name: str) -> System:
    """The system called `name`; raises UnknownNameError with the nearest known name."""
    if name not in names():
        raise UnknownNameError("system", name, names())
    system: System = importlib.import_module(f"{__name__}.{name}").SYSTEM
    return system
