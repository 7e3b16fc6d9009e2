"""`python -m benchmarks NAME`: runs one benchmark and prints its table."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = {
    "backtest": "a year of French load with weekly refits beside a plain LightGBM loop: wall time and error",
    "collect": "collecting a local site of 2,000 pages beside Scrapy and Crawlee",
    "earthquakes": "our earthquake model beside a plain gradient boosting on counts, on the same rows",
    "journal": "the journal: rows per second on disk and the wait for it, 16 requests at a time",
    "edge": "what the edge agent takes of a device: installed size, start-up, memory, time per answer",
    "overhead": "a training run beside a bare ZenML pipeline of as many empty steps, and a plain script",
    "profile": "time and memory of the exploratory report of a dataset of 1 M rows x 20 columns",
    "score": "scoring a stock table of 1 M rows with the model of used_cars: rows per second, memory",
    "search": "our search beside scikit-learn's RandomizedSearchCV: wall time and error of what they choose",
    "serve": "our service beside FastAPI and plain BentoML under load: requests per second, tail, memory, start-up",
    "startup": "how long `run.py --help` and `run.py status` take",
    "used_cars": "accuracy and time on the real listings, for several seeds of the hold-out",
}


def main(arguments: list[str]) -> int:
    """Runs the named benchmark with its own arguments; returns 2 where the name is unknown."""
    if not arguments or arguments[0] not in BENCHMARKS:
        lines = "\n".join(f"  {name:<12} {about}" for name, about in BENCHMARKS.items())
        print(f"usage: python -m benchmarks NAME\n\n{lines}", file=sys.stderr)
        return 2
    importlib.import_module(f"benchmarks.{arguments[0]}").main(arguments[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
