"""Our earthquake model beside a plain gradient boosting on the same rows, both fitted to the windows before 2017.

The plain one is scikit-learn's histogram gradient boosting on how many events a cell and its neighbours had in the
last 30, 90, 365 and 1,095 days. Ours is the default candidate of configs/files/earthquakes.yaml, without a search.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from perennial import systems
from perennial.config import Config
from perennial.config_file import load
from perennial.data import checks, crawl, records, splits
from perennial.learn.clusters import origins_of
from perennial.learn.metrics import measure
from perennial.learn.models import fit
from perennial.learn.search.draws import fixed_of
from perennial.live.answer import Answers
from perennial.table import Table

ROOT = Path(__file__).resolve().parent.parent
EVENTS = ROOT.parent / "shared" / "data" / "earthquakes"
COUNTS = tuple(f"{where}_{days}" for where in ("strong", "around") for days in (30, 90, 365, 1095))
METRICS = ("brier_skill_score", "roc_auc_score", "expected_calibration_error")


def main(arguments: list[str]) -> None:
    """Prints both models' metrics with 95 % intervals over windows, or a sentence where a file is absent."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks earthquakes")
    parser.add_argument(
        "--paths", type=Path, nargs="+", default=[EVENTS / "usgs_m50_world_2009-01_2018-12.csv.gz"]
    )
    given = parser.parse_args(arguments)
    missing = [str(path) for path in given.paths if not path.is_file()]
    if missing:
        print(
            f"skipped: expected the catalogue at {', '.join(missing)}, found no such file; name it with --paths"
        )
        return
    paths = ", ".join(map(str, given.paths))
    config = load(
        ROOT / "configs" / "files" / "earthquakes.yaml", Config, [f"source.feeds.events.walk.paths=[{paths}]"]
    ).config
    table = table_of(config)
    sides = splits.split(table, config.split, config.seed)
    train, holdout = table.rows(sides.train), table.rows(sides.holdout)
    print(f"{len(train):,} training rows, {len(holdout):,} hold-out rows\n")
    default = config.learn.candidates[0]
    model = fit(train, default.name, fixed_of(default), config.learn, config.seed)
    for name, answers in (("ours", model.predict(holdout)), ("plain", plain(train, holdout, config.seed))):
        found = measure(
            holdout.y,
            answers,
            METRICS,
            resamples=500,
            level=0.95,
            seed=config.seed,
            classes=model.rule.classes,
            base=[float((train.y == one).mean()) for one in model.rule.classes],
            origins=origins_of(holdout),
        )
        print(f"{name:<6} " + ", ".join(f"{metric.name} {metric}" for metric in found))


def table_of(config: Config) -> Table:
    """The model-ready rows of the catalogue."""
    plugin = systems.get(config.system)
    with tempfile.TemporaryDirectory() as folder:
        crawled = asyncio.run(crawl.crawl(config.source, Path(folder), lambda: datetime.now(UTC)))
        frames = [
            records.finished(
                records.to_frame(name, feed, crawl.rows(Path(folder), crawled.number, name)), feed
            )
            for name, feed in config.source.feeds.items()
        ]
    rows = plugin.prepare(records.merge(None, records.together(frames)).added, config.source, config.features)
    return checks.check(rows, plugin.contract(config.source, config.features), config.checks).table


def plain(train: Table, holdout: Table, seed: int) -> Answers:
    """The answers of a gradient boosting on counts alone."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    columns = list(COUNTS)
    model = HistGradientBoostingClassifier(
        learning_rate=0.03, max_iter=200, max_leaf_nodes=15, min_samples_leaf=200, random_state=seed
    )
    model.fit(train.frame[columns], train.y)
    shares = model.predict_proba(holdout.frame[columns])
    return Answers(model.classes_[np.argmax(shares, axis=1)], probabilities=shares)
