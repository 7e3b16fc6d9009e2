"""Records from a generator: a classification problem of known difficulty."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perennial.config import GeneratorSource
from perennial.errors import InputError

CLUSTERS_PER_CLASS = 4
DECIMALS = 6


def generate(source: GeneratorSource, seed: int) -> pd.DataFrame:
    """Samples of Guyon's MADELON problem (NIPS 2003), by scikit-learn's `make_classification`.

    Every class is a set of Gaussian clusters at the corners of a hypercube, so that no straight line parts
    the classes and a forest beats a logistic regression. Values are rounded to six decimals, which hides
    the last-bit differences between machines.

    Returns:
        `source.rows` rows with `source.columns` features and the text column `label`.

    Raises:
        InputError: where the knobs contradict each other.
    """
    from sklearn.datasets import make_classification

    clusters = min(CLUSTERS_PER_CLASS, 2**source.informative // source.classes)
    if clusters < 1:
        raise InputError(
            f"source: expected classes to be at most {2**source.informative} (2 to the power of "
            f"informative), found {source.classes}; raise informative or lower classes"
        )
    if source.informative + source.redundant > source.columns:
        raise InputError(
            f"source: expected informative + redundant to be at most columns ({source.columns}), found "
            f"{source.informative} + {source.redundant}; raise columns or lower the others"
        )
    values, labels = make_classification(
        n_samples=source.rows,
        n_features=source.columns,
        n_informative=source.informative,
        n_redundant=source.redundant,
        n_classes=source.classes,
        n_clusters_per_class=clusters,
        class_sep=source.separation,
        flip_y=source.label_noise,
        random_state=seed,
    )
    frame = pd.DataFrame(np.round(values, DECIMALS), columns=feature_names(source))
    return frame.assign(label=np.array([f"class_{n}" for n in labels], dtype=object))


def feature_names(source: GeneratorSource) -> list[str]:
    """The names of the generated features: `feature_01`, `feature_02` and so on."""
    width = max(2, len(str(source.columns)))
    return [f"feature_{n:0{width}d}" for n in range(1, source.columns + 1)]
