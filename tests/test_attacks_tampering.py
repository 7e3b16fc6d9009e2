"""Rollbacks at the edge, and releases, keys and ledgers that were tampered with."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from perennial.live.build import build_bundle
from perennial.live.shelf import newest_released
from perennial.live.sign import PRIVATE, PUBLIC, key_pair
from tests.attacks import CONFIG, call, golden_rows, only_sentence
from tests.project import SMALL, Project
from tests.releases import NOW, parts


@pytest.fixture
def copy(twice: Project, tmp_path: Path) -> Project:
    """The releases and keys of two releases, to damage."""
    home = tmp_path / "home"
    for name in ("releases", "keys"):
        shutil.copytree(twice.home / name, home / name)
    return Project(home)


@pytest.fixture
def rows(twice: Project, tmp_path: Path) -> Path:
    return golden_rows(twice, tmp_path / "rows.jsonl")


def test_rolling_back_goes_back_and_there_it_ends(
    copy: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(code: int, *arguments: str) -> str:
        command, *rest = arguments
        found, output = call(copy, capsys, monkeypatch, command, "--config", CONFIG, *rest)
        assert found == code, output
        return output if code == 0 else only_sentence(output)

    assert "v1 serves again; v2 is barred" in said(0, "rollback")
    assert "expected a release before v1 to go back to, found none" in said(1, "rollback")
    assert "v2 serves again; v1 is barred" in said(0, "rollback", "--to", "v2")
    assert "found v2, the champion" in said(1, "rollback", "--to", "v2")
    assert "known are: v1, v2" in said(2, "rollback", "--to", "v9")
    assert "known are: v1, v2" in said(2, "promote", "--version", "v9", "--reason", "x")
    assert "known are: v1, v2" in said(2, "promote", "--version", "../bundles/v1", "--reason", "x")
    assert "found v2, the champion" in said(1, "promote", "--version", "v2", "--reason", "x")
    assert "v1 serves now (was: v2)" in said(0, "promote", "--version", "v1", "--reason", "the shop asked")
    assert copy.ledger()[-1]["reasons"] == ["the shop asked"]
    assert [e["version"] for e in copy.ledger()] == ["v1", "v2", "v1", "v2", "v1"]


def test_of_two_rollbacks_at_once_none_goes_too_far(copy: Project) -> None:
    both = [copy.start("rollback", "--config", CONFIG) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], outputs
    lost = only_sentence(outputs[codes.index(1)])
    assert "another promotion or rollback came first" in lost or "before v1 to go back to, found none" in lost
    assert [(e["kind"], e["version"]) for e in copy.ledger()][2:] == [("rollback", "v1")]


def test_a_version_is_never_given_twice_even_where_its_bundle_was_deleted(
    copy: Project, tmp_path: Path
) -> None:
    releases, key = copy.home / "releases", key_pair(copy.home / "keys")
    for name in ("v1", "v2"):
        shutil.rmtree(releases / "synthetic/bundles" / name)
    after = newest_released(releases, "synthetic")
    folder = releases / "synthetic/bundles"
    made = [build_bundle(parts("kinds", c, "synthetic"), folder, key, NOW, after) for c in (1.0, 5.0, 5.0)]
    assert [m.version for m in made] == ["v3", "v4", "v4"]


def damage_key_replaced(home: Path) -> None:
    shutil.rmtree(home / "keys")
    key_pair(home / "keys")


def damage_public_key_garbage(home: Path) -> None:
    (home / "keys" / PUBLIC).write_text("junk")


def damage_bundle_deleted(home: Path) -> None:
    shutil.rmtree(home / "releases/synthetic/bundles/v2")


def damage_model_flipped(home: Path) -> None:
    path = home / "releases/synthetic/bundles/v2/model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damage_entry_edited(home: Path) -> None:
    path = home / "releases/synthetic/ledger/000001.json"
    path.write_text(path.read_text().replace('"kind": "promotion"', '"kind": "rollback"'))


def damage_entry_removed(home: Path) -> None:
    (home / "releases/synthetic/ledger/000001.json").unlink()


def damage_entry_emptied(home: Path) -> None:
    (home / "releases/synthetic/ledger/000002.json").write_text("")


DAMAGES = {
    damage_key_replaced: ("expected a signature of manifest.json", False),
    damage_public_key_garbage: ("expected an Ed25519 public key", False),
    damage_bundle_deleted: ("restore it from a copy, roll back, or promote another version", True),
    damage_model_flipped: ("model.onnx was changed after the bundle was signed", False),
    damage_entry_edited: ("found an edited one; restore it from a copy", True),
    damage_entry_removed: ("000001.json: expected to find it", True),
    damage_entry_emptied: ("000002.json: expected the entry as it was written", True),
}
"""Damage -> (what every command says that needs the champion, whether `status` sees it too)."""


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__.removeprefix("damage_"))
def test_tampering_is_told_by_whatever_needs_the_champion(
    copy: Project,
    damage: object,
    rows: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damage(copy.home)  # type: ignore[operator]
    told, seen_by_status = DAMAGES[damage]  # type: ignore[index]
    code, output = call(copy, capsys, monkeypatch, "status")
    if seen_by_status:
        assert code == 1 and told in only_sentence(output)
    else:
        assert code == 0 and "v2 serves" in output
    answers = tmp_path / "answers.csv"
    files = ("--input", str(rows), "--output", str(answers))
    code, output = call(copy, capsys, monkeypatch, "predict", "--config", CONFIG, *files)
    assert code == 1 and told in only_sentence(output) and not answers.exists()
    assert told in only_sentence(copy.run("serve", "--config", CONFIG, "--port", "8390", code=1))


@pytest.mark.torture
def test_doctor_names_every_damage_at_once(copy: Project) -> None:
    shutil.copytree(copy.home / "releases/synthetic", copy.home / "releases/other")
    damage_entry_edited(copy.home)
    (copy.home / "keys" / PRIVATE).chmod(0o644)
    output = copy.run("doctor", code=1)
    failed = {line.split()[1] for line in output.splitlines() if line.startswith("FAIL")}
    assert {"signing", "synthetic"} <= failed
    assert "chmod 600" in output and "found an edited one" in output and "Traceback" not in output


def damage_private_readable(home: Path) -> None:
    (home / "keys" / PRIVATE).chmod(0o644)


def damage_private_gone(home: Path) -> None:
    (home / "keys" / PRIVATE).unlink()


def damage_private_garbage(home: Path) -> None:
    (home / "keys" / PRIVATE).write_text("junk")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (damage_private_readable, "chmod 600"),
        (damage_private_gone, "expected it beside"),
        (damage_private_garbage, "expected an Ed25519 key in PEM"),
    ],
    ids=["readable", "gone", "garbage"],
)
@pytest.mark.torture
def test_a_private_key_out_of_order_stops_training_and_nothing_else(
    twice: Project, damage: object, told: str, rows: Path, tmp_path: Path
) -> None:
    project = Project(tmp_path / "home")
    shutil.copytree(twice.home, project.home)
    damage(project.home)  # type: ignore[operator]
    public = (project.home / "keys" / PUBLIC).read_bytes()
    assert "v2 serves" in project.run("status")
    answers = str(tmp_path / "answers.csv")
    assert "predicted" in project.run(
        "predict", "--config", CONFIG, "--input", str(rows), "--output", answers
    )
    doctor = project.run("doctor", code=1)
    assert any(line.startswith("FAIL  signing key") and told in line for line in doctor.splitlines()), doctor
    process = project.start("train", "--config", CONFIG, *SMALL, "--set", "seed=8")
    output = process.communicate(timeout=200)[0]
    assert process.returncode == 2 and told in only_sentence(output)
    assert (project.home / "keys" / PUBLIC).read_bytes() == public
    assert len(project.ledger()) == 2


@pytest.mark.torture
def test_a_deleted_bundle_stops_training_until_it_is_rolled_back_and_its_version_is_never_given_again(
    twice: Project, tmp_path: Path
) -> None:
    project = Project(tmp_path / "home")
    shutil.copytree(twice.home, project.home)
    damage_bundle_deleted(project.home)
    process = project.start("train", "--config", CONFIG, *SMALL, "--set", "seed=9")
    output = process.communicate(timeout=200)[0]
    assert process.returncode == 1
    assert "the bundle that ledger entry 2 released is gone" in only_sentence(output)
    project.run("rollback", "--config", CONFIG)
    assert re.search(r"promoted v3|not v3", project.train("--set", "seed=9"))
    assert not (project.home / "releases/synthetic/bundles/v2").exists()


@pytest.mark.torture
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__.removeprefix("damage_"))
def test_tampering_stops_training_with_one_sentence(twice: Project, damage: object, tmp_path: Path) -> None:
    project = Project(tmp_path / "home")
    shutil.copytree(twice.home, project.home)
    damage(project.home)  # type: ignore[operator]
    before = sorted((project.home / "releases/synthetic/ledger").glob("*"))
    process = project.start("train", "--config", CONFIG, *SMALL, "--set", "seed=8")
    output = process.communicate(timeout=200)[0]
    assert process.returncode in (1, 2), output
    assert "; " in only_sentence(output)
    assert sorted((project.home / "releases/synthetic/ledger").glob("*")) == before
