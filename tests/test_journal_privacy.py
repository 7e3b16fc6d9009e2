"""Private inputs never reach the journal, and contracts that know no privacy stay what they were."""

from __future__ import annotations

import hashlib
import hmac
import json
import multiprocessing
from dataclasses import asdict
from pathlib import Path

import pytest

from perennial.live.journal.entries import entries_of
from perennial.live.journal.entry import Entry
from perennial.live.journal.masking import hash_key, hidden, masked, masked_flags, rules_of
from perennial.table import Column, Contract, contract_from

KEY = bytes(range(32))
CONTRACT = Contract(
    "prices",
    (
        Column("mileage", "number", "how far", aliases=("odometer",)),
        Column("owner", "text", "who", privacy="mask", aliases=("Owner Name",)),
        Column("plate", "text", "which", privacy="hash", aliases=("vrm",)),
        Column("price", "number", "what it costs", role="target"),
    ),
)
RULES = rules_of(CONTRACT, KEY)


def test_private_columns_are_hidden_under_every_name_and_others_are_left_alone() -> None:
    rows = [
        {"odometer": 3, "Owner Name": "Ann", "vrm": "AB 12"},
        {"mileage": 4, "owner": None, "plate": "AB 12"},
        {"owner": ["Ann", {"x": "Ann"}], "plate": None},
    ]
    before = json.dumps(rows)
    found = masked(rows, RULES)
    assert json.dumps(rows) == before, "the caller's rows are not changed"
    code = hmac.new(KEY, b'"AB 12"', hashlib.sha256).hexdigest()[:32]
    assert found == [
        {"odometer": 3, "Owner Name": "***", "vrm": f"hmac:{code}"},
        {"mileage": 4, "owner": None, "plate": f"hmac:{code}"},
        {"owner": "***", "plate": None},
    ]
    assert "Ann" not in json.dumps(found) and "AB 12" not in json.dumps(found)


def test_equal_values_hash_alike_and_another_key_hashes_otherwise() -> None:
    assert hidden(1, "hash", KEY) == hidden(1.0, "hash", KEY) != hidden("1", "hash", KEY)
    assert hidden(1, "hash", KEY) != hidden(2, "hash", KEY)
    assert hidden(1, "hash", KEY) != hidden(1, "hash", KEY[::-1])


def test_a_flag_does_not_give_a_private_value_away() -> None:
    flags = ("owner 'Ann' was not seen in training", "mileage 5 is outside 1 to 2: treated as missing")
    assert masked_flags(flags, RULES) == ("owner was flagged", flags[1])
    assert masked_flags(flags, rules_of(Contract("prices", CONTRACT.columns[:1]), KEY)) == flags


def test_a_contract_without_privacy_has_the_fingerprint_it_always_had() -> None:
    plain = Contract("prices", CONTRACT.columns[:1])
    known = {name: value for name, value in asdict(plain.columns[0]).items() if name != "privacy"}
    told = {"system": "prices", "columns": [known]}
    assert plain.as_dict() == told
    assert plain.fingerprint == hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    assert contract_from(json.loads(json.dumps(CONTRACT.as_dict()))) == CONTRACT
    assert contract_from(json.loads(json.dumps(plain.as_dict()))) == plain
    with pytest.raises(ValueError, match="expected a privacy of mask, hash or none, found 'hide'"):
        Column("owner", "text", "who", privacy="hide")


def test_all_processes_get_the_same_key_and_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "journal" / "hash.key"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        keys = set(pool.map(hash_key, [path] * 9))
    assert len(keys) == 1 and len(keys.pop()) == 32
    assert path.stat().st_mode & 0o777 == 0o600


def test_entries_of_a_request_hold_everything_but_what_is_private() -> None:
    rows = [{"mileage": 3, "owner": "Ann"}, {"mileage": 4, "owner": "Bob"}]
    flags = [("owner 'Ann' was not seen in training", "mileage 3 is low"), ()]
    answers = [
        {"prediction": 1.5, "flag": "; ".join(flags[0]), "model_version": "v3", "prediction_id": "r-0"},
        {"prediction": 2.5, "flag": "", "model_version": "v3", "prediction_id": "r-1"},
    ]
    first, second = entries_of(
        rows, answers, flags, ("r-0", "r-1"), RULES, "r", "v3", 7, 0.25, arm="shadow", abouts=("x", None)
    )
    assert first == Entry(
        *("r-0", "shadow", 7, "v3", '{"mileage":3,"owner":"***"}', '{"prediction":1.5}', 0.25),
        *("owner was flagged; mileage 3 is low", "", "r", 0, "", "x"),
    )
    assert (second.prediction_id, second.row, second.flag, second.about) == ("r-1", 1, "", None)
    assert "Ann" not in repr(first) and "Bob" not in repr(second)
