from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from perennial.data.dataset import canonical, commit, fingerprint, latest, read
from perennial.errors import DatasetError


def records(rows: int = 50) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=rows)
    numbers[3], numbers[4] = np.nan, np.inf
    return pd.DataFrame(
        {
            "count": np.arange(rows)[::-1],
            "size": numbers,
            "name": [None if i % 7 == 0 else f"café {i}" for i in range(rows)],
            "flag": rng.random(rows) < 0.5,
            "time": pd.date_range("2020-01-01", periods=rows, freq="h", tz="UTC", unit="us"),
            "empty": np.array([None] * rows, dtype=object),
        }
    )


def test_a_version_is_read_back_exactly_and_in_order(tmp_path):
    reference = commit(records(), tmp_path / "d")
    pd.testing.assert_frame_equal(read(reference), records())
    assert reference.rows == 50
    assert latest(tmp_path / "d") == reference


def test_every_old_version_stays_readable(tmp_path):
    frames = [records(), records().iloc[::-1].reset_index(drop=True), pd.DataFrame({"other": [1.0, 2.0]})]
    references = [commit(frame, tmp_path / "d") for frame in frames]
    assert [r.version for r in references] == [0, 1, 2]
    for reference, frame in zip(references, frames, strict=True):
        pd.testing.assert_frame_equal(read(reference), frame)


def test_unchanged_content_makes_no_new_version(tmp_path):
    first = commit(records(), tmp_path / "d")
    assert commit(records(), tmp_path / "d") == first
    assert commit(read(first), tmp_path / "d") == first
    changed = records()
    changed.loc[0, "size"] += 1e-12
    assert commit(changed, tmp_path / "d").version == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.iloc[::-1],
        lambda f: f.rename(columns={"count": "counts"}),
        lambda f: f[f.columns[::-1]],
        lambda f: f.astype({"count": float}),
        lambda f: f.assign(name=f["name"].fillna("")),
        lambda f: f.assign(name=f["name"].replace({"café 1": "café ", "café 2": "1café 2"})),
        lambda f: f.assign(size=f["size"].fillna(0.0)),
        lambda f: f.iloc[:-1],
        lambda f: f.assign(flag=~f["flag"]),
    ],
)
def test_any_change_of_content_changes_the_fingerprint(change):
    assert fingerprint(canonical(change(records()))) != fingerprint(canonical(records()))


def test_the_index_and_narrower_types_do_not_change_the_fingerprint():
    other = records().astype({"count": "int16"}).set_axis(np.arange(50) * 3)
    assert fingerprint(canonical(other)) == fingerprint(canonical(records()))


def test_mixed_and_nested_values_are_kept_as_text(tmp_path):
    frame = pd.DataFrame({"mixed": [1, "a", None, True], "nested": [[1], {"b": 2}, None, []]})
    read_back = read(commit(frame, tmp_path / "d"))
    assert read_back["mixed"].tolist() == ["1", "a", None, "True"]
    assert read_back["nested"].tolist() == ["[1]", "{'b': 2}", None, "[]"]


def test_content_that_is_not_what_the_reference_says_is_refused(tmp_path):
    first = commit(records(), tmp_path / "d")
    second = commit(records(9), tmp_path / "d")
    with pytest.raises(DatasetError, match=f"expected version 1 with the digest {first.fingerprint[:12]}"):
        read(second.model_copy(update={"fingerprint": first.fingerprint}))


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_file_never_answers(tmp_path, damage):
    reference = commit(records(), tmp_path / "d")
    (file,) = (tmp_path / "d").glob("*.parquet")
    data = bytearray(file.read_bytes())
    data[60] ^= 0xFF
    file.write_bytes(bytes(data[:-50] if damage == "cut" else data))
    if damage == "gone":
        file.unlink()
    with pytest.raises(DatasetError, match="from a backup"):
        read(reference)


def test_a_version_that_somebody_else_wrote_has_a_reference_too(tmp_path):
    import pyarrow as pa
    from deltalake import write_deltalake

    folder = tmp_path / "with blank é"
    commit(records(), folder)
    write_deltalake(str(folder), pa.table({"a": [1, 2]}), mode="overwrite", schema_mode="overwrite")
    reference = latest(folder)
    assert (reference.version, reference.rows) == (1, 2)
    assert read(reference)["a"].tolist() == [1, 2]
    assert commit(pd.DataFrame({"a": [1, 2]}), folder) == reference


def test_what_is_missing_is_named(tmp_path):
    assert latest(tmp_path / "none") is None
    reference = commit(records(), tmp_path / "d")
    with pytest.raises(DatasetError, match="expected a dataset with version 5, found none"):
        read(reference.model_copy(update={"version": 5}))
    with pytest.raises(DatasetError, match="found none"):
        read(reference.model_copy(update={"uri": str(tmp_path / "none")}))


def test_times_without_a_zone_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="times with a zone"):
        commit(pd.DataFrame({"t": pd.to_datetime(["2020-01-01"])}), tmp_path / "d")


def test_nothing_in_the_log_expires(tmp_path):
    from deltalake import DeltaTable

    commit(records(), tmp_path / "d")
    commit(records(9), tmp_path / "d")
    settings = DeltaTable(str(tmp_path / "d")).metadata().configuration
    assert settings["delta.enableExpiredLogCleanup"] == "false"
    (newest, *_) = sorted((tmp_path / "d").glob("*.parquet"))
    assert pq.ParquetFile(newest).metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_killed_writer_leaves_the_last_version(tmp_path):
    first = commit(records(), tmp_path / "d")
    (tmp_path / "d" / "part-00000-unfinished.parquet").write_bytes(b"PAR1 half a file")
    assert latest(tmp_path / "d") == first
    pd.testing.assert_frame_equal(read(first), records())
    assert commit(records(9), tmp_path / "d").version == 1


def test_processes_that_commit_at_once_never_get_each_others_version(tmp_path):
    folder = str(tmp_path / "d")
    code = textwrap.dedent(
        f"""
        import sys, pandas as pd
        from perennial.data.dataset import commit, read
        from perennial.errors import DatasetError
        for turn in range(12):
            own = pd.DataFrame({{"writer": [int(sys.argv[1])] * 1000, "turn": turn}})
            try:
                reference = commit(own, {folder!r})
            except DatasetError as error:
                assert "only process" in str(error), error
            else:
                assert read(reference).equals(own)
                print(reference.version)
        """
    )
    commit(records(), folder)
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    outputs = [writer.communicate(timeout=120)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    versions = [int(line) for text in outputs for line in text.splitlines()]
    assert len(set(versions)) == len(versions)
    assert latest(folder).version == max(versions) == len(versions)
