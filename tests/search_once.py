"""A search that a test runs in a process of its own, to kill it: `python tests/search_once.py KIND FOLDER`."""

import json
import sys
import time
from pathlib import Path

from test_learn_models import class_table, folds_of, learn_config

from perennial.config import Learn
from perennial.learn.tune import search

KINDS = {
    "random": {"kind": "random"},
    "halving": {"kind": "halving", "factor": 2, "least_rows": 100},
    "optuna": {"kind": "optuna", "at_once": 2},
}


def result(kind, folder):
    """The same search every time: some seconds of fits."""
    forest = {"name": "random_forest", "parameters": {"n_estimators": 25}, "trials": 7}
    learn = Learn(**learn_config(forest, {"name": "logistic"}).model_dump() | {"search": KINDS[kind]})
    return search(class_table(1500), folds_of(1500), learn, "classification", 3, time.monotonic, kept=folder)


def facts(found):
    """All of a search result but its times."""
    return json.loads(json.dumps(found.model_dump(mode="json"), default=str), object_hook=_untimed)


def _untimed(part):
    return {name: value for name, value in part.items() if name != "seconds"}


if __name__ == "__main__":
    print(json.dumps(facts(result(sys.argv[1], Path(sys.argv[2])))))
