"""What the framework costs: a warm training run of `synthetic` beside the least that could be done.

- bare ZenML: a pipeline of as many steps that do nothing, in a script without anything of ours;
- plain script: the same fit and hold-out score with scikit-learn alone.

All three start a fresh process, on a store that exists, with bytecode compiled; nothing is cached.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import in_turn, table

ROOT = Path(__file__).resolve().parent.parent
STEPS = 11

BARE = """
from zenml import pipeline, step

{steps}

@pipeline(enable_cache=False)
def bare():
    value = step_0()
    {wiring}

bare()
"""

PLAIN = """
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, classification_report
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = make_classification(1000, 20, n_informative=8, n_redundant=4, class_sep=2.0, random_state=7)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=7)
model = make_pipeline(StandardScaler(), RandomForestClassifier(100, max_depth=10, random_state=7))
model.fit(X_train, y_train)
print(accuracy_score(y_test, model.predict(X_test)), classification_report(y_test, model.predict(X_test)))
"""


def main(arguments: list[str]) -> None:
    """Prints the table; budget: a training run at most 1.2 x the bare pipeline."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks overhead")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args(arguments).rounds
    with tempfile.TemporaryDirectory() as folder:
        bare, plain = Path(folder) / "bare.py", Path(folder) / "plain.py"
        bare.write_text(_bare_script(STEPS))
        plain.write_text(PLAIN)
        environment = {
            "PERENNIAL_HOME": f"{folder}/home",
            "ZENML_CONFIG_PATH": f"{folder}/zenml",
            "ZENML_ANALYTICS_OPT_IN": "false",
        }
        train = [sys.executable, str(ROOT / "run.py"), "train", "--no-cache"]
        commands = {
            f"bare ZenML pipeline, {STEPS} steps": [sys.executable, str(bare)],
            f"run.py train synthetic, {STEPS} steps": [
                *train,
                "--config",
                str(ROOT / "configs" / "synthetic.yaml"),
            ],
            "plain script, the same fit": [sys.executable, str(plain)],
        }
        print(table(in_turn(commands, rounds, environment), next(iter(commands))))


def _bare_script(steps: int) -> str:
    defined = ["@step\ndef step_0() -> int:\n    return 0"]
    defined += [f"@step\ndef step_{i}(value: int) -> int:\n    return value" for i in range(1, steps)]
    wiring = "\n    ".join(f"value = step_{i}(value)" for i in range(1, steps))
    return BARE.format(steps="\n\n".join(defined), wiring=wiring)
