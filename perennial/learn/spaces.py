"""What a random search draws from: small distributions that a numpy generator samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Distribution(Protocol):
    """Anything that draws one plain value."""

    def draw(self, rng: np.random.Generator) -> Any:
        """One value as a plain Python object, fit for JSON."""


@dataclass(frozen=True)
class Choice:
    """One of some values, all alike likely."""

    values: tuple[Any, ...]

    def draw(self, rng: np.random.Generator) -> Any:
        """One of `values`."""
        return self.values[int(rng.integers(len(self.values)))]


@dataclass(frozen=True)
class LogUniform:
    """A number between two positive bounds, uniform on the log scale, to four digits."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """A float between `low` and `high`."""
        return float(f"{np.exp(rng.uniform(np.log(self.low), np.log(self.high))):.4g}")


@dataclass(frozen=True)
class Integers:
    """An integer between two bounds, both included."""

    low: int
    high: int

    def draw(self, rng: np.random.Generator) -> int:
        """An int from `low` to `high`."""
        return int(rng.integers(self.low, self.high + 1))


def draw(space: Mapping[str, Distribution], rng: np.random.Generator) -> dict[str, Any]:
    """One value per name, drawn in the order of the names."""
    return {name: space[name].draw(rng) for name in sorted(space)}
