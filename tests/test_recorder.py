"""One worker's way to the journal where something around it is wrong: answers come, and nothing private is told."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bento.answering import Answering
from bento.record import NOT_WRITTEN, WRITTEN, Recorder
from bento.state import Ready
from perennial.errors import JournalError
from perennial.home import Home
from perennial.live.build import build_bundle
from perennial.live.bundle import open_bundle
from perennial.live.journal.masking import hash_key
from perennial.live.load import load_predictor
from perennial.live.sign import key_pair
from tests.releases import NOW, parts

ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Answering:
    """A release whose contract has the fuel hashed."""
    folder = tmp_path_factory.mktemp("private")
    key = key_pair(folder / "keys")
    given = parts("prices", 1.0)
    contract = given.contract.updated(lambda c: replace(c, privacy="hash") if c.name == "fuel" else c)
    reference = build_bundle(replace(given, contract=contract), folder, key, NOW)
    return Answering(Ready(load_predictor(open_bundle(reference.path, key.public_path)), 1000))


def test_without_a_key_for_hashes_answers_come_and_private_inputs_are_masked(
    answering: Answering, tmp_path: Path
) -> None:
    home, address = Home(tmp_path / "home"), tmp_path / "j.sqlite"
    home.root.mkdir()
    home.journal.write_text("a file where a folder should be")
    recorder = Recorder(str(address), home)

    async def use() -> None:
        body = json.dumps(ROW).encode()
        assert await recorder(answering.answer(body, "without"), 0.1) == WRITTEN
        home.journal.unlink()
        assert await recorder(answering.answer(body, "with"), 0.1) == WRITTEN

    asyncio.run(use())
    recorder.stop()
    with closing(sqlite3.connect(address)) as database:
        found = dict(database.execute("SELECT prediction_id, inputs FROM perennial_predictions").fetchall())
    fuels = {name: json.loads(inputs)["fuel"] for name, inputs in found.items()}
    assert fuels["without"] == "***" and fuels["with"].startswith("hmac:")


@pytest.mark.parametrize("held", [b"", b"short"])
def test_half_a_key_is_none(tmp_path: Path, held: bytes) -> None:
    (tmp_path / "hash.key").write_bytes(held)
    with pytest.raises(JournalError, match=f"expected a key of 32 bytes, found {len(held)}"):
        hash_key(tmp_path / "hash.key")


def test_a_journal_that_is_a_folder_or_no_database_costs_no_answer(
    answering: Answering, tmp_path: Path
) -> None:
    garbage = tmp_path / "garbage.sqlite"
    garbage.write_bytes(b"no database" * 1000)
    for address in (tmp_path, garbage):
        recorder = Recorder(str(address), Home(tmp_path / "home"))

        async def use(recorder: Recorder = recorder) -> None:
            exchange = answering.answer(json.dumps(ROW).encode(), None)
            assert await recorder(exchange, 0.1) == NOT_WRITTEN

        asyncio.run(use())
        recorder.stop()
