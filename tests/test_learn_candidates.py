"""The page of candidates says what the registry holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perennial.learn.candidates import CANDIDATES
from perennial.learn.kinds import Kind
from perennial.learn.spaces import Choice, Integers

PAGE = Path(__file__).resolve().parent.parent / "docs" / "candidates.md"


def candidate_table() -> list[str]:
    """One line per candidate, as `docs/candidates.md` shows them."""
    lines = ["| candidate | tasks | parameters and their defaults | a search draws |", "|---|---|---|---|"]
    for name, kind in CANDIDATES.items():
        space = "; ".join(f"`{key}` {told(space)}" for key, space in kind.space.items()) or "nothing"
        lines.append(f"| `{name}` | {', '.join(sorted(kind.build))} | {parameters(kind)} | {space} |")
    return lines


def parameters(kind: Kind) -> str:
    return ", ".join(
        f"`{name}`" + (f" ({kind.defaults[name]})" if name in kind.defaults else "")
        for name in kind.parameters
    )


def told(space: Any) -> str:
    if isinstance(space, Choice):
        return ", ".join(str(value) for value in space.values)
    scale = "" if isinstance(space, Integers) else ", log scale"
    return f"{space.low:g} to {space.high:g}{scale}"


def test_the_page_of_candidates_lists_every_one_with_its_parameters_and_space() -> None:
    expected = candidate_table()
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(expected[0])
    found = lines[start : lines.index("", start)]
    assert found == expected, (
        "write what `python -m tests.test_learn_candidates` prints into docs/candidates.md"
    )


if __name__ == "__main__":
    print("\n".join(candidate_table()))
