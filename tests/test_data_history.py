"""The history of a dataset: its versions, what changed between two, and any of them as a file."""

from __future__ import annotations

import gc
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import run
from perennial.data import dataset, history
from perennial.data.content import canonical, fingerprint
from perennial.data.records import current, merge
from perennial.data.source import read_rows
from perennial.errors import DatasetError, InputError
from tests.project import ROOT, Project

gc.enable()  # run.py switches it off, which is meant for processes that end soon

CONFIG = "configs/synthetic.yaml"
START = datetime(2026, 1, 1, tzinfo=UTC)


def ads(day: int, prices: dict[str, float | None], feed: str = "ads", **more: object) -> pd.DataFrame:
    """What a collection on that day saw: a price per key."""
    at = pd.Timestamp(START + timedelta(days=day)).as_unit("us")
    frame = pd.DataFrame({"key": pd.Series(list(prices), dtype=object)})
    price = pd.Series(list(prices.values()), dtype=float)
    return frame.assign(
        feed=feed,
        event_time=at,
        available_at=at,
        collected_at=at,
        source="http://x",
        raw="0" * 64,
        price=price,
        **more,
    )


def collect(folder: Path, frame: pd.DataFrame, **facts: str) -> dataset.DatasetReference:
    before = dataset.latest(folder)
    merged = merge(dataset.read(before) if before else None, frame)
    reference = dataset.append(merged.added, folder, facts)
    assert reference is not None
    return reference


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three versions of a collected dataset."""
    place = tmp_path / "home" / "datasets" / "synthetic"
    collect(place, ads(0, {"a": 1.0, "b": 2.0, "c": None}), collection="1")
    collect(place, ads(1, {"a": 1.0, "b": 2.5, "c": 3.0, "d": 4.0}), collection="2")
    collect(place, ads(2, {"d": 4.5, "a|": 0.1}, colour="red [bold] \x1b[31m"), why="by hand")
    return place


def test_versions_tell_what_each_brought(folder):
    found = history.versions(folder)
    assert [(f.version, f.rows, f.added, f.revised, f.why) for f in found] == [
        (0, 3, 3, 0, "collection 1"),
        (1, 6, 1, 2, "collection 2"),
        (2, 8, 1, 1, "by hand"),
    ]
    for facts in found:
        reference = dataset.resolve(folder, facts.version)
        assert facts.digest == fingerprint(canonical(dataset.read(reference))) == reference.fingerprint
        assert abs(facts.committed_at - datetime.now(UTC)) < timedelta(hours=1)
    assert history.versions(folder / "none") == []


def test_versions_that_were_committed_whole_or_by_others_are_listed_too(tmp_path):
    import pyarrow as pa
    from deltalake import write_deltalake

    first = dataset.commit(pd.DataFrame({"a": [1, 2]}), tmp_path / "d", {"why": "a file"})
    write_deltalake(str(tmp_path / "d"), pa.table({"a": [1]}), mode="overwrite")
    found = history.versions(tmp_path / "d")
    assert [(f.rows, f.added, f.revised, f.why) for f in found] == [
        (2, None, None, "a file"),
        (1, None, None, ""),
    ]
    assert [f.digest for f in found] == [first.fingerprint, dataset.latest(tmp_path / "d").fingerprint]


def test_the_difference_names_new_and_revised_records_field_by_field(folder):
    found = history.difference(folder, 0, 1)
    assert found.new["key"].tolist() == ["d"] and found.gone.empty
    assert found.revised.values.tolist() == [
        ["ads", "b", "price", 2.0, 2.5],
        ["ads", "c", "price", None, 3.0],
    ]
    (price,) = found.columns
    assert (price.name, price.kind_before, price.kind_after, price.revised) == (
        "price",
        "number",
        "number",
        2,
    )
    assert (price.missing_before, price.missing_after) == (1, 0)
    assert (price.median_before, price.median_after) == (1.5, 2.75)
    whole = history.difference(folder, 0, 2)
    colour = whole.columns[0]
    assert (colour.name, colour.kind_before, colour.kind_after, colour.missing_after) == (
        "colour",
        "",
        "text",
        3,
    )
    assert whole.revised_records == 2 and whole.new["key"].tolist() == ["a|", "d"]


def test_a_difference_read_backwards_is_the_same_one(folder):
    there, back = history.difference(folder, 0, 2), history.difference(folder, 2, 0)
    pd.testing.assert_frame_equal(back.gone[["key"]], there.new[["key"]])
    swapped = back.revised.rename(columns={"before": "after", "after": "before"})[there.revised.columns]
    pd.testing.assert_frame_equal(swapped, there.revised)
    nothing = history.difference(folder, 1, 1)
    assert nothing.new.empty and nothing.gone.empty and nothing.revised.empty


def test_a_difference_applied_to_the_one_version_gives_the_other(folder):
    found = history.difference(folder, 0, 2)
    before, after = (current(dataset.read(r)).set_index("key") for r in (found.before, found.after))
    before = before.reindex(columns=after.columns).astype(object)
    for change in found.revised.itertuples():
        assert before.loc[change.key, change.field] == change.before or pd.isna(change.before)
        before.loc[change.key, change.field] = change.after
    made = pd.concat([before.drop(index=found.gone["key"]), found.new.set_index("key").astype(object)])
    fields = ["price", "colour"]
    made, expected = (part[fields].sort_index().astype(str) for part in (made, after))
    pd.testing.assert_frame_equal(made.replace("nan", "None"), expected.replace("nan", "None"))


def test_a_field_of_one_feed_is_not_counted_as_missing_in_another(tmp_path):
    collect(tmp_path / "d", pd.concat([ads(0, {"a": 1.0}, mileage=5.0), ads(0, {"a": 9.0}, feed="fx")]))
    collect(tmp_path / "d", ads(1, {"a": 8.0}, feed="fx"))
    found = history.difference(tmp_path / "d", 0, 1).columns
    assert [(c.feed, c.name, c.revised, c.missing_after, c.median_after) for c in found] == [
        ("ads", "mileage", 0, 0, 5.0),
        ("ads", "price", 0, 0, 1.0),
        ("fx", "price", 1, 0, 8.0),
    ]


def test_rows_without_a_key_are_compared_whole_and_counted(tmp_path):
    first = pd.DataFrame({"n": [1, 1, 2, 3], "t": ["x", "x", None, ""]})
    second = pd.DataFrame({"n": [3.0, 1.0, np.nan, 1.0, 1.0], "t": ["", "x", None, "x", "x"]})
    for rows in (first, second):
        dataset.commit(rows, tmp_path / "d")
    found = history.difference(tmp_path / "d", 0, 1)
    assert found.gone["n"].tolist() == [2] and found.gone["t"].isna().all()
    assert found.new["t"].tolist() == [None, "x"] and found.new["n"].isna().tolist() == [True, False]
    assert found.revised.empty
    number, text = found.columns
    assert (number.kind_before, number.kind_after, number.missing_after) == ("integer", "number", 1)
    assert (text.missing_before, text.missing_after) == (1, 1)


def test_a_dataset_that_became_a_collected_one_is_all_new(tmp_path):
    dataset.commit(pd.DataFrame({"price": [1.0, 2.0]}), tmp_path / "d")
    collect(tmp_path / "d", ads(0, {"a": 1.0}))
    found = history.difference(tmp_path / "d", 0, 1)
    assert (len(found.gone), len(found.new)) == (2, 1)


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.parquet", "x.jsonl", "x.jsonl.gz"])
def test_an_export_holds_every_row_and_every_digit(tmp_path, name):
    rows = ads(0, {"a": 0.1 + 0.2, "b": None, 'c,\n"': 1e-300})
    rows["count"] = pd.array([2**60 + 1, 1, None], dtype="Int64")
    reference = collect(tmp_path / "d", rows)
    assert history.export(reference, tmp_path / name) == 3
    found, expected = read_rows(tmp_path / name, text=["key", "raw", "count"]), dataset.read(reference)
    assert found["key"].tolist() == expected["key"].tolist()
    np.testing.assert_array_equal(
        found["price"].to_numpy(dtype=float), expected["price"].to_numpy(dtype=float)
    )
    counts = ["" if pd.isna(v) else str(v).removesuffix(".0") for v in found["count"]]
    assert counts[0] in ("1152921504606846977", "1.152921504606847e+18") and counts[2] == ""
    times = pd.to_datetime(found["event_time"], utc=True, format="ISO8601").dt.as_unit("us")
    assert times.tolist() == expected["event_time"].tolist()
    if name == "x.parquet":
        import pyarrow.parquet as pq

        assert fingerprint(pq.read_table(tmp_path / name)) == reference.fingerprint
    if name == "x.jsonl":
        first = json.loads((tmp_path / name).read_text().splitlines()[0])
        assert first["count"] == 2**60 + 1 and first["event_time"] == "2026-01-01T00:00:00.000000Z"


def test_an_export_to_nowhere_is_refused(tmp_path, folder):
    reference = dataset.resolve(folder, None)
    for wrong, sentence in {
        "x.xlsx": "expected a file name that ends in one of .csv, .parquet",
        "x.parquet.gz": "expected a file name that ends in one of .csv",
        "none/x.csv": "expected a file in a folder that exists",
    }.items():
        with pytest.raises(InputError, match=re.escape(sentence)):
            history.export(reference, tmp_path / wrong)
    with pytest.raises(DatasetError, match="expected a version from 0 to 2, found 7"):
        history.difference(folder, 0, 7)


# ---------------------------------------------------------------------------------------------- the commands


@pytest.fixture
def data(folder, monkeypatch, capsys):
    """`run.py data ...` in this process: its exit code and what it printed."""
    monkeypatch.setenv("PERENNIAL_HOME", str(folder.parent.parent))
    monkeypatch.chdir(ROOT)

    def call(*arguments: str) -> tuple[int, str]:
        code = run.main(["data", *arguments, "--config", CONFIG])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


def test_log_lists_the_versions(data):
    code, output = data("log")
    lines = [line.split() for line in output.splitlines() if line]
    assert code == 0 and lines[0][0] == "version"
    assert [line[0] for line in lines[1:]] == ["0", "1", "2"]
    assert [line[3:6] for line in lines[1:]] == [["3", "3", "0"], ["6", "1", "2"], ["8", "1", "1"]]
    assert lines[3][-2:] == ["by", "hand"] and "\x1b" not in output


def test_show_prints_the_latest_revisions_or_those_of_a_moment_or_of_a_key(data):
    code, output = data("show")
    assert code == 0 and "2: 8 rows" in output and "shown" in output and "5 of 5" in output
    assert "5 records in 8 revisions, 2026-01-01 00:00:00 to 2026-01-03 00:00:00 (UTC)" in output
    assert "red [bold]" in output and "\x1b" not in output
    assert "3 of 3" in data("show", "--at", "2026-01-01T23:59:59")[1]
    assert "3 of 3" in data("show", "v0")[1] and "4 of 4" in data("show", "1")[1]
    code, output = data("show", "latest", "--key", "d")
    assert [line.split()[:1] for line in output.splitlines()[-2:]] == [["d"], ["d"]]
    assert "1 of 1" in data("show", "--key", "d", "--at", "2026-01-02")[1]
    assert "2 of 5" in data("show", "--rows", "2")[1]


def test_diff_prints_what_changed(data):
    code, output = data("diff", "0", "latest")
    assert code == 0 and "0 (3 rows) to 2 (8 rows)" in output
    counts = dict(
        line.split() for line in output.splitlines() if line.startswith(("new ", "gone ", "revised "))
    )
    assert counts == {"new": "2", "gone": "0", "revised": "2"}
    assert "none -> text" in output and "new: 2 of 2" in output
    code, output = data("diff", "v1", "v1")
    assert code == 0 and "new:" not in output and "revised:" not in output


def test_export_writes_a_version(data, tmp_path):
    code, output = data("export", "v1", "--to", str(tmp_path / "x.csv"))
    assert code == 0 and output == f"wrote 6 rows of version 1 to {tmp_path / 'x.csv'}\n"
    assert len(read_rows(tmp_path / "x.csv")) == 6


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ("show v9", 1, "expected a version from 0 to 2, found 9"),
        ("show nine", 2, "expected a version such as 3, v3 or latest, found 'nine'"),
        ("show ³", 2, "expected a version such as 3, v3 or latest"),
        ("show --at yesterday", 2, "expected a time such as 2026-01-31"),
        ("show --at 0001-01-01T00:00+23:00", 2, "expected a time such as"),
        ("show --key zebra", 2, "expected the key of a record in version 2, found 'zebra'; keys are such as 'a',"),
        ("show --rows -1", 2, "--rows"),
        ("diff 0", 2, "Missing argument 'B'"),
        ("diff 0 3", 1, "expected a version from 0 to 2, found 3"),
        ("export --to x.xls", 2, "expected a file name that ends in one of .csv"),
        ("export", 2, "--to"),
        ("shw", 2, "Did you mean 'show'?"),
    ],
)  # fmt: skip
def test_a_wrong_call_gets_one_sentence(data, arguments, code, sentence):
    found, output = data(*arguments.split())
    assert (found, output.count("\n")) == (code, 1) and output.startswith("error: ")
    assert sentence in output


def test_rows_that_came_whole_are_shown_too(data, folder):
    dataset.commit(pd.DataFrame({"a": [1, 2], "b": ["x", None], "[red]": [1, 1]}), folder, {"why": "[red]"})
    code, output = data("show")
    assert code == 0 and "3: 2 rows" in output and output.splitlines()[-2].split() == ["1", "x", "1"]
    assert (
        "b  [red]" in output
        and data("log")[1].split()[-1] == "[red]"
        and "[red]" in data("diff", "2", "3")[1]
    )
    for option in (("--key", "a"), ("--at", "2026-01-01")):
        code, output = data("show", *option)
        assert code == 2 and "expected --at and --key with records that were collected" in output


def test_a_narrow_terminal_cuts_no_value_but_names_what_it_leaves_out(folder, monkeypatch):
    from commands import data as command

    monkeypatch.setattr(command, "PIPED_WIDTH", 60)
    monkeypatch.setenv("PERENNIAL_HOME", str(folder.parent.parent))
    output = CliRunner().invoke(command.cli, ["show", "--config", str(ROOT / CONFIG)]).output
    table = output.partition("key ")[2]
    assert "not shown: " in table and "raw" in table.partition("not shown: ")[2]
    assert max(len(line) for line in table.splitlines()[:-1]) <= 60 and "…" not in table


def test_without_a_dataset_there_is_a_way_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    assert run.main(["data", "log", "--config", CONFIG]) == 0
    assert "synthetic: no dataset yet; run" in capsys.readouterr().out
    for arguments in (("show",), ("diff", "0", "1"), ("export", "--to", "x.csv")):
        assert run.main(["data", *arguments, "--config", CONFIG]) == 1
        output = capsys.readouterr().err
        assert output.count("\n") == 1 and "expected a dataset, found none; collect first" in output
    assert not (tmp_path / "home").exists()


def test_the_command_runs_in_a_process_of_its_own(folder):
    output = Project(folder.parent.parent).run("data", "log", "--config", CONFIG)
    assert "collection 2" in output and "by hand" in output
