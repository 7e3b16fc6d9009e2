"""Our search beside scikit-learn's RandomizedSearchCV: the same 20 candidates, folds, rows and processor cores.

Both search a random forest for the price of a used car on the same training rows, fit their best to all of them and
are measured on the same hold-out. Rounds alternate, and a ratio is taken round by round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.used_cars import LISTINGS, ROOT, listings, sides
from perennial.config import Candidate, Config, Learn
from perennial.config_file import load
from perennial.data import splits
from perennial.learn import tune
from perennial.learn.models import fit
from perennial.learn.recipes import random_forest_regressor
from perennial.learn.search.draws import Once, fixed_draws, random_draws
from perennial.table import Table

CANDIDATES, FOLDS, CORES = 20, 5, 2
THEIRS = "RandomizedSearchCV"


@dataclass(frozen=True)
class Run:
    """One search with its last fit: wall and processor seconds, hold-out errors (log scale, percent), the choice."""

    seconds: float
    cpu: float
    error: float
    percent: float
    parameters: dict[str, Any]


def main(arguments: list[str]) -> None:
    """Prints a line per contestant, or a sentence where the file is absent."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks search")
    parser.add_argument("--path", type=Path, default=LISTINGS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=0, help="a sample of the listings; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="of the hold-out, the folds and the draws")
    parser.add_argument("--kinds", nargs="+", default=["halving"], help="random, halving, optuna")
    given = parser.parse_args(arguments)
    if not given.path.is_file():
        print(f"skipped: expected the listings at {given.path}, found no such file; name one with --path")
        return
    config = load(ROOT / "configs" / "used_cars.yaml", Config, [f"source.path={given.path}"]).config
    table = listings(config)
    if given.rows:
        table = table.rows(np.sort(np.random.default_rng(0).choice(len(table), given.rows, replace=False)))
    train, holdout = sides(config, table, given.seed)
    folds = splits.folds(train, config.split, FOLDS, given.seed)
    forest = Candidate(name="random_forest", trials=CANDIDATES - 1)
    learn = Learn(target_scale="log", candidates=(forest,), folds=FOLDS, budget_s=1e6, threads=CORES)
    contestants: dict[str, Callable[[], Run]] = {
        THEIRS: lambda: theirs(learn, train, holdout, folds, given.seed)
    }
    for kind in given.kinds:
        own = Learn.model_validate({**learn.model_dump(), "search": {"kind": kind}})
        contestants[f"ours, {kind}"] = lambda own=own: ours(own, train, holdout, folds, given.seed)
    print(
        f"{len(train):,} training rows, {len(holdout):,} hold-out rows, {CANDIDATES} candidates, {FOLDS} folds\n"
    )
    runs: dict[str, list[Run]] = {name: [] for name in contestants}
    for number in range(given.rounds):
        order = list(contestants) if number % 2 == 0 else list(reversed(contestants))
        for name in order:
            runs[name].append(contestants[name]())
    print(lines(runs))


def theirs(learn: Learn, train: Table, holdout: Table, folds: splits.Folds, seed: int) -> Run:
    """scikit-learn's search over the very candidates that ours draws, two fits at once."""
    from sklearn.model_selection import RandomizedSearchCV

    once = Once()
    draws = [*fixed_draws(learn, once), *random_draws(learn, once, seed)]
    spaces = [{f"learn__{name}": [value] for name, value in one.parameters.items()} for one in draws]
    X, y = train.X, np.log(train.y)
    start, before = time.perf_counter(), cpu_seconds()
    search = RandomizedSearchCV(
        random_forest_regressor(train.contract.features, {}, seed, 1),
        spaces,
        n_iter=len(draws),
        scoring="neg_mean_absolute_error",
        cv=folds,
        n_jobs=CORES,
        random_state=seed,
    ).fit(X, y)
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - before
    chosen = {name.removeprefix("learn__"): value for name, value in search.best_params_.items()}
    return measured(seconds, cpu, holdout, search.predict(holdout.X), chosen)


def ours(learn: Learn, train: Table, holdout: Table, folds: splits.Folds, seed: int) -> Run:
    """Our search and the fit of its best, as a training run does them."""
    start, before = time.perf_counter(), cpu_seconds()
    best = tune.search(train, folds, learn, "regression", seed, time.monotonic).best
    model = fit(train, best.candidate, best.parameters, learn, seed)
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - before
    return measured(seconds, cpu, holdout, model.raw(holdout.X), best.parameters)


def cpu_seconds() -> float:
    """Processor time of this process and its living children so far."""
    import psutil

    own = psutil.Process()
    spent = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(times.user + times.system for times in spent)


def measured(
    seconds: float, cpu: float, holdout: Table, predicted: np.ndarray, parameters: dict[str, Any]
) -> Run:
    """A run with its mean absolute errors on the hold-out."""
    off = predicted - np.log(holdout.y)
    return Run(seconds, cpu, float(np.abs(off).mean()), float(100 * np.abs(np.expm1(off)).mean()), parameters)


def lines(runs: dict[str, list[Run]]) -> str:
    """A line per contestant: median, least and greatest wall time, its ratio to theirs, the errors, the choice."""
    heads = [("wall s", 9), ("min", 8), ("max", 8), ("cpu s", 8), ("wall x", 8), ("cpu x", 7), ("error", 10)]
    heads += [("MAPE %", 8), ("error x", 9)]
    found = [" " * 20 + "".join(f"{head:>{width}}" for head, width in heads) + "  chosen"]
    for name, own in runs.items():
        pairs = list(zip(own, runs[THEIRS], strict=True))
        seconds = [run.seconds for run in own]
        chosen = {", ".join(f"{key} {value}" for key, value in sorted(run.parameters.items())) for run in own}
        found.append(
            f"{name:<20}{statistics.median(seconds):>9.1f}{min(seconds):>8.1f}{max(seconds):>8.1f}"
            f"{statistics.median(run.cpu for run in own):>8.1f}"
            f"{statistics.median(a.seconds / b.seconds for a, b in pairs):>8.2f}"
            f"{statistics.median(a.cpu / b.cpu for a, b in pairs):>7.2f}"
            f"{own[0].error:>10.5f}{own[0].percent:>8.3f}"
            f"{statistics.median(a.error / b.error for a, b in pairs):>9.4f}  {' | '.join(sorted(chosen))}"
        )
    return "\n".join(found)
