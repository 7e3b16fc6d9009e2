"""Times of whole processes, taken in turn so that a drift of the machine's speed hits all alike."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Commands = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Run:
    """One run of a command: wall and processor seconds (user and system, children included)."""

    wall: float
    cpu: float


def in_turn(commands: Commands, rounds: int, environment: Mapping[str, str]) -> dict[str, list[Run]]:
    """The runs of every command, by name: one warm-up round, then `rounds` rounds A B C A B C ...

    Raises:
        RuntimeError: a command failed; its output is in the message.
    """
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            found = _timed(name, command, environment)
            if turn:
                runs[name].append(found)
    return runs


def table(runs: Mapping[str, Sequence[Run]], against: str) -> str:
    """Per command: median, least and greatest wall time, median processor time, and ratios to `against`.

    A ratio is the median of the ratios round by round.
    """
    lines = [f"{'':<34}{'wall s':>9}{'min':>8}{'max':>8}{'cpu s':>8}{'wall x':>9}{'cpu x':>8}"]
    for name, found in runs.items():
        walls = [run.wall for run in found]
        pairs = list(zip(found, runs[against], strict=True))
        lines.append(
            f"{name:<34}{statistics.median(walls):>9.2f}{min(walls):>8.2f}{max(walls):>8.2f}"
            f"{statistics.median(run.cpu for run in found):>8.2f}"
            f"{statistics.median(a.wall / b.wall for a, b in pairs):>9.2f}"
            f"{statistics.median(a.cpu / b.cpu for a, b in pairs):>8.2f}"
        )
    return "\n".join(lines)


def _timed(name: str, command: Sequence[str], environment: Mapping[str, str]) -> Run:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{name} failed with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return Run(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
