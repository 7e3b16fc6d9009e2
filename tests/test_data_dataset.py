from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from deltalake.exceptions import DeltaError

from perennial.data.content import COLUMNS
from perennial.data.dataset import append, canonical, commit, fingerprint, latest, read, resolve
from perennial.data.records import current, merge
from perennial.errors import DatasetError
from tests.project import ROOT


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


# ------------------------------------------------------------------------------------------ collected records


def collection(
    number: int, rows: int = 20, fields: tuple[str, ...] = ("price",), same: bool = False
) -> pd.DataFrame:
    """Collection `number`: half of its keys were in the one before, with other values unless they are the `same`."""
    at = pd.Timestamp(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)).as_unit("us")
    keys = [f"k{number * rows // 2 + i:06d}" for i in range(rows)]
    values = [i if same else number * 1000 + i for i in range(rows)]
    return pd.DataFrame(
        {
            "feed": "ads",
            "key": keys[::-1],
            "event_time": at,
            "available_at": at,
            "collected_at": at,
            "source": "http://site/1",
            "raw": f"{number:064d}",
            **{name: pd.Series([*values[1:], None], dtype="Int64") for name in fields},
        }
    )


def collect(number: int, folder, **more):
    before = latest(folder)
    merged = merge(read(before) if before else None, collection(number, **more))
    return append(merged.added, folder, {"collection": str(number)})


def test_collections_append_to_one_another_and_every_version_stays_readable(tmp_path):
    references = [collect(number, tmp_path / "d") for number in range(4)]
    assert [r.version for r in references] == [0, 1, 2, 3]
    assert [r.rows for r in references] == [20, 40, 60, 80]
    assert latest(tmp_path / "d") == references[-1]
    known = None
    for number, reference in enumerate(references):
        added = merge(known, collection(number)).added
        known = added if known is None else pd.concat([known, added], ignore_index=True)
        pd.testing.assert_frame_equal(canonical(read(reference)).to_pandas(), canonical(known).to_pandas())
        assert (
            reference.fingerprint == fingerprint(canonical(known)) == fingerprint(canonical(read(reference)))
        )
    assert len(current(read(references[-1]))) == 50


def test_the_fingerprint_of_what_was_appended_is_that_of_the_same_content_at_once(tmp_path):
    for number in range(3):
        appended = collect(number, tmp_path / "appended", fields=("price", "age")[: number + 1])
    content = read(appended)
    mixed = content.sample(frac=1, random_state=1)[content.columns[::-1]]
    at_once = commit(mixed, tmp_path / "at_once")
    assert (at_once.fingerprint, at_once.version) == (appended.fingerprint, 0)
    assert commit(mixed, tmp_path / "appended") == appended
    pd.testing.assert_frame_equal(read(at_once), content)


def test_a_new_field_is_missing_in_older_rows_and_integers_stay_exact(tmp_path):
    collect(0, tmp_path / "d")
    big = collection(1, fields=("price", "size")).assign(size=pd.array([2**60 + 1] * 20, dtype="Int64"))
    reference = append(big, tmp_path / "d", {})
    records = read(reference)
    assert records["size"].isna().sum() == 20 and set(records["size"].dropna()) == {2**60 + 1}
    assert list(records.columns) == [*COLUMNS, "price", "size"]


def test_nothing_new_makes_no_version(tmp_path):
    folder = tmp_path / "d"
    assert append(collection(0).iloc[:0], folder, {}) is None and latest(folder) is None
    first = append(collection(0), folder, {})
    assert append(collection(0).iloc[:0], folder, {}) == first
    assert append(collection(0), folder, {}) == first, "the same rows once more are repeats"
    assert collect(0, folder) == first


def test_a_column_that_changes_its_type_is_named(tmp_path):
    collect(0, tmp_path / "d")
    wrong = collection(1).assign(price="cheap")
    with pytest.raises(
        DatasetError, match=r"column price: expected an integer .*, found text; give the field"
    ):
        append(wrong, tmp_path / "d", {})
    assert latest(tmp_path / "d").version == 0


def test_only_collected_records_are_appended(tmp_path):
    for wrong in (records(), collection(0).assign(key=None)):
        with pytest.raises(DatasetError, match="expected collected records"):
            append(wrong, tmp_path / "d", {})


def test_collected_records_take_the_place_of_rows_that_came_whole(tmp_path):
    whole = commit(records(), tmp_path / "d")
    first = collect(0, tmp_path / "d")
    assert (first.version, first.rows) == (1, 20)
    assert len(read(first)) == 20 and len(read(whole)) == 50
    assert collect(1, tmp_path / "d").rows == 40


