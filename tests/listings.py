"""Made-up car listings under the source's own column names, with flaws planted in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

MODELS = {"ford": ("Fiesta", "Focus"), "fiat": ("500", "Panda"), "peugeot": ("208", "3008")}


@dataclass(frozen=True)
class Listings:
    """The listings, and where in them (positions) each flaw was planted."""

    frame: pd.DataFrame
    future: tuple[int, ...]
    no_engine: tuple[int, ...]
    twins: tuple[int, ...]
    worded: tuple[int, ...]


def listings(rows: int = 600, seed: int = 0) -> Listings:
    """Different listings, in which planted flaws never share a row."""
    rng = np.random.default_rng(seed)
    makes = rng.choice(sorted(MODELS), rows)
    year = rng.integers(2005, 2021, rows)
    mileage = rng.permutation(rows * 100)[:rows] + 10
    frame = pd.DataFrame(
        {
            "make": makes,
            "model": [f" {MODELS[m][i]}" for m, i in zip(makes, rng.integers(0, 2, rows), strict=True)],
            "year": year,
            "price": (30_000 * 0.88 ** (2020 - year) * rng.uniform(0.9, 1.1, rows)).round(),
            "transmission": rng.choice(["Manual", "Automatic"], rows),
            "mileage": mileage,
            "fuelType": rng.choice(["Petrol", "Diesel"], rows),
            "tax": rng.choice([0, 30, 145], rows),
            "mpg": rng.uniform(25, 70, rows).round(1),
            "engineSize": rng.choice([1.0, 1.4, 2.0], rows),
        }
    )
    flawed = rng.choice(np.arange(1, rows, 2), 12, replace=False)
    future, no_engine, twins, worded = (tuple(int(i) for i in part) for part in np.split(flawed, 4))
    frame.loc[list(future), "year"] = 2060
    frame.loc[list(no_engine), "engineSize"] = 0.0
    for twin in twins:
        frame.loc[twin] = frame.loc[twin - 1]
    frame = frame.astype({"mileage": object})
    frame.loc[list(worded), "mileage"] = "on request"
    return Listings(frame, future, no_engine, twins, worded)
