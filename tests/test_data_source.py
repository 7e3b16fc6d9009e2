from __future__ import annotations

import gzip
from datetime import date

import pandas as pd
import pytest

from perennial.config import FileSource
from perennial.data.source import collected_on, read_file, read_rows
from perennial.errors import SourceError

FRAME = pd.DataFrame({"name": ["Fiesta", "é, 500", None], "miles": [1, 2, 3], "size": [1.5, None, 0.0]})


def written(folder, suffix):
    path = folder / f"rows{suffix}"
    kind = suffix.removesuffix(".gz")
    if kind == ".csv":
        data = FRAME.to_csv(index=False).encode()
    elif kind == ".parquet":
        data = FRAME.to_parquet(None)
    else:
        data = FRAME.to_json(orient="records", lines=True).encode()
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("zipped", ["", ".gz"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl", ".ndjson"])
def test_every_format_holds_the_same_rows(tmp_path, suffix, zipped):
    pd.testing.assert_frame_equal(read_rows(written(tmp_path, suffix + zipped)), FRAME)


def test_blanks_and_a_byte_order_mark_are_dropped(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("\ufeff name ,miles\n Fiesta ,1\n  ,2\n".encode())
    read = read_rows(path)
    assert list(read.columns) == ["name", "miles"]
    assert read["name"].tolist() == ["Fiesta", None]


def test_columns_are_renamed_and_text_stays_text(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("Modell,code,km\n500,007,12\n3008,010,34\n")
    source = FileSource(kind="file", path=str(path), columns={"Modell": "model", "km": "mileage"})
    read = read_file(source, text=["model", "code"])
    assert read.to_dict("list") == {"model": ["500", "3008"], "code": ["007", "010"], "mileage": [12, 34]}
    assert read_rows(path)["Modell"].tolist() == [500, 3008]


def test_renaming_never_makes_two_columns_of_one_name(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("km,mileage\n1,2\n")
    with pytest.raises(SourceError, match="two columns would be called mileage"):
        read_file(FileSource(kind="file", path=str(path), columns={"km": "mileage"}))


def test_a_json_string_may_hold_a_line_separator(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": "x\u2028y"}\n\n{"a": "z"}\n', encoding="utf-8")
    assert read_rows(path)["a"].tolist() == ["x\u2028y", "z"]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("rows.csv", b"", "an empty file"),
        ("rows.csv", b"a,b\n", "expected rows, found none"),
        ("rows.csv", b"a;b\n1;2\n", "semicolons"),
        ("rows.csv", b"a,b\n1,2\n3,4,5\n", "Expected 2 fields in line 3, saw 3"),
        ("rows.csv", b"a,b\n1,2,3\n4,5,6\n", "more fields than the header line"),
        ("rows.csv", b"a, a\n1,2\n", "the column a more than once"),
        ("rows.csv", "a,b\n1,é\n".encode("latin-1"), "expected readable csv in UTF-8"),
        ("rows.csv.gz", b"a,b\n1,2\n", "expected readable csv"),
        ("rows.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-12], "expected readable csv"),
        ("rows.parquet", b"PAR1 no parquet", "expected readable parquet"),
        ("rows.jsonl", b'{"a": 1}\n{"a": \n', "line 2 is no JSON"),
        ("rows.jsonl", b"[1, 2]\n", "line 1 is no JSON object"),
        ("rows.xlsx", b"PK", "found .xlsx"),
    ],
)
def test_what_cannot_be_read_gets_one_sentence(tmp_path, name, data, told):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=told) as caught:
        read_rows(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_suggests_the_nearest_name(tmp_path):
    (tmp_path / "listings.csv.gz").write_bytes(b"")
    with pytest.raises(SourceError, match=r"did you mean 'listings\.csv\.gz'"):
        read_rows(tmp_path / "listing.csv.gz")
    with pytest.raises(SourceError, match="found a folder"):
        read_rows(tmp_path)


def test_the_day_of_collection_is_stated_or_that_of_the_file(tmp_path):
    import os

    path = tmp_path / "rows.csv"
    path.write_text("a\n1\n")
    os.utime(path, (1_600_000_000, 1_600_000_000))
    assert collected_on(FileSource(kind="file", path=str(path))) == date(2020, 9, 13)
    assert collected_on(FileSource(kind="file", path="absent.csv", as_of=date(2020, 1, 2))) == date(
        2020, 1, 2
    )
    with pytest.raises(SourceError, match="found none"):
        collected_on(FileSource(kind="file", path=str(tmp_path / "absent.csv")))