def test_a_damaged_version_is_not_built_upon(tmp_path):
    collect(0, tmp_path / "d")
    (file,) = (tmp_path / "d").glob("*.parquet")
    pq.write_table(pq.read_table(file).slice(1), file)
    with pytest.raises(DatasetError, match=r"digest|readable"):
        append(collection(1), tmp_path / "d", {})


def test_versions_are_found_by_number(tmp_path):
    with pytest.raises(DatasetError, match="expected a dataset, found none; collect first"):
        resolve(tmp_path / "d", None)
    only = collect(0, tmp_path / "d")
    with pytest.raises(DatasetError, match="expected version 0, the only one, found 3"):
        resolve(tmp_path / "d", 3)
    second = collect(1, tmp_path / "d")
    assert [resolve(tmp_path / "d", v) for v in (0, 1, None)] == [only, second, second]
    for wrong in (2, -1, 10**12):
        with pytest.raises(DatasetError, match=f"expected a version from 0 to 1, found {wrong}; see"):
            resolve(tmp_path / "d", wrong)


COLLECTS_ALONE = -1
APPENDING = """
import sys
from perennial.errors import DatasetError
from tests.test_data_dataset import append, collect, collection
folder, writer, turns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(turns):
    try:
        collect(turn, folder)
        if writer >= 0:
            append(collection(100 * (writer + 1) + turn).assign(feed=f"own{writer}"), folder, {})
    except DatasetError as error:
        assert "came first" in str(error), error
        print("lost", turn, flush=True)
"""


def appending(folder, writer: int, turns: int) -> subprocess.Popen:
    command = [sys.executable, "-c", APPENDING, str(folder), str(writer), str(turns)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, **pipes)


def start(*writers: subprocess.Popen) -> None:
    """Lets the writers begin, once all of them are ready."""
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()


def test_processes_that_append_at_once_lose_and_double_nothing(tmp_path):
    folder, turns = tmp_path / "d", 4
    writers = [appending(folder, n, turns) for n in range(2)]
    start(*writers)
    outputs = [writer.communicate(timeout=120)[0] for writer in writers]
    assert [w.returncode for w in writers] == [0, 0] and outputs == ["", ""]
    alone = [collect(turn, tmp_path / "alone") for turn in range(turns)][-1]
    found = read(latest(folder))
    pd.testing.assert_frame_equal(
        found[found["feed"] == "ads"].reset_index(drop=True), read(alone), check_dtype=False
    )
    for n in range(2):
        own = found[found["feed"] == f"own{n}"]
        assert len(own) == 20 * turns and not own.duplicated(["key", "available_at"]).any()
    rows = [resolve(folder, version).rows for version in range(latest(folder).version + 1)]
    assert rows == sorted(set(rows)), "every version adds something"


def check_kills(folder, kills: int, seed: int) -> None:
    """Kills a process that appends at random moments; whatever is there then is the work of whole collections."""
    chance, turns = random.Random(seed), 3
    alone = [collect(turn, folder / "alone") for turn in range(turns)]
    digests = {reference.rows: reference.fingerprint for reference in alone}
    for kill in range(kills):
        dataset = folder / f"d{kill}"
        process = appending(dataset, COLLECTS_ALONE, turns)
        start(process)
        time.sleep(chance.random() * 0.6)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        left = latest(dataset)
        assert left is None or fingerprint(canonical(read(left))) == digests[left.rows] == left.fingerprint
        for turn in range(turns):
            last = collect(turn, dataset)
        assert (last.rows, last.fingerprint) == (alone[-1].rows, alone[-1].fingerprint)


def test_a_killed_append_leaves_a_whole_version(tmp_path):
    check_kills(tmp_path, kills=1, seed=0)


@pytest.mark.torture
def test_fifty_kills_lose_and_double_nothing(tmp_path):
    check_kills(tmp_path, kills=50, seed=1)


@contextmanager
def small_disk(folder, kilobytes: int):
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_leaves_the_version_before_it(tmp_path):
    outcomes = set()
    for kilobytes in (4, 24, 44, 100):
        with small_disk(tmp_path / f"{kilobytes}", kilobytes) as disk:
            done = None
            try:
                for number in range(5):
                    done = collect(number, disk / "d", rows=60)
            except (OSError, DeltaError) as error:
                assert "No space left" in str(error), error
                outcomes.add(done.version if done else "nothing")
            else:
                outcomes.add("all")
            assert latest(disk / "d") == done
            subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
            last = [collect(number, disk / "d", rows=60) for number in range(5)][-1]
            alone = [collect(number, tmp_path / f"alone{kilobytes}", rows=60) for number in range(5)][-1]
            assert (last.rows, last.fingerprint) == (alone.rows, alone.fingerprint)
    assert {"nothing", "all"} < outcomes
