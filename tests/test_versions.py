"""Versions and their fates, the leaderboard's order, and whether a training is due."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perennial.config import Config
from perennial.config_file import load
from perennial.errors import UnknownNameError
from perennial.evidence import DatasetReference
from perennial.live import release, settings, sign, trigger
from perennial.live.leaderboard import leaderboard
from perennial.live.row_ids import holdout_digest
from perennial.live.sign import SigningKey
from tests.releases import NOW, damage, tables
from tests.versions_fixtures import Shelf

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return sign.key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def shelf(tmp_path: Path, key: SigningKey) -> Shelf:
    return Shelf(tmp_path / "releases", key)


def test_every_fate_is_told(shelf: Shelf) -> None:
    one, two = shelf.build(1.0), shelf.build(2.0)
    shelf.promote(one, 1)
    shelf.promote(two, 2)
    shelf.keep_out(shelf.build(3.0), 3)
    shelf.build(2.0, dataset=2)
    shelf.build(5.0)
    found = {v.name: (v.fate, v.told) for v in shelf.versions().known}
    assert found == {
        "v1": ("served", "served until 2026-03-01 14:00 UTC"),
        "v2": ("serving", "serves since 2026-03-01 14:00 UTC"),
        "v3": ("kept", "kept out: It is worse than the champion."),
        "v4": ("same", "the same model as v2"),
        "v5": ("undecided", "no decision: its training goes on, or was cut short"),
    }
    release.rollback(shelf.releases, "prices", None, shelf.key.public_path, NOW, "too dear")
    rolled = {v.name: v for v in shelf.versions().known}
    assert rolled["v1"].fate == "serving"
    assert rolled["v2"].told.startswith("rolled back at ")


def test_a_damaged_or_missing_bundle_is_told_and_hides_no_other(shelf: Shelf) -> None:
    for hours, strength in enumerate((1.0, 2.0, 3.0)):
        shelf.promote(shelf.build(strength), hours)
    damage(shelf.releases, "prices", "v2", "manifest.json")
    shutil.rmtree(shelf.releases / "prices" / "bundles" / "v1")
    found = shelf.versions()
    assert [v.name for v in found.known] == ["v3"]
    assert len(found.problems) == 2
    assert "v2" in found.problems[0]
    assert found.problems[1] == "the ledger names v1, whose bundle is gone"


def test_a_changed_evaluation_is_not_believed(shelf: Shelf) -> None:
    shelf.build(1.0)
    shelf.build(2.0)
    damage(shelf.releases, "prices", "v2", "metrics.json")
    found = shelf.versions()
    assert [v.name for v in found.known] == ["v1"]
    assert "metrics.json was changed after the bundle was signed" in found.problems[0]
    assert due(shelf, 1).due  # not v1 is the newest


def test_an_unknown_system_gets_the_nearest_name(shelf: Shelf) -> None:
    shelf.build(1.0)
    shelf.kind = "prizes"
    with pytest.raises(UnknownNameError, match="did you mean 'prices'"):
        shelf.versions()


@pytest.mark.parametrize("metric", ["mean_absolute_error", "r2_score"])
def test_the_leaderboard_is_sorted_within_equal_rows_alone(shelf: Shelf, metric: str) -> None:
    half = tables("prices")[1].rows(np.arange(50))
    for strength, rows in ((3.0, None), (1.0, half), (2.0, None), (4.0, half), (0.5, None)):
        measured = {"mean_absolute_error": strength, "r2_score": 1 - strength / 10}
        shelf.build(strength, metrics=measured, **({} if rows is None else {"holdout": rows}))
    board = leaderboard(shelf.versions(), metric)
    listed = [[s.version.name for s in group.standings] for group in board.holdouts]
    assert listed == [["v5", "v3", "v1"], ["v2", "v4"]]
    folders = (shelf.releases / "prices" / "bundles" / name for group in listed for name in group)
    measured = [json.loads((f / "metrics.json").read_text()) for f in folders]
    assert [m["holdout"] for m in measured] == [g.digest for g in board.holdouts for _ in g.standings]
    flat = board.flat()
    assert [row["rank"] for row in flat] == [1, 2, 3, 1, 2]
    best = "twice" if metric.endswith("_error") else "thrice"
    assert [row["baseline"] for row in flat] == [best] * 5
    json.dumps(board.as_dict(), allow_nan=False)


def test_a_version_without_a_number_comes_last_and_is_null_in_json(shelf: Shelf) -> None:
    shelf.build(1.0, metrics={"mean_absolute_error": 1.0, "r2_score": math.nan})
    shelf.build(2.0, metrics={"mean_absolute_error": 2.0, "r2_score": -5.0})
    shelf.build(3.0, metrics={"mean_absolute_error": 0.5})
    board = leaderboard(shelf.versions(), "r2_score")
    assert board.holdouts[0].standings[0].version.name == "v2"
    assert {row["version"]: row["value"] for row in board.flat()} == {"v2": -5.0, "v1": None, "v3": None}
    with pytest.raises(UnknownNameError, match="did you mean 'r2_score'"):
        leaderboard(shelf.versions(), "r2_scor")


def test_the_holdout_digest_is_of_ids_and_truth_in_any_order() -> None:
    for kind in ("prices", "kinds"):
        table = tables(kind)[1]
        digest = holdout_digest(table)
        assert holdout_digest(table.rows(np.random.default_rng(0).permutation(len(table)))) == digest
        assert holdout_digest(table.rows(np.arange(len(table) - 1))) != digest
        for column in ("id", table.contract.target.name):
            frame = table.frame.copy()
            frame.loc[3, column] = frame.loc[3, column] * 2
            assert holdout_digest(replace(table, frame=frame)) != digest


def test_settings_hold_what_makes_a_model_and_no_headers() -> None:
    left_out = {"system", "profile", "backtest", "score", "serve", "journal", "alerts", "schedule"}
    assert {*settings.SECTIONS, *left_out} == set(Config.model_fields)
    plain = load(str(CONFIGS / "fear_greed.yaml"), Config).config
    feed = next(iter(plain.source.feeds))
    config = load(
        str(CONFIGS / "fear_greed.yaml"), Config, (f"source.feeds.{feed}.headers={{X-Key: hidden-word}}",)
    ).config
    assert "hidden-word" in config.model_dump_json()
    found = settings.settings(config)
    assert found == settings.settings(plain)
    assert {key.split(".")[0] for key in found} == set(settings.SECTIONS)
    assert "hidden-word" not in json.dumps(found, allow_nan=False)


def test_changes_name_every_key_once_and_mirror() -> None:
    a, b = {"x": 1, "y": [1, 2], "only": None}, {"x": 1, "y": [2, 1], "new": 3}
    found = settings.changes(a, b)
    assert [(c.key, c.before, c.after) for c in found] == [
        ("y", [1, 2], [2, 1]),
        ("only", None, settings.ABSENT),
        ("new", settings.ABSENT, 3),
    ]
    mirrored = {(c.key, repr(c.after), repr(c.before)) for c in settings.changes(b, a)}
    assert mirrored == {(c.key, repr(c.before), repr(c.after)) for c in found}
    assert settings.changes(a, a) == ()


def due(
    shelf: Shelf, dataset: int, *, version: int | None = None, seed: int = 7, digest: str = "c" * 64
) -> trigger.Verdict:
    """Whether a training on the content of that number is due."""
    reference = DatasetReference(
        uri="memory", version=dataset if version is None else version, rows=400, fingerprint=f"{dataset:064d}"
    )
    return trigger.verdict(
        shelf.releases, "prices", shelf.key.public_path, reference, NOW, {"seed": seed}, digest
    )


def test_a_training_is_due_where_the_content_moved(shelf: Shelf) -> None:
    first = due(shelf, 1)
    assert first.due
    assert "never trained before" in first.sentence
    shelf.promote(shelf.build(1.0, dataset=1), 0)
    again = due(shelf, 1)
    assert again == trigger.Verdict(
        False,
        "not trained: dataset version 1 (400 records, collected 2026-03-01 12:00 UTC) is what prices v1 was trained "
        "on; to train, leave out --if-new-data",
    )
    moved = due(shelf, 2)
    assert moved.due
    assert "v1 was trained on version 1" in moved.sentence
    back = due(shelf, 1, version=3)
    assert not back.due
    assert "when it was version 1" in back.sentence


def test_the_outcome_of_the_last_training_does_not_matter_but_its_end_does(shelf: Shelf) -> None:
    shelf.promote(shelf.build(1.0, dataset=1), 0)
    late = shelf.build(2.0, dataset=2)
    cut = due(shelf, 2)
    assert cut.due
    assert "on v2, trained on it, nothing was decided" in cut.sentence
    shelf.keep_out(late, 1)
    assert not due(shelf, 2).due
    assert due(shelf, 1).due  # the newest training counts, not any
    shelf.build(1.0, dataset=3)  # the champion's model again, on which there is nothing to decide
    assert not due(shelf, 3).due


def test_a_changed_config_is_named_and_does_not_decide(shelf: Shelf) -> None:
    shelf.promote(shelf.build(1.0), 0)
    found = due(shelf, 1, seed=8, digest="e" * 64)
    assert not found.due
    assert "the config has changed since (seed); to train, leave out --if-new-data" in found.sentence
    assert "config" not in due(shelf, 1, digest="e" * 64).sentence  # such as another alert address


def test_an_unreadable_newest_bundle_makes_a_training_due(shelf: Shelf) -> None:
    shelf.promote(shelf.build(1.0), 0)
    damage(shelf.releases, "prices", "v1", "manifest.json")
    found = due(shelf, 1)
    assert found.due
    assert "unreadable" in found.sentence
