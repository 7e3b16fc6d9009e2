"""`run.py truth`: files of what really happened."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import run as run_py
from perennial.live.journal.entry import Entry, about
from perennial.live.journal.outcomes import outcomes
from perennial.live.journal.store import Store, open_store

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PERENNIAL_JOURNAL", raising=False)

    def called(*arguments: str) -> tuple[int, str]:
        code = run_py.main(["truth", *arguments])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return called


@pytest.fixture
def store(call: Call) -> Store:
    opened = open_store("prices")
    hour = about(datetime(2026, 1, 31, 10, tzinfo=UTC), {"zone": "FR"})
    rows = [("offer-17", None), ("batch-0", None), ("batch-1", None), ("hour", hour)]
    opened.insert([Entry(i, "champion", 1, "v1", "{}", "1.0", 0.001, about=keyed) for i, keyed in rows])
    opened.close()
    return opened


def truths(store: Store) -> dict[str, object]:
    found = outcomes(store, datetime(1970, 1, 1, tzinfo=UTC), datetime(1971, 1, 1, tzinfo=UTC))
    return {one.prediction_id: (one.truth, one.truth_source) for one in found if one.truth is not None}


@pytest.mark.parametrize("place", [0, 10, 12, -6, -1])
def test_a_packed_file_that_was_damaged_is_one_sentence(
    call: Call, store: Store, tmp_path: Path, place: int
) -> None:
    packed = bytearray(gzip.compress(b"prediction_id,truth\noffer-17,1\n"))
    packed[place] ^= 0xFF
    file = tmp_path / "truth.csv.gz"
    file.write_bytes(packed)
    code, told = call("--file", str(file))
    assert code == 2 and told.count("\n") == 1 and "expected rows, found: " in told, told


def test_a_table_of_ids_joins_and_what_is_unknown_is_told_and_kept(
    call: Call, store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "truth.csv"
    file.write_text(
        "\ufeffprediction_id,row,truth,source\noffer-17,,20150.5,\nbatch,1,Diesel,garage\nlater,,7,\n"
    )
    code, told = call("--file", str(file))
    assert code == 0
    assert told.splitlines() == [
        "recorded 3 new and 0 revised of 3 rows for prices, 0 were known; 1 wait for their prediction",
        "  no prediction so far: later",
    ]
    assert truths(store) == {"offer-17": (20150.5, "file"), "batch-1": ("Diesel", "garage")}
    assert "0 new and 0 revised of 3 rows for prices, 3 were known" in call("--file", str(file))[1]
    store.insert([Entry("later", "champion", 2, "v1", "{}", "1.0", 0.001)])
    assert truths(store)["later"] == (7.0, "file")


def test_json_lines_by_time_and_key(call: Call, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "truth.jsonl.gz"
    row = {"time": "2026-01-31T11:00:00+01:00", "zone": "FR", "truth": 51_000}
    file.write_bytes(gzip.compress(f"{json.dumps(row)}\n\n{json.dumps({**row, 'truth': 52_000})}\n".encode()))
    assert "1 new and 1 revised" in call("--file", str(file), "--source", "grid", "--system", "prices")[1]
    assert truths(store) == {"hour": (52_000, "grid")}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("t.csv", "prediction_id,truth\na,1,2\n", "line 2 has more or fewer cells than the head"),
        ("t.csv", "prediction_id,truth\na,nan\nb,\n", "2 problems found: rows[0]"),
        ("t.jsonl", "[1]\n", "line 1 is no JSON object"),
        ("t.jsonl", "{", "expected rows, found"),
        ("t.parquet", "", "expected one of .csv, .jsonl, .ndjson, found '.parquet'"),
        ("t.csv.gz", "no gzip", "expected rows, found"),
        ("t.csv", None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    call: Call, store: Store, tmp_path: Path, name: str, content: str | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    code, told = call("--file", str(tmp_path / name))
    assert code == 2 and problem in told and str(tmp_path / name) in told
    assert truths(store) == {}


def test_the_system_must_be_clear(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text('{"prediction_id": "a", "truth": 1}')
    code, told = call("--file", str(file))
    assert code == 2 and "expected --system or exactly one journal" in told
    code, told = call("--file", str(file), "--journal", str(tmp_path / "own.sqlite"))
    assert code == 2 and "expected --system beside the address" in told
    assert call("--file", str(file), "--journal", str(tmp_path / "own.sqlite"), "--system", "prices")[0] == 0
    assert (tmp_path / "own.sqlite").exists()
