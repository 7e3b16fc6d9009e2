"""How good `used_cars` is on the real listings, for several seeds of the hold-out, without ZenML.

Prints, per candidate of the config and for the best baseline: accuracy on the hold-out and the time of the fit;
for the named default also how often its intervals cover, overall and in the parts where they could fail; and
how it does on every make when that make is left out of training.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perennial import systems
from perennial.config import Candidate, Config
from perennial.config_file import load
from perennial.data import splits
from perennial.data.checks import check, require
from perennial.evidence import Trial
from perennial.learn.baselines import baselines_for, fit_baseline
from perennial.learn.candidates import kind_of
from perennial.learn.chosen import fit_chosen
from perennial.learn.metrics import metric_value
from perennial.learn.models import FittedModel, fit
from perennial.learn.pairs import pairs_of
from perennial.live.answer import Answers
from perennial.table import Table

ROOT = Path(__file__).resolve().parent.parent
LISTINGS = ROOT.parent / "shared/data/used-cars/uk_used_cars.csv.gz"
METRICS = {
    "R2": "r2_score",
    "median APE %": "median_absolute_percentage_error",
    "MAPE %": "mean_absolute_percentage_error",
}
AGES = ((0, 2), (2, 4), (4, 6), (6, 8), (8, 12), (12, 99))


@dataclass(frozen=True)
class Covered:
    """Hold-out rows with the default's answers: which truths lie inside, and how wide the intervals are.

    `width` is relative to the prediction; all have the shape (n_rows,).
    """

    inside: npt.NDArray[np.bool_]
    width: npt.NDArray[np.float64]
    prediction: npt.NDArray[np.float64]
    age: npt.NDArray[np.float64]
    make: npt.NDArray[np.str_]


def main(arguments: list[str]) -> None:
    """Prints the tables, or a sentence where the file is absent."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks used_cars")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--path", type=Path, default=LISTINGS)
    given = parser.parse_args(arguments)
    if not given.path.is_file():
        print(f"skipped: expected the listings at {given.path}, found no such file; name one with --path")
        return
    config = load(ROOT / "configs" / "used_cars.yaml", Config, [f"source.path={given.path}"]).config
    table = listings(config)
    print(f"{len(table):,} listings, hold-out {config.split.holdout:.0%}, seeds {given.seeds}\n")
    rows: dict[str, list[list[float]]] = {}
    covered = []
    for seed in given.seeds:
        for name, values, found in one_seed(config, table, seed):
            rows.setdefault(name, []).append(values)
            covered += [found] if found is not None else []
    print(accuracy_table(rows), coverage_tables(covered, config.evaluate.prediction_levels[0]), sep="\n\n")
    print("\n" + unseen_makes(config, table, given.seeds[0]))


def listings(config: Config) -> Table:
    """The usable listings of the config's file."""
    system = systems.get(config.system)
    records = system.collect(config.source, config.seed)
    checked = check(
        system.prepare(records, config.source, config.features),
        system.contract(config.source, config.features),
        config.checks,
    )
    require(checked.report)
    return checked.table


def sides(config: Config, table: Table, seed: int) -> tuple[Table, Table]:
    """Training and hold-out rows under the contract of the training rows."""
    rows = splits.split(table, config.split, seed)
    contract = table.contract.fitted(table.rows(rows.train).frame)
    train, holdout = (table.rows(part) for part in (rows.train, rows.holdout))
    return replace(train, contract=contract), replace(holdout, contract=contract)


def one_seed(config: Config, table: Table, seed: int) -> Iterator[tuple[str, list[float], Covered | None]]:
    """Per model its name, the values of `accuracy_table`, and for the named default what it covers."""
    train, holdout = sides(config, table, seed)
    default, *others = distinct(config.learn.candidates)
    start = time.perf_counter()
    model = fit_default(config, default, train, seed)
    seconds = time.perf_counter() - start
    answers = model.predict(holdout)
    found = what_is_covered(holdout, answers)
    extra = [100 * found.inside.mean(), model.seconds, seconds]
    yield f"{default.name} (default)", [*measured(holdout, answers), *extra], found
    for other in others:
        fitted = fit(
            train, other.name, {**kind_of(other.name).defaults, **other.parameters}, config.learn, seed
        )
        values = [*measured(holdout, fitted.predict(holdout)), np.nan, fitted.seconds, np.nan]
        yield other.name, values, None
    name = baselines_for(train.contract)[0]
    start = time.perf_counter()
    baseline = fit_baseline(name, train)
    seconds = time.perf_counter() - start
    yield name, [*measured(holdout, baseline.predict(holdout)), np.nan, seconds, np.nan], None


def distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The first candidate of each name."""
    return [c for i, c in enumerate(candidates) if c.name not in {b.name for b in candidates[:i]}]


def fit_default(config: Config, default: Candidate, train: Table, seed: int) -> FittedModel:
    """The named default with its intervals, as a run fits it when the search finds nothing better."""
    parameters = {**kind_of(default.name).defaults, **default.parameters}
    trial = Trial(candidate=default.name, parameters=parameters, metric="", score=0.0, folds=(), seconds=0.0)
    folds = splits.folds(train, config.split, config.learn.folds, seed)
    return fit_chosen(train, folds, trial, config.learn, config.evaluate.prediction_levels, seed)


def measured(holdout: Table, answers: Answers) -> list[float]:
    """The values of METRICS."""
    pairs = pairs_of(holdout.y, answers)
    return [metric_value(name, pairs) for name in METRICS.values()]


def what_is_covered(holdout: Table, answers: Answers) -> Covered:
    """Which truths lie inside the intervals, with what the tables group them by."""
    if answers.low is None or answers.high is None:
        raise ValueError("expected answers with intervals, found none")
    frame, truth = holdout.frame, holdout.y
    return Covered(
        inside=(truth >= answers.low) & (truth <= answers.high),
        width=(answers.high - answers.low) / answers.prediction,
        prediction=answers.prediction,
        age=(frame["known_at"].dt.year - frame["year"]).to_numpy(dtype=np.float64),
        make=frame["make"].to_numpy().astype(str),
    )


def accuracy_table(rows: dict[str, list[list[float]]]) -> str:
    """A line per model: the mean over the seeds, and the least and greatest R2."""
    heads = [*METRICS, "coverage %", "fit s", "with intervals s"]
    lines = [f"{'':<22}" + "".join(f"{head:>18}" for head in heads) + f"{'R2 from':>10}{'to':>8}"]
    for name, values in rows.items():
        found = np.array(values)
        cells = [
            f"{'' if np.isnan(v) else f'{v:.4f}' if n == 0 else f'{v:.2f}':>18}"
            for n, v in enumerate(found.mean(axis=0))
        ]
        lines.append(f"{name:<22}{''.join(cells)}{found[:, 0].min():>10.4f}{found[:, 0].max():>8.4f}")
    return "\n".join(lines)


def coverage_tables(found: Sequence[Covered], level: float) -> str:
    """Coverage and relative width, all seeds together: by tenths of the predicted price, by age, by make."""
    inside, width, prediction, age, make = (
        np.concatenate([getattr(one, name) for one in found])
        for name in ("inside", "width", "prediction", "age", "make")
    )
    tenth = np.argsort(np.argsort(prediction, kind="stable"), kind="stable") * 10 // len(prediction)
    groups = {
        "all": {"": np.ones(len(inside), dtype=bool)},
        "predicted price": {
            f"{prediction[tenth == n].min():,.0f} to {prediction[tenth == n].max():,.0f}": tenth == n
            for n in range(10)
        },
        "age in years": {f"{low} to {high - 1}": (age >= low) & (age < high) for low, high in AGES},
        "make": {str(name): make == name for name in np.unique(make)},
    }
    lines = [f"{f'intervals of {level:.0%}':<18}{'':<20}{'rows':>8}{'coverage %':>12}{'median width %':>16}"]
    for title, parts in groups.items():
        for name, rows in parts.items():
            if rows.any():
                shares = f"{100 * inside[rows].mean():>12.1f}{100 * np.median(width[rows]):>16.1f}"
                lines.append(f"{title:<18}{name:<20}{rows.sum():>8,}{shares}")
    return "\n".join(lines)


def unseen_makes(config: Config, table: Table, seed: int) -> str:
    """Per make: how the default, trained on all others, does on its hold-out rows."""
    train, holdout = sides(config, table, seed)
    default = config.learn.candidates[0]
    lines = [f"{'make never seen':<18}{'rows':>8}{'median APE %':>14}{'bias %':>9}{'coverage %':>12}"]
    for name in np.unique(train.frame["make"].astype(str)):
        others = train.rows((train.frame["make"] != name).to_numpy())
        contract = table.contract.fitted(others.frame)
        asked = replace(holdout.rows((holdout.frame["make"] == name).to_numpy()), contract=contract)
        answers = fit_default(config, default, replace(others, contract=contract), seed).predict(asked)
        ratio = answers.prediction / asked.y
        errors = f"{100 * np.median(abs(ratio - 1)):>14.1f}{100 * (np.median(ratio) - 1):>9.1f}"
        share = 100 * what_is_covered(asked, answers).inside.mean()
        lines.append(f"{name:<18}{len(asked):>8,}{errors}{share:>12.1f}")
    return "\n".join(lines)
