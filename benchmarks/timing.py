"""Wall times of whole processes, taken in turn so that a drift of the machine's speed hits all alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence

Commands = Mapping[str, Sequence[str]]


def in_turn(commands: Commands, rounds: int, environment: Mapping[str, str]) -> dict[str, list[float]]:
    """Wall seconds of every command, by name: one warm-up round, then `rounds` rounds A B C A B C ...

    Raises:
        RuntimeError: a command failed; its output is in the message.
    """
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
            elapsed = time.perf_counter() - start
            if done.returncode:
                raise RuntimeError(f"{name} failed with {done.returncode}:\n{done.stdout}\n{done.stderr}")
            if turn:
                seconds[name].append(elapsed)
    return seconds


def table(seconds: Mapping[str, Sequence[float]], against: str) -> str:
    """Median, minimum and maximum per command, and the median of the ratios to `against`, round by round."""
    lines = [f"{'':<34}{'median s':>10}{'min':>8}{'max':>8}{'ratio':>8}"]
    for name, values in seconds.items():
        ratio = statistics.median(v / b for v, b in zip(values, seconds[against], strict=True))
        lines.append(
            f"{name:<34}{statistics.median(values):>10.2f}{min(values):>8.2f}{max(values):>8.2f}{ratio:>8.2f}"
        )
    return "\n".join(lines)
