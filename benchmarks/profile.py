"""What the exploratory report of a large dataset costs: time, memory and bytes, for 1 M rows x 20 columns.

The table is of mixed kinds with missing values: ten numbers, two integers, four categories, a truth value, a
text with as many values as rows, and two times. Each size runs in a process of its own, so that its peak memory
is its own; the table itself is part of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

RUN = """
import json, resource, sys, time
import numpy as np, pandas as pd
from perennial.data.exploration import explore

def table(rows):
    rng = np.random.default_rng(0)
    numbers = {f"number_{i}": rng.lognormal(size=rows) for i in range(10)}
    numbers["number_9"] = numbers["number_8"] * 2 + rng.normal(size=rows) * 0.01
    frame = pd.DataFrame(numbers)
    frame.loc[rng.random(rows) < 0.1, ["number_0", "number_1"]] = np.nan
    for i in range(2):
        frame[f"count_{i}"] = rng.poisson(5, rows)
    for i in range(4):
        frame[f"kind_{i}"] = rng.choice(np.array([f"kind {k}" for k in range(4 + 40 * i)], dtype=object), rows)
    frame["used"] = rng.random(rows) < 0.3
    frame["key"] = [f"{k:x}" for k in range(rows)]
    start = pd.Timestamp("2015-01-01", tz="UTC")
    frame["event_time"] = start + pd.to_timedelta(np.sort(rng.integers(0, 10 * 365 * 86400, rows)), unit="s")
    frame["available_at"] = frame["event_time"] + pd.to_timedelta(rng.exponential(5000, rows), unit="s")
    return frame

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

frame = table(int(sys.argv[1]))
before = peak_mb()
wall, cpu = time.perf_counter(), time.process_time()
found = explore(frame, "benchmark", {}, 1)
print(json.dumps({
    "rows": len(frame), "columns": frame.shape[1],
    "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu,
    "table": frame.memory_usage(deep=True).sum() / 2**20, "before": before, "peak": peak_mb(),
    "page": len(found.html.encode()) / 2**20, "evidently": len(found.evidently_html.encode()) / 2**20,
    "ok": sum(c.status == "ok" for c in found.columns),
}))
"""


def main(arguments: list[str]) -> None:
    """Prints the table; budget: 1 M rows x 20 columns in 60 s."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks profile")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    rows = parser.parse_args(arguments).rows
    print(
        f"{'rows':>10}{'columns':>9}{'wall s':>8}{'cpu s':>8}{'table MB':>10}{'before MB':>11}{'peak MB':>9}"
        f"{'page MB':>9}{'Evidently MB':>14}{'ok':>5}"
    )
    for count in rows:
        found = _measured(count)
        print(
            f"{found['rows']:>10,.0f}{found['columns']:>9.0f}{found['wall']:>8.1f}{found['cpu']:>8.1f}"
            f"{found['table']:>10.0f}{found['before']:>11.0f}{found['peak']:>9.0f}{found['page']:>9.2f}"
            f"{found['evidently']:>14.2f}{found['ok']:>5.0f}"
        )


def _measured(rows: int) -> dict[str, float]:
    """The figures of one run in a fresh process; raises RuntimeError with its output where it fails."""
    done = subprocess.run([sys.executable, "-c", RUN, str(rows)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the exploration of {rows} rows failed:\n{done.stdout}\n{done.stderr}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured
