"""`run.py predict` and `run.py serve`, on a release that the real code built."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from releases import build, promote, tables

from bento.process import ROOT, free_port, stop
from commands.predict import cli as predict
from commands.serve import cli as serve
from perennial.errors import InputError, LedgerError, SourceError, TableError, UnknownNameError
from perennial.home import Home
from perennial.live import release
from perennial.live.load import load_predictor
from perennial.live.sign import PUBLIC, key_pair

CONFIG = str(ROOT / "configs" / "synthetic.yaml")
FEATURES = ["year", "mileage", "fuel", "serviced", "tax"]


@pytest.fixture(scope="module", params=["prices", "kinds"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A state folder where a model of used prices, or of kinds of cars, stands in for `synthetic`."""
    made = Home(tmp_path_factory.mktemp("home"))
    key = key_pair(made.keys)
    for hour, strength in enumerate((1.0, 5.0)):
        promote(made.releases, key, build(made.releases, key, request.param, strength, "synthetic"), hour)
    return made


def run(home: Home, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setenv("PERENNIAL_HOME", str(home.root))
    result = CliRunner().invoke(predict, ["--config", CONFIG, *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def frame() -> pd.DataFrame:
    return tables("prices")[1].frame[["id", *FEATURES]]


def written(frame: pd.DataFrame, path: Path) -> str:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffixes[:1] == [".csv"]:
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True, double_precision=15)
    return str(path)


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffixes[:1] == [".csv"]:
        return pd.read_csv(path, float_precision="round_trip", keep_default_na=False, na_values=[""])
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return pd.DataFrame([json.loads(line) for line in text.splitlines()])


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".jsonl", ".jsonl.gz"])
def test_every_form_gives_the_models_own_answers(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"out{suffix}"
    said = run(
        home, monkeypatch, "--input", written(frame(), tmp_path / f"in{suffix}"), "--output", str(output)
    )
    assert "predicted 100 rows with synthetic v2" in said
    bundle = release.champion_bundle(home.releases, "synthetic", home.keys / PUBLIC)
    assert bundle is not None
    answered = load_predictor(bundle).answer_columns({name: frame()[name] for name in FEATURES})
    found = read(output)
    numbers = ["prediction", "prediction_low", "prediction_high"]
    shares = ["prediction", "probability_old", "probability_young"]
    asked = shares if bundle.rule.classes else numbers
    assert list(found) == ["id", *asked, "model_version", "flag"]
    assert found["id"].tolist() == frame()["id"].tolist()
    assert found["prediction"].tolist() == answered.answers.prediction.tolist()
    if answered.answers.probabilities is None:
        assert found["prediction_high"].tolist() == list(answered.answers.high)
    else:
        np.testing.assert_array_equal(found[asked[1:]].to_numpy(), answered.answers.probabilities)
    assert set(found["model_version"]) == {"v2"}


def test_rows_that_cannot_be_answered_stay_in_their_place(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = frame().astype(object).drop(columns="id")
    rows.loc[3, "year"] = "soon"
    rows.loc[5, "fuel"] = "Steam"
    output = tmp_path / "out.jsonl"
    said = run(home, monkeypatch, "--input", written(rows, tmp_path / "in.csv"), "--output", str(output))
    found = read(output)
    assert len(found) == 100
    assert "id" not in found
    missing = found.index[found["prediction"].isna()].tolist()
    assert missing == [3]
    assert "year" in found["flag"][3]
    assert "Steam" in found["flag"][5]
    flagged = int((found["flag"] != "").sum())
    assert f"{flagged} flagged and 1 of these without an answer" in said
    line = json.loads(output.read_text().splitlines()[3])
    assert all(value is None for name, value in line.items() if name.startswith("p"))


def test_an_earlier_release_can_be_named(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = written(frame(), tmp_path / "in.csv")
    now, before = tmp_path / "now.csv", tmp_path / "before.csv"
    run(home, monkeypatch, "--input", source, "--output", str(now))
    run(home, monkeypatch, "--input", source, "--output", str(before), "--version", "v1")
    assert set(read(before)["model_version"]) == {"v1"}
    column = "prediction_low" if "prediction_low" in read(now) else "probability_old"
    assert not read(now)[column].equals(read(before)[column])


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (["--output", "out.xlsx"], InputError, "expected --output to end in one of"),
        (["--output", "out.parquet.gz"], InputError, "expected --output to end in one of"),
        (["--output", "nowhere/out.csv"], InputError, "expected --output in a folder that exists"),
        (["--input", "in.xlsx"], SourceError, "in.xlsx"),
        (["--input", "none.csv"], SourceError, "none.csv"),
        (["--version", "v7"], UnknownNameError, "released version of synthetic"),
        (["--input", "short.csv"], TableError, "mileage"),
    ],
)
def test_a_wrong_call_is_told_and_writes_nothing(
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    error: type[InputError],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    written(frame(), tmp_path / "in.csv")
    (tmp_path / "in.xlsx").write_bytes(b"PK")
    written(frame().drop(columns="mileage"), tmp_path / "short.csv")
    with pytest.raises(error, match=sentence) as caught:
        run(home, monkeypatch, "--input", "in.csv", "--output", "out.csv", *arguments)
    assert caught.value.exit_code == 2
    assert not list(tmp_path.glob("out*"))


def test_without_a_release_there_is_nothing_to_predict_or_serve_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = written(frame(), tmp_path / "in.csv")
    with pytest.raises(LedgerError, match="expected a release to predict with, found none"):
        run(Home(tmp_path), monkeypatch, "--input", source, "--output", str(tmp_path / "out.csv"))
    with pytest.raises(LedgerError, match="expected a release to serve, found none"):
        CliRunner().invoke(serve, ["--config", CONFIG], catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host", "0.0.0.0"], "expected a loopback address, found 0.0.0.0"),
        (["--host", "::"], "expected a loopback address, found ::"),
        (["--host", "example.org"], "expected an IP address"),
    ],
)
def test_serve_listens_on_loopback_unless_told_otherwise(
    home: Home, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(home.root))
    with pytest.raises(InputError, match=sentence):
        CliRunner().invoke(serve, ["--config", CONFIG, *arguments], catch_exceptions=False)


def test_serve_tells_that_the_port_is_taken(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(home.root))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        with pytest.raises(InputError, match=f"127.0.0.1:{port} in use"):
            CliRunner().invoke(serve, ["--config", CONFIG, "--port", port], catch_exceptions=False)


def test_run_py_predicts_and_serves(home: Home, tmp_path: Path) -> None:
    """From another folder than the checkout, as a user would."""
    environment = {**os.environ, "PERENNIAL_HOME": str(home.root)}
    command = [sys.executable, str(ROOT / "run.py")]
    source = written(frame(), tmp_path / "in.csv")
    arguments = ["predict", "--config", CONFIG, "--input", source, "--output"]
    done = subprocess.run([*command, *arguments, "out.csv"], env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0
    wrong = subprocess.run(
        [*command, *arguments, "out.txt"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    port = free_port()
    process = subprocess.Popen(
        [*command, "serve", "--config", CONFIG, "--port", str(port), "--set", "serve.max_rows=3"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        rows = json.loads(frame()[FEATURES].head(3).to_json(orient="records"))
        answer = eventually(f"http://127.0.0.1:{port}/predict", {"rows": rows})
        assert [p["prediction"] for p in answer["predictions"]] == read(tmp_path / "out.csv")[
            "prediction"
        ].tolist()[:3]
        assert process.stdout is not None
        first = process.stdout.readline().decode()
        assert first.startswith(
            f"serving synthetic v2 at http://127.0.0.1:{port} with 1 worker: POST /predict"
        )
        with pytest.raises(urllib.error.HTTPError, match="413"):
            eventually(f"http://127.0.0.1:{port}/predict", {"rows": rows * 2})
        process.send_signal(signal.SIGINT)
        process.wait(15)
    finally:
        stop(process)


def eventually(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)
