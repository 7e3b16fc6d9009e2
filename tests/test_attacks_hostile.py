"""Files that no source should give, to train on and to predict."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from perennial import systems
from perennial.config import Config
from perennial.config_file import load
from perennial.data import checks, dataset
from perennial.errors import PerennialError
from tests.attacks import call, only_sentence
from tests.listings import listings
from tests.project import ROOT, Project
from tests.ready_homes import Homes

CARS = "configs/used_cars.yaml"


def csv_of(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False)


GOOD = csv_of(listings(600).frame)
LINES = GOOD.splitlines()
TRAINING = (
    "--set",
    "learn.candidates=[{name: ridge}]",
    "--set",
    "promotion={coverage_tolerance: 0.1}",
    "--set",
    "evaluate.resamples=100",
)


def hostile() -> dict[str, tuple[str, bytes, str]]:
    """Case -> (file name, content, what training says about it: "" where it is no problem)."""
    good, text = listings(600).frame, GOOD
    packed = gzip.compress(text.encode())
    return {
        "empty": ("a.csv", b"", "an empty file"),
        "blank lines": ("a.csv", b"\n\n  \n", "an empty file"),
        "header only": ("a.csv", f"{LINES[0]}\n".encode(), "expected rows, found none"),
        "binary": ("a.csv", bytes(range(256)) * 100, "zero bytes"),
        "random": ("a.csv", np.random.default_rng(0).bytes(5000), "expected readable csv in UTF-8"),
        "a picture": (
            "a.csv",
            b"\x89PNG\r\n\x1a\n" + bytes(range(1, 256)) * 9,
            "expected readable csv in UTF-8",
        ),
        "UTF-16": ("a.csv", text.encode("utf-16"), "as in UTF-16 text"),
        "UTF-16 without a mark": ("a.csv", text.encode("utf-16-le"), "as in UTF-16 text"),
        "latin-1": ("a.csv", text.replace("Fiesta", "Fiësta").encode("latin-1"), "save it in UTF-8"),
        "semicolons": ("a.csv", text.replace(",", ";").encode(), "semicolons"),
        "long rows": (
            "a.csv",
            _ragged(LINES, lambda row: f"{row},x,y"),
            "Expected 10 fields in line 4, saw 12",
        ),
        "long rows all over": (
            "a.csv",
            "\n".join([LINES[0], *(f"{r},x" for r in LINES[1:])]).encode(),
            "more fields",
        ),
        "short rows": ("a.csv", _ragged(LINES, lambda row: ",".join(row.split(",")[:4])), "to be rejected"),
        "one column": ("a.csv", csv_of(good[["price"]]).encode(), "make: expected a column called make"),
        "a column twice": (
            "a.csv",
            "\n".join(f"{r},{r.split(',')[3]}" for r in LINES).encode(),
            "price more than once",
        ),
        "a column missing": (
            "a.csv",
            csv_of(good.drop(columns="mileage")).encode(),
            "mileage_miles or mileage",
        ),
        "no price": ("a.csv", csv_of(good.assign(price=np.nan)).encode(), "price_gbp: expected a value"),
        "a constant": ("a.csv", csv_of(good.assign(year=2015)).encode(), "year: expected values that differ"),
        "one price": (
            "a.csv",
            csv_of(good.assign(price=9000)).encode(),
            "price_gbp: expected values that differ",
        ),
        "infinity": (
            "a.csv",
            csv_of(good.assign(price=np.inf)).encode(),
            "price_gbp: expected a finite number",
        ),
        "beyond floats": (
            "a.csv",
            csv_of(good.assign(tax="1e999")).encode(),
            "tax_gbp: expected a finite number",
        ),
        "huge whole numbers": (
            "a.csv",
            csv_of(good.assign(year="9" * 30)).encode(),
            "year: expected 1900 to 2021",
        ),
        "a huge cell": ("a.csv", text.replace("Fiesta", "F" * 10_000_000, 1).encode(), ""),
        "a huge name": (
            "a.csv",
            text.replace("make", "m" * 10_000_000, 1).encode(),
            "field larger than field limit",
        ),
        "zero bytes": ("a.csv", text.replace("Fiesta", "Fie\0sta").encode(), "zero bytes"),
        "an open quote": ("a.csv", text.replace(" Fiesta", '"Fiesta', 1).encode(), "EOF inside string"),
        "quoted line breaks": ("a.csv", text.replace(" Fiesta", '"Fie\nsta"').encode(), ""),
        "a broken name": (
            "a.csv",
            text.replace("make", '"ma\nke"', 1).encode(),
            "make: expected a column called make",
        ),
        "Windows line ends": ("a.csv", text.replace("\n", "\r\n").encode(), ""),
        "old Macintosh line ends": ("a.csv", text.replace("\n", "\r").encode(), ""),
        "a byte order mark": ("a.csv", text.encode("utf-8-sig"), ""),
        "trailing commas": ("a.csv", "\n".join(f"{row},," for row in LINES).encode(), ""),
        "half a gz": ("a.csv.gz", packed[: len(packed) // 2], "Compressed file ended"),
        "a gz with a wrong sum": ("a.csv.gz", packed[:-8] + b"\1\2\3\4\5\6\7\10", "CRC check failed"),
        "gz by name alone": ("a.csv.gz", text.encode(), "Not a gzipped file"),
        "gz under a wrong name": ("a.csv", packed, "expected readable csv in UTF-8"),
        "a web page": ("a.csv", b"<html><body>403</body></html>", "expected rows, found none"),
        "no parquet": ("a.parquet", b"PAR1" + b"x" * 100 + b"PAR1", "expected readable parquet"),
        "a JSON array": ("a.jsonl", good.to_json(orient="records").encode(), "no JSON object"),
        "deep JSON": ("a.jsonl", b'{"a":' * 100_000, "maximum recursion depth"),
        "a JSON number of 400 digits": ("a.jsonl", b'{"year": %s}\n' % (b"9" * 400), "too large"),
        "half a surrogate pair": ("a.jsonl", b'{"make": "\\ud800"}\n' * 300, "half of a surrogate pair"),
    }


def _ragged(lines: list[str], change: object) -> bytes:
    return "\n".join(change(row) if n % 7 == 3 else row for n, row in enumerate(lines)).encode()  # type: ignore[operator]


HOSTILE = hostile()


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_source_gets_one_sentence_that_names_the_file(case: str, tmp_path: Path) -> None:
    name, data, told = HOSTILE[case]
    path = tmp_path / name
    path.write_bytes(data)
    config = load(ROOT / CARS, Config, [f"source.path={path}"]).config
    plugin = systems.get("used_cars")

    def train_until_the_split() -> int:
        reference = dataset.commit(plugin.collect(config.source, 7), tmp_path / "dataset")
        records = plugin.prepare(dataset.read(reference), config.source)
        checked = checks.check(records, plugin.contract(config.source), config.checks)
        checks.require(checks.quarantine(checked, tmp_path / "rejected.parquet"), str(path))
        return len(checked.table)

    if not told:
        assert train_until_the_split() > 590
        return
    with pytest.raises(PerennialError) as caught:
        train_until_the_split()
    sentence = str(caught.value)
    assert told in sentence and str(path) in sentence and "\n" not in sentence
    assert "; " in sentence and caught.value.exit_code in (1, 2)


def test_no_cell_that_a_file_holds_can_swell_a_bundle(tmp_path: Path) -> None:
    name, data, _ = HOSTILE["a huge cell"]
    (tmp_path / name).write_bytes(data)
    config = load(ROOT / CARS, Config, [f"source.path={tmp_path / name}"]).config
    plugin = systems.get("used_cars")
    checked = checks.check(plugin.collect(config.source, 7), plugin.contract(config.source), config.checks)
    assert checked.table.frame["model"].str.len().max() <= checks.LONGEST_TEXT
    long = checked.rejected[checked.rejected["reason"].str.contains("at most 1,000 characters")]
    assert len(long) == 1 and len(long["reason"].iloc[0]) < 200


def test_numbers_in_a_file_keep_every_digit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    path = tmp_path / "a.csv"
    pd.DataFrame({"a": values, "b": values}).to_csv(path, index=False)
    from perennial.data.source import read_rows

    assert np.array_equal(read_rows(path)["a"].to_numpy(), values)


@pytest.fixture(scope="module")
def cars(homes: Homes, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A release of `used_cars`, trained on a few made-up listings by the real pipeline."""
    folder = tmp_path_factory.mktemp("cars")
    (folder / "good.csv").write_text(GOOD)
    project = homes.empty(folder / "home")
    project.run("train", "--config", CARS, "--set", f"source.path={folder / 'good.csv'}", *TRAINING)
    return project


