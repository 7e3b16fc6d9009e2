"""Scoring a dealer's stock table with the model of `used_cars`: seconds, rows per second, peak memory.

The model is the config's named default, fitted to the real listings; the stock is drawn from them, with other
mileages. Each run is a process of its own; its memory is read before it scores, after the first batch and after every
other. A second run, which finds nothing to do, follows.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import sqlalchemy as sa

from benchmarks import used_cars
from perennial.config import Bundle, Config
from perennial.config_file import load
from perennial.evidence import DatasetReference, Evaluation
from perennial.live.build import build_bundle
from perennial.live.pack import Parts
from perennial.live.scoring.database import open_database
from perennial.live.sign import PUBLIC, key_pair
from perennial.table import Table

ROOT = Path(__file__).resolve().parent.parent
CHUNK = 100_000

RUN = """
import json, sys, time
import psutil
from datetime import UTC, datetime
from pathlib import Path
from perennial.config_score import Score
from perennial.live.bundle import open_bundle
from perennial.live.load import load_predictor
from contextlib import nullcontext
from perennial.live.scoring.journalled import journalling
from perennial.live.scoring.score import score_table

score, bundle, key = Score.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
predictor = load_predictor(open_bundle(bundle, key))
process = psutil.Process()
seen = [process.memory_info().rss]
start = time.perf_counter(), time.process_time()
kept = journalling("used_cars", sys.argv[4], predictor.bundle.contract) if score.journal else nullcontext()
with kept as journal:
    found = score_table(score, predictor, lambda: datetime.now(UTC), journal=journal,
        progress=lambda done, total: seen.append(process.memory_info().rss))
print(json.dumps({
    "wall": time.perf_counter() - start[0], "cpu": time.process_time() - start[1], "rows": found.rows,
    "scored": found.scored, "flagged": found.flagged,
    "before": seen[0] / 2**20, "first": seen[1] / 2**20, "peak": max(seen) / 2**20,
}))
"""


def main(arguments: list[str]) -> None:
    """Prints a line per run; budget: 1 M rows in two minutes on two cores, with flat memory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks score")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--into", choices=("table", "columns"), nargs="+", default=["table"])
    parser.add_argument("--journal", action="store_true", help="score once more, into a journal too")
    parser.add_argument("--batch-rows", type=int, default=None)
    parser.add_argument("--path", type=Path, default=used_cars.LISTINGS)
    parser.add_argument("--keep", type=Path, help="a folder that keeps the model for the next time")
    parser.add_argument("--url", help="env:NAME of an empty database. Default: SQLite in a temporary folder")
    given = parser.parse_args(arguments)
    if not given.path.is_file():
        print(f"skipped: expected the listings at {given.path}, found no such file; name one with --path")
        return
    config = load(ROOT / "configs" / "used_cars.yaml", Config, [f"source.path={given.path}"]).config
    table = used_cars.listings(config)
    with tempfile.TemporaryDirectory(prefix="perennial-benchmark-") as folder:
        kept = given.keep or Path(folder)
        bundle = model(config, table, kept)
        heads = {"rows": 10, "into": 9, "scored": 11, "wall s": 8, "cpu s": 8, "rows/s": 9}
        heads |= {"before MB": 11, "batch MB": 10, "peak MB": 9}
        print("".join(f"{head:>{width}}" for head, width in heads.items()))
        for rows, into, kept_too in itertools.product(
            given.rows, given.into, (False, True)[: given.journal + 1]
        ):
            url = given.url or str(Path(folder) / f"{into}_{rows}_{kept_too}.sqlite")
            if given.url is None:
                Path(url).touch()
            name = f"stock_{rows}_{into}_{kept_too}".lower()
            make_stock(url, name, table, rows)
            score = {"url": url, "table": name, "key": ["id"], "into": {"kind": into}, "journal": kept_too}
            if given.batch_rows:
                score["batch_rows"] = given.batch_rows
            journal = Path(folder) / f"{name}.journal"
            for _ in range(2):
                found = measured(score, bundle, kept / "keys" / PUBLIC, journal)
                print(line(found, into) + "  journal" * kept_too, flush=True)


def model(config: Config, table: Table, folder: Path) -> Path:
    """A signed bundle of the config's default on all listings; one that is in the folder already is taken."""
    bundles = folder / "bundles"
    if bundles.is_dir() and any(bundles.iterdir()):
        return next(bundles.iterdir())
    bundles.mkdir(parents=True)
    start = time.perf_counter()
    train, holdout = used_cars.sides(config, table, config.seed)
    fitted = used_cars.fit_default(config, config.learn.candidates[0], train, config.seed)
    evaluation = Evaluation(
        system=config.system, task="regression", candidate=fitted.candidate, rows=len(holdout), metrics=(),
        baselines={}, against_baselines=(),
    )  # fmt: skip
    parts = Parts(
        system=config.system, estimator=fitted.estimator, contract=fitted.contract, rule=fitted.rule, train=train,
        holdout=holdout, evaluation=evaluation, candidate=fitted.candidate, parameters=fitted.parameters,
        dataset=DatasetReference(uri="benchmark", version=0, rows=len(table), fingerprint="0" * 64),
        config_digest="0" * 64, code_digest="0" * 64, seed=config.seed, options=Bundle(),
    )  # fmt: skip
    built = build_bundle(parts, bundles, key_pair(folder / "keys"), datetime.now(UTC))
    print(f"fitted {fitted.candidate} to {len(train):,} listings in {time.perf_counter() - start:.0f} s")
    return Path(built.path)


def make_stock(url: str, name: str, table: Table, rows: int) -> None:
    """A table of listings drawn with replacement, each with a mileage of its own."""
    rng = np.random.default_rng(0)
    features = [c.name for c in table.contract.features]
    engine = open_database(url)
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        part = table.frame[features].iloc[rng.integers(0, len(table), n)].reset_index(drop=True)
        part["mileage_miles"] = (part["mileage_miles"] * rng.uniform(0.9, 1.1, n)).round()
        part.insert(0, "id", np.arange(start, start + n))
        part = part.astype({c: object for c in part if isinstance(part[c].dtype, pd.CategoricalDtype)})
        with engine.begin() as connection:
            if not start:
                kinds = {
                    c.name: sa.Text if c.kind == "category" else sa.Double for c in table.contract.features
                }
                made = [
                    sa.Column("id", sa.Integer, primary_key=True),
                    *(sa.Column(n, k) for n, k in kinds.items()),
                ]
                sa.Table(name, sa.MetaData(), *made).create(connection)
            part.to_sql(name, connection, index=False, if_exists="append")
    engine.dispose()


def measured(score: dict[str, object], bundle: Path, key: Path, journal: Path) -> dict[str, float]:
    """The figures of one run in a fresh process; raises RuntimeError with its output where it fails."""
    command = [sys.executable, "-c", RUN, json.dumps(score), str(bundle), str(key), str(journal)]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"scoring failed:\n{done.stdout}\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def line(found: dict[str, float], into: str) -> str:
    """One run as a line of the table."""
    return (
        f"{found['rows']:>10,.0f}{into:>9}{found['scored']:>11,.0f}{found['wall']:>8.1f}{found['cpu']:>8.1f}"
        f"{found['rows'] / found['wall']:>9,.0f}{found['before']:>11.0f}{found['first']:>10.0f}{found['peak']:>9.0f}"
    )
