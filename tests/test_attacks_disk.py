"""A disk that is full, that fills at any step, or that may only be read."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perennial.live import release
from perennial.live.bundle import open_bundle
from perennial.live.sign import PUBLIC, key_pair
from tests.attacks import CONFIG, STORE, golden_rows, only_sentence, root_only
from tests.project import SMALL, Project
from tests.releases import build, promote


@pytest.fixture
def rows(twice: Project, tmp_path: Path) -> Path:
    return golden_rows(twice, tmp_path / "rows.jsonl")


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of that size in `folder`."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k"]
    if subprocess.run(["mount", *options, "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def enlarge(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=400m", str(folder)], check=True)


@root_only
def test_a_full_disk_leaves_a_whole_bundle_and_a_whole_ledger_or_none(tmp_path: Path) -> None:
    outcomes = []
    for kilobytes in (16, 24, 32, 40, 48, 56, 64, 80, 96, 128):
        with small_disk(tmp_path / f"{kilobytes}", kilobytes) as disk:
            key = key_pair(tmp_path / "keys")
            try:
                promote(disk, key, build(disk, key, "prices", 1.0))
                outcomes.append("released")
            except OSError as error:
                assert error.errno == 28
                found = list((disk / "prices" / "bundles").glob("*"))
                assert all(re.fullmatch(r"v\d+", p.name) for p in found), "no half bundle, no rubbish"
                for path in found:
                    open_bundle(path, key.public_path)
                outcomes.append("bundled" if found else "nothing")
                assert release.history(disk, "prices") == ()
                enlarge(disk)
                promote(disk, key, build(disk, key, "prices", 1.0))
            assert [e.facts.version for e in release.history(disk, "prices")] == ["v1"]
            assert release.status(disk)[0].version == "v1"
    assert {"nothing", "released"} <= set(outcomes)


def train_on_a_disk_of(kilobytes: int, folder: Path) -> bool:
    """Whether training ended well on a disk of that size; checks what a failure leaves, and the way out."""
    with small_disk(folder, kilobytes) as disk:
        project = Project(disk / "home")
        process = project.start("train", "--config", CONFIG, *SMALL)
        output = process.communicate(timeout=250)[0]
        if process.returncode == 0:
            return True
        assert process.returncode == 1
        assert "no space left; free some space" in only_sentence(output)
        bundles = project.home / "releases" / "synthetic" / "bundles"
        for path in bundles.glob("v*"):
            open_bundle(path, project.home / "keys" / PUBLIC)
        entries = len(release.history(project.home / "releases", "synthetic"))
        assert entries <= 1
        enlarge(disk)
        again = project.train()
        assert ("already serving" if entries else "promoted v1 in place of nothing") in again
        with sqlite3.connect(project.home / STORE) as store:
            asked = "select count(*) from pipeline_run where status in ('running', 'initializing')"
            assert store.execute(asked).fetchone() == (0,)
    return False


@root_only
@pytest.mark.torture
@pytest.mark.parametrize("kilobytes", [200, 700, 1_500, 3_500, 5_000, 6_000, 7_000, 8_000, 9_000, 10_000])
def test_training_survives_a_disk_that_fills_at_any_step(tmp_path: Path, kilobytes: int) -> None:
    ended_well = train_on_a_disk_of(kilobytes, tmp_path / "disk")
    assert not (ended_well and kilobytes < 5_000)


@contextmanager
def read_only(folder: Path, at: Path) -> Iterator[Path]:
    at.mkdir()
    if subprocess.run(["mount", "--bind", str(folder), str(at)], check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(at)], check=True)
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


@root_only
@pytest.mark.slow
def test_a_read_only_state_folder_can_be_read_and_nothing_else(
    twice: Project, rows: Path, tmp_path: Path
) -> None:
    with read_only(twice.home, tmp_path / "sealed") as home:
        project = Project(home)
        assert "v2 serves" in project.run("status")
        answers = str(tmp_path / "answers.csv")
        assert "predicted" in project.run(
            "predict", "--config", CONFIG, "--input", str(rows), "--output", answers
        )
        for arguments in (
            ("train", "--config", CONFIG),
            ("rollback", "--config", CONFIG),
            ("promote", "--config", CONFIG, "--version", "v1", "--reason", "x"),
            ("serve", "--config", CONFIG, "--port", "8391"),
            ("dashboard", "--no-browser", "--port", "8392"),
        ):
            output = project.run(*arguments, code=1)
            assert "found a read-only file system" in only_sentence(output), arguments
            assert output.count("\n") == 1, output