@pytest.mark.slow
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_rows_to_predict_get_one_sentence_or_an_answer_each(
    cars: Project,
    case: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, data, _ = HOSTILE[case]
    source, output = tmp_path / name, tmp_path / "answers.csv"
    source.write_bytes(data)
    arguments = ("predict", "--config", CARS, "--input", str(source), "--output", str(output))
    code, said = call(cars, capsys, monkeypatch, *arguments)
    if code == 0:
        assert "predicted 600 rows" in said and len(pd.read_csv(output)) == 600
        return
    assert code == 2 and str(source) in only_sentence(said) and said.count("\n") == 1
    assert not output.exists()


@pytest.mark.slow
@pytest.mark.parametrize("case", ["a column missing"])
def test_a_hostile_source_ends_a_training_run_with_one_sentence(
    cars: Project, case: str, tmp_path: Path
) -> None:
    name, data, told = HOSTILE[case]
    (tmp_path / name).write_bytes(data)
    process = cars.start("train", "--config", CARS, "--set", f"source.path={tmp_path / name}", *TRAINING)
    output = process.communicate(timeout=200)[0]
    assert process.returncode in (1, 2)
    assert told in only_sentence(output) and str(tmp_path / name) in only_sentence(output)
    assert len(cars.ledger("used_cars")) == 1


@pytest.mark.torture
@pytest.mark.parametrize("case", [case for case in HOSTILE if HOSTILE[case][2]])
def test_every_hostile_source_ends_a_training_run_with_one_sentence(
    cars: Project, case: str, tmp_path: Path
) -> None:
    test_a_hostile_source_ends_a_training_run_with_one_sentence(cars, case, tmp_path)
