"""The project's named errors: each takes facts and writes its own sentence.

A sentence says what was expected, what was found and what to do next. `InputError`s are the caller's to
mend (exit code 2, HTTP 400); every other `PerennialError` is a failure of the run (exit code 1).
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with an input: where it stands, and what is wrong there."""

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


class PerennialError(Exception):
    """Anything that Perennial itself reports; `exit_code` is what `run.py` ends with."""

    exit_code = 1

    def __reduce__(self) -> Any:
        """How an error travels from a worker process: by its sentence, since every kind takes facts of its own."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class InputError(PerennialError):
    """The input is wrong: a file, a config, a request, a name."""

    exit_code = 2


class ViolationsError(InputError):
    """An input broke rules; `violations` holds every one of them."""

    def __init__(self, subject: str, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        count = len(self.violations)
        listed = "; ".join(str(v) for v in self.violations[:20])
        rest = f"; and {count - 20} more" if count > 20 else ""
        super().__init__(f"{subject}: {count} problem{'s' * (count != 1)} found: {listed}{rest}")


class ConfigError(ViolationsError):
    """A config file or a `--set` value breaks the schema of `perennial.config`."""

    def __init__(self, source: str, violations: Sequence[Violation]) -> None:
        super().__init__(f"config {source}", violations)


class TableError(ViolationsError):
    """A table, a file of rows or a request breaks its contract."""


class UnknownNameError(InputError):
    """A name was given that nothing is registered under."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"expected a known {kind}, found {name!r}{suggestion(name, known)}")


class SourceError(InputError):
    """A source of records cannot be read."""

    def __init__(self, source: str | Path, found: str, remedy: str) -> None:
        super().__init__(f"source {source}: {found}; {remedy}")


class FetchError(PerennialError):
    """A request had no usable answer. `outcome` names why, in one word of `perennial.data.fetch.outcomes`.

    `transient` tells whether the same request may succeed later.
    """

    def __init__(self, url: str, outcome: str, found: str, remedy: str, transient: bool = False) -> None:
        self.url, self.outcome, self.transient = url, outcome, transient
        self.found, self.remedy = found, remedy
        super().__init__(f"request {url}: {found}; {remedy}")


class StoreError(PerennialError):
    """What collecting remembers (stored answers, frontier) cannot be written, or is missing or damaged."""

    def __init__(self, place: str | Path, found: str, remedy: str) -> None:
        super().__init__(f"store {place}: {found}; {remedy}")


class JournalError(PerennialError):
    """The journal cannot be written or read; `passing` tells whether the same may succeed later."""

    def __init__(self, place: str | Path, found: str, remedy: str, passing: bool = True) -> None:
        self.place, self.found, self.passing = place, found, passing
        super().__init__(f"journal {place}: {found}; {remedy}")


class DatabaseError(PerennialError):
    """Somebody's own database failed while its rows were scored; what was written before stays."""

    def __init__(self, place: str, found: str, remedy: str) -> None:
        super().__init__(f"database {place}: {found}; {remedy}")


class ParseError(PerennialError):
    """An answer is not what its feed says it is, so that no row can be read from it."""

    def __init__(self, answer: str, found: str, remedy: str) -> None:
        super().__init__(f"answer of {answer}: {found}; {remedy}")


class CollectionError(PerennialError):
    """A collection breached its source contract or could not be finished; nothing of it enters the dataset."""

    def __init__(self, system: str, problems: Sequence[str], remedy: str) -> None:
        self.problems = tuple(problems)
        super().__init__(f"collection of {system}: {'; '.join(problems)}; {remedy}")


class MissingLayerError(InputError):
    """A package of a requirements layer that is not installed is needed."""

    def __init__(self, package: str, layer: str, purpose: str) -> None:
        super().__init__(
            f"expected the package {package} {purpose}, found none; install requirements/{layer}.in"
        )


class NotEnoughDataError(PerennialError):
    """Too few rows for an honest answer."""

    def __init__(self, what: str, found: int, needed: int, remedy: str = "collect more records") -> None:
        super().__init__(f"{what}: expected at least {needed:,} rows, found {found:,}; {remedy}")


class CheckError(PerennialError):
    """The data is not fit for training; the check report says why."""

    def __init__(self, problems: Sequence[str], quarantine: str | Path, source: str = "") -> None:
        self.problems = tuple(problems)
        where = f" on {source}" if source else ""
        super().__init__(
            f"checks blocked training{where}: {'; '.join(problems)}; mend the source or the rules under "
            f"checks: in the config (rejected rows: {quarantine})"
        )


class DatasetError(PerennialError):
    """A dataset version is missing, or does not hold what its reference says."""

    def __init__(self, dataset: str | Path, found: str, remedy: str) -> None:
        super().__init__(f"dataset {dataset}: {found}; {remedy}")


class BundleError(PerennialError):
    """A bundle is damaged, unsigned, incompatible or answers wrongly, so that it must not serve."""

    def __init__(self, bundle: str | Path, found: str, remedy: str) -> None:
        super().__init__(f"bundle {bundle}: {found}; {remedy}")


class LedgerError(PerennialError):
    """The ledger is broken, or what is asked of it does not fit its history."""


class StalePromotionError(LedgerError):
    """Another promotion came first: the ledger moved on since the evidence was gathered."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            f"expected the ledger at entry {expected}, found entry {found}: another promotion or rollback "
            "came first; compare with the new champion and try again"
        )


class BusyError(PerennialError):
    """The same thing is being done by another process at this moment."""

    def __init__(self, what: str, holder: str) -> None:
        super().__init__(
            f"expected no other {what}, found one that is still going ({holder}); wait for it, or stop it"
        )


class StackError(PerennialError):
    """A stack cannot be opened or is incomplete."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """The tail of a sentence about an unknown name: the nearest known one, or all of them.

    >>> suggestion("trian", ["train", "serve"])
    "; did you mean 'train'?"
    >>> suggestion("x", ["train", "serve"])
    '; known are: serve, train'
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are: {', '.join(names)}" if names else "; none is registered"
