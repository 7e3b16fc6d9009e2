"""The raw store: what was put comes back whole, or not at all and with a sentence."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial.data.crawl.raw import RawStore
from perennial.errors import StoreError

WRITER = """
import sys
from pathlib import Path
from perennial.data.crawl.raw import RawStore
store = RawStore(Path(sys.argv[1]))
print("ready", flush=True)
for n in range(10**9):
    store.put(b"%d" % n * 20_000)
"""


@given(st.binary(max_size=2000))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_put_comes_back(tmp_path: Path, body: bytes) -> None:
    store = RawStore(tmp_path)
    digest = store.put(body)
    assert digest == hashlib.sha256(body).hexdigest()
    assert (tmp_path / digest[:2] / f"{digest[2:]}.zst").exists()
    assert store.get(digest) == body == RawStore(tmp_path).get(digest)


def test_equal_bodies_are_stored_once(tmp_path: Path) -> None:
    store = RawStore(tmp_path)
    assert store.put(b"x" * 1000) == store.put(b"x" * 1000)
    (file,) = tmp_path.glob("*/*")
    assert file.stat().st_size < 100


def test_damage_is_found_and_mended_by_the_next_put(tmp_path: Path) -> None:
    store = RawStore(tmp_path)
    digest = store.put(b"a page" * 100)
    path = tmp_path / digest[:2] / f"{digest[2:]}.zst"
    whole = path.read_bytes()
    other = RawStore(tmp_path / "other")
    wrong = other.put(b"another page")
    for damaged in (
        b"",
        whole[:-3],
        bytes(reversed(whole)),
        (tmp_path / "other" / wrong[:2] / f"{wrong[2:]}.zst").read_bytes(),
    ):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"expected .* found"):
            store.get(digest)
        assert not store.has(digest)
        assert store.put(b"a page" * 100) == digest
        assert path.read_bytes() == whole


def test_a_missing_body_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected a stored answer, found none; collect again"):
        RawStore(tmp_path).get("0" * 64)


def test_a_killed_writer_leaves_whole_files_alone(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    time.sleep(random.uniform(0.05, 0.3))
    writer.send_signal(signal.SIGKILL)
    writer.wait(timeout=10)
    store = RawStore(tmp_path)
    store.sweep()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        store.get(path.parent.name + path.stem)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_named_and_leaves_no_part(small_disk: Path) -> None:
    store = RawStore(small_disk)
    stored = []
    with pytest.raises(StoreError, match="No space left on device; free space"):
        for _ in range(200):
            stored.append(store.put(os.urandom(50_000)))
    assert 60 < len(stored) < 90
    assert len([path for path in small_disk.rglob("*") if path.is_file()]) == len(stored)
    assert all(store.has(digest) for digest in stored)
