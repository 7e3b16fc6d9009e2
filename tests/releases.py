"""Bundles of two small systems, built by the real code, for the tests of releases and of the service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from perennial import config
from perennial.evidence import BundleReference, DatasetReference, Decision, Evaluation, Metric, Reason
from perennial.learn import recipes
from perennial.live import release
from perennial.live.answer import AnswerRule, Interval
from perennial.live.build import build_bundle
from perennial.live.bundle import open_bundle
from perennial.live.load import load_predictor
from perennial.live.pack import Parts
from perennial.live.sign import SigningKey, key_pair
from perennial.table import Column, Contract, Table

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
YES = Decision(
    promote=True, reasons=(Reason(rule="floors", passed=True, sentence="better on the same rows"),)
)
FEATURES = (
    Column("year", "integer", "year of first registration", minimum=1900, maximum=2030),
    Column(
        "mileage", "number", "distance driven", unit="miles", minimum=0, maximum=1e6, aliases=("odometer",)
    ),
    Column("fuel", "category", "what the car runs on", categories=("Diesel", "Petrol")),
    Column("serviced", "boolean", "whether the papers are complete"),
    Column("tax", "number", "yearly road tax", unit="GBP", minimum=0, nullable=True),
)
TARGETS = {
    "prices": Column("price", "number", "asking price", role="target", unit="GBP", minimum=0),
    "kinds": Column("kind", "category", "kind of car", role="target", categories=("old", "young")),
}


@cache
def tables(system: str) -> tuple[Table, Table]:
    """Training and hold-out rows of a system."""
    rng = np.random.default_rng(5)
    n = 400
    year = rng.integers(1995, 2021, n)
    frame = pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(n)],
            "year": year,
            "mileage": rng.uniform(10, 150_000, n).round(),
            "fuel": rng.choice(["Diesel", "Petrol"], n),
            "serviced": rng.choice([True, False], n),
            "tax": np.where(rng.random(n) < 0.2, np.nan, rng.uniform(0, 500, n).round()),
        }
    )
    frame["price"] = np.exp(8 + 0.1 * (year - 2005) - frame["mileage"] / 1e5 + rng.normal(0, 0.1, n))
    frame["kind"] = np.where(year + rng.normal(0, 2, n) > 2010, "young", "old")
    columns = (Column("id", "text", "row id", role="id"), *FEATURES, TARGETS[system])
    contract = Contract(system, columns)
    table = Table(frame[[c.name for c in columns]], contract)
    return table.rows(np.arange(300)), table.rows(np.arange(300, n))


def parts(kind: str, strength: float, system: str = "") -> Parts:
    """What a bundle of `prices` or `kinds` is built from; another `strength` is another model."""
    train, holdout = tables(kind)
    system = system or kind
    if kind == "prices":
        model, y = recipes.ridge(FEATURES, {"alpha": strength}, 7, 1), np.log(train.y)
        rule = AnswerRule("regression", "price", "GBP", "log", interval=Interval(0.9, (), (-0.2,), (0.2,)))
    else:
        model, y = recipes.logistic(FEATURES, {"C": strength}, 7, 1), train.y
        rule = AnswerRule("classification", "kind", classes=("old", "young"))
    metric = Metric(name="some_error", value=1.0, low=0.5, high=1.5)
    return Parts(
        system=system,
        estimator=model.fit(train.X, y),
        contract=train.contract,
        rule=rule,
        train=train,
        holdout=holdout,
        evaluation=Evaluation(
            system=system,
            task=rule.task,
            candidate="linear",
            rows=len(holdout),
            metrics=(metric,),
            baselines={"middle": (metric,)},
            against_baselines=(),
        ),
        candidate="linear",
        parameters={"strength": strength},
        dataset=DatasetReference(uri="memory", version=1, rows=400, fingerprint="f" * 64),
        config_digest="c" * 64,
        code_digest="d" * 64,
        seed=7,
        options=config.Bundle(),
    )


def build(releases: Path, key: SigningKey, kind: str, strength: float, system: str = "") -> BundleReference:
    """A bundle in the releases folder, not promoted."""
    folder = releases / (system or kind) / "bundles"
    folder.mkdir(parents=True, exist_ok=True)
    return build_bundle(parts(kind, strength, system), folder, key, NOW)


def promote(releases: Path, key: SigningKey, reference: BundleReference, hours: float = 0) -> None:
    """A promotion of the bundle on top of whatever the ledger holds."""
    head = len(release.history(releases, reference.system))
    now = NOW + timedelta(hours=hours)
    release.promote(
        releases, reference.system, reference, YES, head, key.public_path, now, "tester@host", {"rows": 100}
    )


def two_versions(root: Path) -> tuple[Path, SigningKey, BundleReference]:
    """A releases folder with two versions of `prices`, the first one released; its key; and the second version."""
    folder, key = root / "releases", key_pair(root / "keys")
    first, second = (build(folder, key, "prices", strength) for strength in (1.0, 500.0))
    promote(folder, key, first)
    return folder, key, second


def predicted(folder: Path, key: SigningKey, row: dict[str, Any]) -> dict[str, float]:
    """What each of two versions of `prices` answers to a row."""
    found = {}
    for version in ("v1", "v2"):
        bundle = open_bundle(folder / "prices" / "bundles" / version, key.public_path)
        found[version] = float(load_predictor(bundle).answer_rows([row], 1).answers.prediction[0])
    return found


def damage(releases: Path, system: str, version: str, name: str) -> Path:
    """Flips one bit in the middle of a bundle's file."""
    path = releases / system / "bundles" / version / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    return path
