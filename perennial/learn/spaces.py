"""What a search draws from: small distributions that a numpy generator samples, and Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class Distribution(Protocol):
    """Anything that draws one plain value."""

    def draw(self, rng: np.random.Generator) -> Any:
        """One value as a plain Python object, fit for JSON."""

    def optuna(self) -> BaseDistribution:
        """The same distribution in Optuna's terms."""

    def rounded(self, value: Any) -> Any:
        """A value that Optuna drew, as `draw` would give it."""


@dataclass(frozen=True)
class Choice:
    """One of some values, all alike likely."""

    values: tuple[Any, ...]

    def draw(self, rng: np.random.Generator) -> Any:
        """One of `values`."""
        return self.values[int(rng.integers(len(self.values)))]

    def optuna(self) -> BaseDistribution:
        """A categorical distribution."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    def rounded(self, value: Any) -> Any:
        """The value itself."""
        return value


@dataclass(frozen=True)
class LogUniform:
    """A number between two positive bounds, uniform on the log scale, to four digits."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """A float between `low` and `high`."""
        return self.rounded(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))

    def optuna(self) -> BaseDistribution:
        """A float on the log scale."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=True)

    def rounded(self, value: float) -> float:
        """The value to four digits."""
        return float(f"{value:.4g}")


@dataclass(frozen=True)
class Integers:
    """An integer between two bounds, both included."""

    low: int
    high: int

    def draw(self, rng: np.random.Generator) -> int:
        """An int from `low` to `high`."""
        return int(rng.integers(self.low, self.high + 1))

    def optuna(self) -> BaseDistribution:
        """An integer."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high)

    def rounded(self, value: int) -> int:
        """The value itself."""
        return int(value)


def draw(space: Mapping[str, Distribution], rng: np.random.Generator) -> dict[str, Any]:
    """One value per name, drawn in the order of the names."""
    return {name: space[name].draw(rng) for name in sorted(space)}
