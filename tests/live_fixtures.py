"""Small real models and tables for the tests of `perennial.live`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from perennial import config
from perennial.evidence import Comparison, DatasetReference, Evaluation, Metric
from perennial.live.answer import AnswerRule, Interval
from perennial.live.pack import Parts
from perennial.table import Column, Contract, Table

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MODELS = ("forest", "logistic", "ridge", "lightgbm", "histogram", "voting")

CARS = Contract(
    "cars",
    (
        Column("id", "text", "digest of the listing", role="id"),
        Column("time", "time", "day of the listing", role="time"),
        Column("make", "category", "manufacturer"),
        Column("fuel", "category", "what the car runs on", aliases=("fuelType",)),
        Column("year", "integer", "year of registration", unit="1", minimum=1950, maximum=2021),
        Column("mileage", "number", "distance driven", unit="miles", minimum=0, maximum=1e6),
        Column("engine", "number", "displacement", unit="litres", minimum=0.1, maximum=10, nullable=True),
        Column("automatic", "boolean", "whether the gearbox shifts by itself"),
        Column("price", "number", "asking price", role="target", unit="GBP", minimum=1),
    ),
)


def cars(rows: int, seed: int, *, classes: bool = False) -> Table:
    """Made-up listings, with missing values in `engine`; the target is a price, or dear/fair/cheap."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": [f"{i:016x}" for i in rng.integers(0, 2**63, rows)],
            "time": pd.Timestamp("2020-12-31", tz="UTC"),
            "make": rng.choice(["audi", "bmw", "ford", "skoda"], rows, p=[0.3, 0.3, 0.3, 0.1]),
            "fuel": rng.choice(["diesel", "hybrid", "petrol"], rows),
            "year": rng.integers(1995, 2021, rows),
            "mileage": np.round(rng.gamma(2.0, 20_000, rows), 1),
            "engine": np.where(rng.random(rows) < 0.1, np.nan, rng.choice([1.0, 1.4, 2.0, 3.0], rows)),
            "automatic": rng.random(rows) < 0.4,
        }
    )
    log_price = (
        9.5
        + 0.08 * (frame["year"] - 2010)
        - frame["mileage"] / 150_000
        + 0.2 * frame["engine"].fillna(0)
        + frame["make"].map({"audi": 0.3, "bmw": 0.4, "ford": 0.0, "skoda": 0.1})
        + 0.1 * frame["automatic"]
        + rng.normal(0, 0.05, rows)
    )
    contract = CARS
    frame["price"] = np.exp(log_price)
    if classes:
        frame["price"] = np.digitize(log_price, [9.2, 10.0])
        frame["price"] = frame["price"].map({0: "cheap", 1: "fair", 2: "dear"})
        contract = CARS.updated(
            lambda c: Column("price", "category", "price class", role="target") if c.name == "price" else c
        )
    return Table(frame, contract.fitted(frame))


def estimator(kind: str, seed: int = 0) -> Any:
    """An unfitted model over the matrix of `CARS`: columns 0 and 1 hold category codes."""
    from lightgbm import LGBMRegressor
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier, VotingRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    def one_hot() -> Any:
        numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        codes = make_pipeline(
            SimpleImputer(strategy="constant", fill_value=-1.0),
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        )
        return ColumnTransformer([("numbers", numbers, [2, 3, 4, 5]), ("codes", codes, [0, 1])])

    def boosted() -> Any:
        return LGBMRegressor(n_estimators=30, num_leaves=15, random_state=seed, n_jobs=1, verbose=-1)

    return {
        "forest": lambda: make_pipeline(
            StandardScaler(), RandomForestClassifier(20, max_depth=8, random_state=seed)
        ),
        "logistic": lambda: make_pipeline(one_hot(), LogisticRegression(max_iter=500)),
        "ridge": lambda: make_pipeline(one_hot(), Ridge()),
        "lightgbm": boosted,
        "histogram": lambda: HistGradientBoostingRegressor(max_iter=20, random_state=seed),
        "voting": lambda: VotingRegressor([("a", make_pipeline(one_hot(), Ridge())), ("b", boosted())]),
    }[kind]()


def parts(kind: str, seed: int = 0, **changes: Any) -> Parts:
    """A fitted model with everything that a bundle needs; regressions learn the logarithm of the price."""
    classes = kind in ("forest", "logistic")
    train, holdout = cars(600, seed, classes=classes), cars(300, seed + 1000, classes=classes)
    contract = train.contract
    names = tuple(sorted(set(train.frame["price"]))) if classes else ()
    model = estimator(kind, seed)
    if kind == "lightgbm":
        model.fit(train.X, np.log(train.y), categorical_feature=[0, 1])
    else:
        model.fit(train.X, np.searchsorted(np.array(names), train.y) if classes else np.log(train.y))
    rule = (
        AnswerRule("classification", "price", classes=names)
        if classes
        else AnswerRule("regression", "price", "GBP", "log", (), Interval(0.9, (), (-0.1,), (0.12,)))
    )
    built = Parts(
        system="cars",
        estimator=model,
        contract=contract,
        rule=rule,
        train=train,
        holdout=replace(holdout, contract=contract),
        evaluation=evaluation(kind, classes),
        candidate=kind,
        parameters={"max_depth": 8},
        dataset=DatasetReference(uri="data", version=3, rows=900, fingerprint="f" * 64),
        config_digest="c" * 64,
        code_digest="d" * 64,
        seed=seed,
        options=config.Bundle(golden_rows=8),
    )
    return replace(built, **changes)


def evaluation(kind: str, classes: bool) -> Evaluation:
    """What a model card shows; the numbers are not measured."""
    name = "accuracy_score" if classes else "mean_absolute_error"
    unit = "1" if classes else "GBP"
    metric = Metric(name=name, value=0.9, low=0.85, high=0.95, unit=unit)
    naive = Metric(name=name, value=0.5, low=0.45, high=0.55, unit=unit)
    against = Comparison(
        a=kind,
        b="majority",
        loss="zero-one",
        difference=-0.4,
        low=-0.5,
        high=-0.3,
        level=0.95,
        p_value=0.001,
        rows=300,
        verdict="better",
    )
    return Evaluation(
        system="cars",
        task="classification" if classes else "regression",
        candidate=kind,
        rows=300,
        metrics=(metric,),
        baselines={"majority": (naive,)},
        against_baselines=(against,),
    )
