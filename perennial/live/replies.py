"""How two bundles answer the same rows: each other's golden rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from perennial.live.bundle import Bundle
from perennial.live.load import load_predictor
from perennial.live.predict import Predictor, as_json_rows


@dataclass(frozen=True)
class Replies:
    """What models A and B answered to the golden rows `of` one of them, or both. It does not say who is right.

    Per row that both answered, `answers` holds the answer of A and of B: a number in `unit`, or a class. `gaps` are
    absolute differences of the numbers, or of the class's probability that differs most; `points` are the numbers
    again, or the probabilities of the last class, called `shown`. `other_flags` counts the rows that one of them
    flags and the other does not, or in other words.
    """

    of: str
    rows: int
    answers: tuple[tuple[Any, Any], ...]
    gaps: tuple[float, ...]
    points: tuple[tuple[float, float], ...]
    shown: str
    tolerance: float
    other_flags: int
    unit: str

    @property
    def differing(self) -> int:
        """The rows whose answers differ by more than a replay of golden rows may, or name another class."""
        return sum(
            gap > self._allowed(a, b) or (isinstance(a, str) and a != b)
            for (a, b), gap in zip(self.answers, self.gaps, strict=True)
        )

    @property
    def other_classes(self) -> int:
        """The rows that are answered with another class; 0 where answers are numbers."""
        return sum(isinstance(a, str) and a != b for a, b in self.answers)

    @property
    def typical_gap(self) -> float | None:
        """The median gap; None where no row was answered by both."""
        return median(self.gaps) if self.gaps else None

    @property
    def largest_gap(self) -> float | None:
        """The largest gap; None where no row was answered by both."""
        return max(self.gaps, default=None)

    def _allowed(self, a: Any, b: Any) -> float:
        size = 0.0 if isinstance(a, str) else max(abs(a), abs(b))
        return self.tolerance * max(1.0, size)


def why_apart(a: Bundle, b: Bundle) -> str:
    """Why two bundles cannot answer the same rows; "" where they can."""
    rules = a.rule, b.rule
    for what, first, second in (
        ("task", *(r.task for r in rules)),
        ("target", *(r.target for r in rules)),
        ("unit", *(r.unit for r in rules)),
        ("classes", *(", ".join(r.classes) for r in rules)),
    ):
        if first != second:
            return f"their {what} differs: {first or 'none'} and {second or 'none'}"
    columns, others = ({c.name for c in bundle.contract.features} for bundle in (a, b))
    if not (columns <= others or others <= columns):
        return f"each asks for columns that the other does not know: {', '.join(sorted(columns ^ others))}"
    return ""


def replies(a: Bundle, b: Bundle) -> tuple[Replies, ...]:
    """The answers of both bundles to the golden rows of either that hold the columns which both ask for.

    Raises:
        BundleError: one of them is damaged, or answers its own golden rows wrongly.
    """
    predictors = load_predictor(a), load_predictor(b)
    asked = [[c.name for c in bundle.contract.features] for bundle in (a, b)]
    tolerance = max(bundle.golden["tolerance"] for bundle in (a, b))
    found = []
    shared = a.golden["rows"] == b.golden["rows"]
    for source in (a,) if shared else (a, b):
        own = {c.name for c in source.contract.features}
        if not all(own >= set(names) for names in asked):
            continue
        first, second = (
            _answered(predictor, source.golden["rows"], names)
            for predictor, names in zip(predictors, asked, strict=True)
        )
        of = " and ".join(dict.fromkeys((a.manifest.version, b.manifest.version))) if shared else ""
        found.append(_compared(source, of or source.manifest.version, first, second, tolerance))
    return tuple(found)


def _answered(
    predictor: Predictor, rows: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """The answers to the rows, of which only the columns that the model asks for are sent."""
    return as_json_rows(predictor.answer_rows([{n: row[n] for n in names} for row in rows], len(rows)))


def _compared(
    source: Bundle,
    of: str,
    first: Sequence[Mapping[str, Any]],
    second: Sequence[Mapping[str, Any]],
    tolerance: float,
) -> Replies:
    pairs = list(zip(first, second, strict=True))
    both = [(a, b) for a, b in pairs if a["prediction"] is not None and b["prediction"] is not None]
    return Replies(
        of=of,
        rows=len(pairs),
        answers=tuple((a["prediction"], b["prediction"]) for a, b in both),
        gaps=tuple(_gap(a, b) for a, b in both),
        points=tuple((_number(a, source), _number(b, source)) for a, b in both),
        shown=f"probability of {source.rule.classes[-1]}" if source.rule.classes else source.rule.target,
        tolerance=tolerance,
        other_flags=sum(a["flag"] != b["flag"] for a, b in pairs),
        unit=source.rule.unit,
    )


def _gap(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    if "probabilities" in a:
        shares = a["probabilities"], b["probabilities"]
        return float(max(abs(shares[0][name] - shares[1][name]) for name in shares[0]))
    return abs(float(a["prediction"]) - float(b["prediction"]))


def _number(answer: Mapping[str, Any], source: Bundle) -> float:
    classes = source.rule.classes
    return float(answer["probabilities"][classes[-1]] if classes else answer["prediction"])
