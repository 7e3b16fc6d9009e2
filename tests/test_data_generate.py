from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from perennial.config import Config, GeneratorSource
from perennial.config_file import load
from perennial.data.generate import generate
from perennial.errors import InputError

ROOT = Path(__file__).parents[1]


def test_the_seed_alone_decides():
    source = GeneratorSource(kind="generator", rows=50)
    pd.testing.assert_frame_equal(generate(source, 3), generate(source, 3))
    assert not generate(source, 3).equals(generate(source, 4))


def test_shape_names_and_classes_follow_the_knobs():
    frame = generate(GeneratorSource(kind="generator", rows=90, columns=12, informative=6, classes=3), 0)
    assert frame.shape == (90, 13)
    assert [frame.columns[0], *frame.columns[-2:]] == ["feature_01", "feature_12", "label"]
    assert set(frame["label"]) == {"class_0", "class_1", "class_2"}


def test_knobs_that_contradict_each_other_are_refused():
    with pytest.raises(
        InputError, match=r"informative \+ redundant to be at most columns \(4\), found 3 \+ 2"
    ):
        generate(GeneratorSource(kind="generator", columns=4, informative=3, redundant=2), 0)
    with pytest.raises(InputError, match="classes to be at most 2"):
        generate(GeneratorSource(kind="generator", informative=1, redundant=0, classes=3), 0)


@pytest.mark.parametrize("seed", [7, 11, 42])
def test_a_forest_passes_the_floor_of_the_shipped_config_and_beats_a_straight_line(seed):
    config = load(ROOT / "configs/synthetic.yaml", Config).config
    frame = generate(config.source, seed)
    X, y = frame.drop(columns="label").to_numpy(), frame["label"]
    parts = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
    forest = RandomForestClassifier(100, max_depth=10, random_state=seed)
    scores = [
        make_pipeline(StandardScaler(), model).fit(parts[0], parts[2]).score(parts[1], parts[3])
        for model in (forest, LogisticRegression())
    ]
    assert scores[0] > 0.87
    assert scores[0] > scores[1] + 0.03
