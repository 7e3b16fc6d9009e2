"""Truth and devices' rows over HTTP: taken into the journal, once, or refused with every reason."""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from releases import build, promote

from bento.process import Serving, free_port, service_environment, started
from perennial.live.journal.outcomes import outcomes
from perennial.live.journal.store import open_store
from perennial.live.sign import key_pair

ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}
ENTRY = {
    "prediction_id": "pump-7-1", "arm": "champion", "time_us": 1_767_225_600_000_000, "model_version": "v1",
    "inputs": json.dumps(ROW), "output": json.dumps({"prediction": 5000.0}), "latency_s": 0.001,
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Path]]:
    folder = tmp_path_factory.mktemp("received")
    key = key_pair(folder / "keys")
    promote(folder / "releases", key, build(folder / "releases", key, "prices", 1.0))
    environment = service_environment(folder / "releases", "prices", key.public_path)
    with started(environment, free_port()) as serving:
        yield serving, folder / "journal" / "prices.sqlite"


def post(served: tuple[Serving, Path], path: str, value: Any) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(urlsplit(served[0].url).netloc, timeout=30)
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, dict(answer.headers), json.loads(answer.read())


def test_an_answer_is_in_the_journal_before_it_is_sent_and_meets_its_truth(
    served: tuple[Serving, Path],
) -> None:
    status, headers, answer = post(served, "/predict", {"rows": [ROW, ROW], "prediction_id": "both"})
    assert (status, headers["x-journal"]) == (200, "written")
    with closing(sqlite3.connect(served[1])) as database:
        rows = database.execute(
            "SELECT prediction_id, model_version, inputs, output FROM perennial_predictions WHERE request_id = 'both'"
        ).fetchall()
    assert [row[0] for row in rows] == ["both-0", "both-1"] and {row[1] for row in rows} == {"v1"}
    assert json.loads(rows[0][2]) == ROW
    assert json.loads(rows[0][3])["prediction"] == answer["predictions"][0]["prediction"]
    told = {"rows": [{"prediction_id": "both-0", "truth": 5100.5}, {"prediction_id": "later", "truth": 1}]}
    assert post(served, "/truth", told)[2] == {"new": 2, "revised": 0, "repeated": 0, "pending": ["later"]}
    assert post(served, "/truth", told)[2] == {"new": 0, "revised": 0, "repeated": 2, "pending": ["later"]}
    revised = [{"prediction_id": "both", "row": 0, "truth": 5200.0}]
    assert post(served, "/truth", revised)[2] == {"new": 0, "revised": 1, "repeated": 0, "pending": []}
    store = open_store("prices", served[1])
    since, until = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    found = {one.prediction_id: one.truth for one in outcomes(store, since, until)}
    store.close()
    assert found["both-0"] == 5200.0 and found["both-1"] is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"rows": 3}, "expected"),
        ([{"prediction_id": "x"}], "expected a truth"),
        ([{"prediction_id": "x", "truth": 1}, {"truth": 2}], "rows[1]"),
        (b"{", "expected JSON"),
        ([{"time": "0001-01-01T00:00:00+23:59", "truth": 1}], "expected time in the years 1 to 9999"),
        (
            [{"prediction_id": "x", "truth": 1, "known_at": "9999-12-31T23:59:59-10:00"}],
            "expected known_at in",
        ),
        ([{"prediction_id": "x", "truth": 10**400}], "expected truth to be a number or a text"),
        ([{"prediction_id": "x", "truth": "y" * 1001}], "expected truth to be a number or a text"),
        ([{"prediction_id": "\ud800", "truth": 1}], "expected prediction_id in Unicode"),
        ([{"prediction_id": "x\0", "truth": 1}], "expected prediction_id in Unicode"),
        ([{"prediction_id": "\xe9" * 501, "truth": 1}], "of at most 1,000 bytes, found 1,002"),
        ([{"prediction_id": "x", "row": "9" * 5000, "truth": 1}], "expected row to be a whole number"),
        ([{"time": "2026-01-01T00:00:00Z", "zone": "z" * 1000, "truth": 1}], "expected the key of at most"),
    ],
)
def test_truth_that_cannot_be_used_is_refused_as_a_whole(
    served: tuple[Serving, Path], body: Any, told: str
) -> None:
    status, _, answer = post(served, "/truth", body)
    assert status == 400 and told in answer["message"]


