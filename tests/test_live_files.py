"""Durable files and signatures."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import stat
import threading
from pathlib import Path

import pytest

from perennial.errors import BundleError, InputError
from perennial.live import files, sign


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    files.write_atomic(path, b"one")
    files.write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["facts.json"]
    assert files.digest(path) == hashlib.sha256(b"two").hexdigest()


def test_write_exclusive_has_one_winner_and_no_half_files(tmp_path: Path) -> None:
    path, size = tmp_path / "entry.json", 200_000
    won: list[int] = []
    seen: set[int] = set()
    start = threading.Barrier(9)

    def write(number: int) -> None:
        start.wait()
        try:
            files.write_exclusive(path, bytes([number]) * size)
        except FileExistsError:
            return
        won.append(number)

    def read() -> None:
        start.wait()
        for _ in range(2000):
            if path.exists():
                seen.add(len(path.read_bytes()))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert path.read_bytes() == bytes(won) * size
    assert seen <= {size}
    assert [p.name for p in tmp_path.iterdir()] == ["entry.json"]


def test_canonical_refuses_nan_and_ignores_order() -> None:
    assert (
        files.canonical({"b": 1, "a": [2.5]}) == files.canonical({"a": [2.5], "b": 1}) == b'{"a":[2.5],"b":1}'
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.canonical(float("nan"))


def test_the_private_key_is_made_once_and_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        first = sign.key_pair(tmp_path / "keys")
    finally:
        os.umask(before)
    again = sign.key_pair(tmp_path / "keys")
    private = tmp_path / "keys" / sign.PRIVATE
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert sign.sign(first, b"x") == sign.sign(again, b"x")
    assert sorted(p.name for p in private.parent.iterdir()) == [sign.PRIVATE, sign.PUBLIC]
    assert b"PRIVATE" not in first.public_path.read_bytes()
    assert "private=" not in repr(first)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    sign.key_pair(tmp_path)
    (tmp_path / sign.PRIVATE).chmod(0o640)
    with pytest.raises(InputError, match="expected mode 0600, found 0640"):
        sign.key_pair(tmp_path)


@pytest.mark.parametrize("name", [sign.PRIVATE, sign.PUBLIC])
def test_a_damaged_key_is_refused(tmp_path: Path, name: str) -> None:
    sign.key_pair(tmp_path)
    (tmp_path / name).write_bytes(b"nonsense")
    with pytest.raises(InputError, match=f"signing key .*{name}"):
        sign.key_pair(tmp_path)


def _public_of(folder: str, queue: multiprocessing.Queue[bytes]) -> None:
    key = sign.key_pair(Path(folder))
    queue.put(key.public_path.read_bytes() + sign.sign(key, b"same"))


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[bytes] = context.Queue()
    processes = [context.Process(target=_public_of, args=(str(tmp_path / "k"), queue)) for _ in range(6)]
    for process in processes:
        process.start()
    found = {queue.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert len(found) == 1


def test_verify_accepts_the_owner_only(tmp_path: Path) -> None:
    mine, other = sign.key_pair(tmp_path / "a"), sign.key_pair(tmp_path / "b")
    signature = sign.sign(mine, b"message")
    assert len(signature) == 64
    sign.verify(mine.public_path, b"message", signature)
    for key, message, given in (
        (other, b"message", signature),
        (mine, b"massage", signature),
        (mine, b"message", signature[:-1]),
        (mine, b"message", b""),
    ):
        with pytest.raises(BundleError, match="expected a signature"):
            sign.verify(key.public_path, message, given)
    with pytest.raises(BundleError, match="expected an Ed25519 public key"):
        sign.verify(tmp_path / "none.pem", b"message", signature)
