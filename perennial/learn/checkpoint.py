"""What a search or a backtest has finished, kept on disk so that it goes on there after it was killed."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perennial.learn.cross import Problem
from perennial.live.files import canonical

Floats = npt.NDArray[np.float64]

KEPT = timedelta(days=14)
"""Age after which what a killed search left behind is removed."""

LEARNERS = ("numpy", "scipy", "scikit-learn", "lightgbm", "statsforecast", "torch", "optuna")
"""Packages of which another version may give another score."""

NOT_SCORED = {"candidates", "folds", "budget_s", "search_rows", "default_margin", "threads", "search"}
"""Keys of `learn` on which the score of one fit does not depend, but by its parameters and rows."""


class Saved(NamedTuple):
    """The score of one fit, and how long it took in seconds."""

    score: float
    seconds: float


@dataclass(frozen=True)
class Checkpoint:
    """The finished fits of one search; a fit is named by its candidate, parameters, fold and share of rows.

    `elapsed` is how long earlier processes had worked on the search when they were killed, in seconds.
    """

    database: sqlite3.Connection
    elapsed: float

    def get(self, *fit: Any) -> Saved | None:
        """What is known of a fit; None where it was not finished."""
        row = self.database.execute("SELECT score, seconds FROM fits WHERE key = ?", (_key(fit),)).fetchone()
        return Saved(*row) if row else None

    def put(self, *fit: Any, saved: Saved, elapsed: float) -> None:
        """Keeps a finished fit, with the time that the search has taken so far."""
        with self.database:
            self.database.execute(
                "INSERT OR REPLACE INTO fits VALUES (?, ?, ?, ?)", (_key(fit), *saved, elapsed)
            )


@dataclass(frozen=True)
class Outputs:
    """The raw outputs of the finished fits of one backtest; a fit is named by candidate, parameters and refit."""

    database: sqlite3.Connection

    def get(self, *fit: Any) -> tuple[Floats, float] | None:
        """The outputs of a fit and its seconds; None where it was not finished."""
        row = self.database.execute(
            "SELECT raw, columns, seconds FROM outputs WHERE key = ?", (_key(fit),)
        ).fetchone()
        if row is None:
            return None
        values = np.frombuffer(row[0], dtype=np.float64)
        return values.reshape(-1, row[1]) if row[1] else values, row[2]

    def put(self, *fit: Any, raw: Floats, seconds: float) -> None:
        """Keeps the outputs of a finished fit, of shape (n_rows,) or (n_rows, n_classes)."""
        columns = raw.shape[1] if raw.ndim == 2 else 0
        with self.database:
            self.database.execute(
                "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?)",
                (_key(fit), np.ascontiguousarray(raw, dtype=np.float64).tobytes(), columns, seconds),
            )


@contextmanager
def outputs(folder: Path | None, problem: Problem) -> Iterator[Outputs]:
    """The same as `checkpoint` for a backtest, whose refits are the problem's folds."""
    with _database(folder, problem) as database:
        yield Outputs(database)


@contextmanager
def checkpoint(folder: Path | None, problem: Problem) -> Iterator[Checkpoint]:
    """The checkpoint of a search over these rows and folds: a file in `folder`, or for None in memory.

    The file is named by a digest of everything that a score depends on besides the fit's own name: rows,
    folds, seed, learning rules, our code and the learners' versions. It is removed when the block ends well.
    """
    with _database(folder, problem) as database:
        (elapsed,) = database.execute("SELECT coalesce(max(elapsed), 0.0) FROM fits").fetchone()
        yield Checkpoint(database, elapsed)


@contextmanager
def _database(folder: Path | None, problem: Problem) -> Iterator[sqlite3.Connection]:
    if folder is None:
        with closing(_opened(":memory:")) as database:
            yield database
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{digest_of(problem)}.sqlite"
    with closing(_opened(str(path))) as database:
        yield database
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        (folder / name).unlink(missing_ok=True)


def clear_old(folder: Path, now: datetime) -> list[Path]:
    """Removes checkpoints that nothing was added to for `KEPT`; returns their paths."""
    old = [path for path in folder.glob("*.sqlite*") if path.stat().st_mtime < (now - KEPT).timestamp()]
    for path in old:
        path.unlink(missing_ok=True)
    return old


def digest_of(problem: Problem) -> str:
    """SHA-256 of everything that the score of a fit depends on besides its candidate and parameters, in hex."""
    facts = {
        "code": code_version(),
        "seed": problem.seed,
        "task": problem.task,
        "features": [repr(column) for column in problem.features],
        "classes": list(problem.classes),
        "learn": problem.learn.model_dump(mode="json", exclude=NOT_SCORED),
    }
    digest = hashlib.sha256(canonical(facts))
    moments = () if problem.moments is None else (problem.moments,)
    for array in (problem.X, problem.y, *moments, *(part for fold in problem.folds for part in fold)):
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@cache
def code_version() -> str:
    """SHA-256 of the source of this package and the versions of the learners, in hex."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes())
    for name in LEARNERS:
        digest.update(f"{name} {_version(name)}\0".encode())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _opened(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30)
    database.execute("PRAGMA journal_mode=WAL")  # a commit survives a kill, and costs no wait for the disk
    database.execute("PRAGMA synchronous=NORMAL")
    with database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS fits (key TEXT PRIMARY KEY, score REAL, seconds REAL, elapsed REAL)"
        )
        database.execute(
            "CREATE TABLE IF NOT EXISTS outputs (key TEXT PRIMARY KEY, raw BLOB, columns INTEGER, seconds REAL)"
        )
    return database


def _key(fit: tuple[Any, ...]) -> str:
    return hashlib.sha256(canonical(fit)).hexdigest()