def test_a_batch_of_a_device_is_taken_once(served: tuple[Serving, Path]) -> None:
    batch = {"device": "pump-7", "system": "prices", "dropped": 0, "entries": [ENTRY]}
    assert post(served, "/journal", batch)[::2] == (200, {"taken": 1})
    assert post(served, "/journal", batch)[::2] == (200, {"taken": 1})
    with closing(sqlite3.connect(served[1])) as database:
        query = "SELECT count(*) FROM perennial_predictions WHERE prediction_id = 'pump-7-1'"
        assert database.execute(query).fetchone() == (1,)
    status, _, answer = post(served, "/journal", {**batch, "system": "kinds"})
    assert status == 409 and "expected rows of prices" in answer["message"]
    for wrong in ({**batch, "entries": [{**ENTRY, "row": "x"}]}, {**batch, "more": 1}, [], {"device": "a"}):
        status, _, answer = post(served, "/journal", wrong)
        assert status == 400 and answer["message"].startswith("expected a batch")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"time_us": 2**62}, "time_us: expected time_us from 0 to"),
        ({"time_us": -1}, "time_us: expected time_us from 0 to"),
        ({"row": 2**31}, "row: expected row from 0 to"),
        ({"inputs": "nothing"}, "inputs: expected inputs to be the text of a JSON object"),
        ({"output": "[1]"}, "output: expected output to be the text of a JSON object"),
        ({"output": "[" * 100_000}, "output: expected output to be the text of a JSON object"),
        ({"prediction_id": "x" * 1001}, "prediction_id: expected prediction_id of at most 1,000 bytes"),
        ({"about": "a\0"}, "about: expected about in Unicode"),
    ],
)
def test_what_no_reader_could_make_sense_of_never_reaches_the_journal(
    served: tuple[Serving, Path], wrong: Any, told: str
) -> None:
    batch = {"device": "pump-7", "system": "prices", "entries": [ENTRY, {**ENTRY, "arm": "x", **wrong}]}
    status, _, answer = post(served, "/journal", batch)
    assert status == 400 and f"entries[1].{told}" in answer["message"]
    assert [one["row"] for one in answer["violations"]] == [1]
    with closing(sqlite3.connect(served[1])) as database:
        query = "SELECT count(*) FROM perennial_predictions WHERE arm = 'x'"
        assert database.execute(query).fetchone() == (0,)


def test_without_a_journal_answers_come_and_truth_is_turned_away(tmp_path: Path) -> None:
    key = key_pair(tmp_path / "keys")
    promote(tmp_path / "releases", key, build(tmp_path / "releases", key, "prices", 1.0))
    environment = service_environment(tmp_path / "releases", "prices", key.public_path)
    with started({**environment, "PERENNIAL_JOURNAL": "off"}, free_port()) as serving:
        status, headers, _ = post((serving, tmp_path), "/predict", ROW)
        assert status == 200 and "x-journal" not in headers
        assert post((serving, tmp_path), "/truth", [{"prediction_id": "x", "truth": 1}])[0] == 503
    assert not (tmp_path / "journal").exists()


def test_a_journal_that_cannot_be_written_costs_no_answer(tmp_path: Path) -> None:
    key = key_pair(tmp_path / "keys")
    promote(tmp_path / "releases", key, build(tmp_path / "releases", key, "prices", 1.0))
    (tmp_path / "journal").write_text("a file where a folder should be")
    environment = service_environment(tmp_path / "releases", "prices", key.public_path)
    with started({**environment, "PERENNIAL_WATCH_S": "0.05"}, free_port()) as serving:
        for _ in range(3):
            status, headers, answer = post((serving, tmp_path), "/predict", ROW)
            assert status == 200 and headers["x-journal"] == "not-written" and answer["predictions"]
        status, _, answer = post((serving, tmp_path), "/truth", [{"prediction_id": "x", "truth": 1}])
        assert (
            status == 503
            and answer["error"] == "journal_unavailable"
            and str(tmp_path) not in answer["message"]
        )
