"""The journal's tables: what is written, joined and pruned, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from perennial.errors import InputError, JournalError, TableError
from perennial.live.journal.entry import Entry, about, microseconds, moment_of
from perennial.live.journal.figures import figures
from perennial.live.journal.outcomes import Outcome, outcomes
from perennial.live.journal.prune import prune
from perennial.live.journal.store import Store, open_store
from perennial.live.journal.truth import Truth, read_truth, record_truth
from tests.postgres import running

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NUMBERS = count()


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with running() as server:
        yield server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        opened = open_store("prices", tmp_path / "journal" / "prices.sqlite")
    else:
        opened = open_store(f"prices{next(NUMBERS)}", request.getfixturevalue("server_url"))
    yield opened
    opened.close()


def entry(prediction_id: str, at: datetime = NOW, value: float = 1.0, **fields: object) -> Entry:
    made = Entry(prediction_id, "champion", microseconds(at), "v1", '{"a":1}', json.dumps(value), 0.002)
    return made._replace(**fields)


def everything(store: Store, source: str | None = None) -> list[Outcome]:
    return list(outcomes(store, NOW - timedelta(days=1000), NOW + timedelta(days=1000), source))


def said(
    store: Store, *rows: dict[str, object], now: datetime = NOW
) -> tuple[int, int, int, tuple[str, ...]]:
    done = record_truth(store, read_truth(rows, "rows", "file"), now)
    return done.new, done.revised, done.repeated, done.pending


def test_what_comes_out_is_what_went_in(store: Store) -> None:
    text = '{"naïve":"\\u0000 \' \\" ; DROP TABLE x","n":null,"x":1e-320}'
    written = entry(
        "a-1", inputs=text, flag="é", quality="last value", request_id="a", row=1, unit="u", arm="shadow"
    )
    assert store.insert([written]) == 1
    (found,) = everything(store)
    assert found.inputs == json.loads(text) and found.output == 1.0 and found.time == NOW
    same = (
        "prediction_id",
        "arm",
        "model_version",
        "latency_s",
        "flag",
        "quality",
        "request_id",
        "row",
        "unit",
    )
    assert [getattr(found, name) for name in same] == [getattr(written, name) for name in same]
    assert (found.truth, found.truth_source, found.truth_known_at) == (None, None, None)


def test_the_same_id_again_changes_nothing_and_another_arm_is_another_row(store: Store) -> None:
    assert store.insert([entry("a", value=1.0), entry("b"), entry("a", value=2.0)]) == 2
    assert store.insert([entry("a", value=3.0), entry("a", value=4.0, arm="shadow"), entry("c")]) == 2
    found = {(one.prediction_id, one.arm): one.output for one in everything(store)}
    assert found == {
        ("a", "champion"): 1.0,
        ("a", "shadow"): 4.0,
        ("b", "champion"): 1.0,
        ("c", "champion"): 1.0,
    }


def test_a_large_group_is_one_transaction_that_fails_as_one(store: Store) -> None:
    rows = [entry(str(i), NOW + timedelta(seconds=i)) for i in range(1_700)]
    bad = rows[-1]._replace(inputs=None)
    with pytest.raises(JournalError, match="leave these rows out") as caught:
        store.insert([*rows[:-1], bad])
    assert not caught.value.passing
    assert everything(store) == []
    assert store.insert(rows) == 1_700
    assert [one.prediction_id for one in everything(store)] == [str(i) for i in range(1_700)]


def test_outcomes_begin_at_since_and_end_before_until(store: Store) -> None:
    moments = [NOW + timedelta(microseconds=i) for i in range(4)]
    store.insert([entry(str(i), moment) for i, moment in enumerate(moments)])
    found = outcomes(store, moments[1], moments[3])
    assert [one.time for one in found] == moments[1:3]


def test_truth_by_id_is_late_repeated_and_revised(store: Store) -> None:
    store.insert([entry("a", value=10.0), entry("b"), entry("r-0"), entry("r-1")])
    late = NOW + timedelta(days=30)
    assert said(store, {"prediction_id": "a", "truth": 11.5}, now=late) == (1, 0, 0, ())
    assert said(store, {"prediction_id": "a", "truth": 11.5}, now=late) == (0, 0, 1, ())
    assert said(store, {"prediction_id": "a", "truth": 12}, now=late + timedelta(days=1)) == (0, 1, 0, ())
    assert said(store, {"prediction_id": "r", "row": 1, "truth": "yes"}) == (1, 0, 0, ())
    found = {one.prediction_id: one for one in everything(store)}
    assert {name: one.truth for name, one in found.items()} == {"a": 12, "b": None, "r-0": None, "r-1": "yes"}
    assert found["a"].truth_known_at == late + timedelta(days=1) and found["a"].truth_source == "file"


def test_an_old_value_sent_again_does_not_replace_a_newer_one(store: Store) -> None:
    store.insert([entry("a")])
    first = {"prediction_id": "a", "truth": 1, "known_at": "2026-02-01T00:00:00Z"}
    second = {"prediction_id": "a", "truth": 2, "known_at": "2026-02-02T00:00:00+00:00"}
    assert said(store, second, first) == (1, 1, 0, ())
    assert everything(store)[0].truth == 2
    assert said(store, first) == (0, 0, 1, ())
    assert everything(store)[0].truth == 2
    assert said(store, {"prediction_id": "a", "truth": 1}) == (0, 1, 0, ())
    assert everything(store)[0].truth == 1


def test_truth_by_key_and_time_meets_every_prediction_of_it(store: Store) -> None:
    hour = NOW + timedelta(hours=5)
    keyed = about(hour, {"zone": "FR", "area": 7})
    store.insert(
        [entry("h5", about=keyed), entry("h4", NOW + timedelta(hours=1), about=keyed), entry("other")]
    )
    paris = (hour + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S+01:00")
    row = {"time": paris, "area": "7.0", "zone": "FR", "truth": 51_000}
    assert said(store, row, {**row, "zone": "DE"}) == (2, 0, 0, (about(hour, {"zone": "DE", "area": 7}),))
    assert {one.prediction_id: one.truth for one in everything(store)} == {
        "h5": 51_000,
        "h4": 51_000,
        "other": None,
    }


def test_truth_that_comes_first_is_pending_and_joins_later(store: Store) -> None:
    keyed = about(NOW, {"zone": "FR"})
    rows = {"prediction_id": "a", "truth": True}, {"time": NOW.isoformat(), "zone": "FR", "truth": 3}
    assert said(store, *rows) == (2, 0, 0, ("a", keyed))
    assert said(store, *rows) == (0, 0, 2, ("a", keyed))
    store.insert([entry("a"), entry("b", about=keyed)])
    assert {one.prediction_id: one.truth for one in everything(store)} == {"a": True, "b": 3}
    assert said(store, *rows) == (0, 0, 2, ())


def test_sources_keep_their_own_history_and_the_newest_counts(store: Store) -> None:
    store.insert([entry("a")])
    record_truth(store, [Truth(1.0, "a", source="file")], NOW)
    record_truth(store, [Truth(2.0, "a", source="review")], NOW + timedelta(days=1))
    done = record_truth(store, [Truth(1.0, "a", source="file")], NOW + timedelta(days=2))
    assert (done.revised, done.repeated) == (0, 1)
    assert everything(store)[0].truth == 2.0
    assert everything(store, "file")[0].truth == 1.0
    assert everything(store, "nobody")[0].truth is None


def test_a_withdrawn_truth_counts_no_more_and_that_of_others_does(store: Store) -> None:
    keyed = about(NOW, {"zone": "FR"})
    store.insert([entry("a"), entry("b", about=keyed)])

    def says(value: float | None, day: int, source: str = "review", **target: str) -> None:
        known_us = microseconds(NOW + timedelta(days=day))
        record_truth(store, [Truth(value, **target, known_us=known_us, source=source)], NOW)

    for target in ({"prediction_id": "a"}, {"about": keyed}):
        says(1.0, 1, "file", **target)
        says(2.0, 2, **target)
        says(None, 3, **target)
        says(None, 3, **target)
    assert [(one.truth, one.truth_source) for one in everything(store)] == [(1.0, "file")] * 2
    assert [(one.truth, one.truth_known_at) for one in everything(store, "review")] == [(None, None)] * 2
    assert figures(store).joined == 2 and figures(store).truth == 6
    for target in ({"prediction_id": "a"}, {"about": keyed}):
        says(None, 4, "file", **target)
    assert {(one.truth, one.truth_source) for one in everything(store)} == {(None, None)}
    assert figures(store).joined == 0
    says(5.0, 3, prediction_id="a")
    assert everything(store)[0].truth == 5.0, "of one moment, what was recorded last counts"
    assert figures(store).joined == 1


def test_the_join_is_what_a_plain_loop_finds(store: Store) -> None:
    chance = random.Random(7)
    predictions = [
        entry(f"p{i}", NOW + timedelta(seconds=i), about=chance.choice([None, "x", "y"])) for i in range(60)
    ]
    told: list[tuple[int, int, Truth]] = []
    for step in range(200):
        target = {"prediction_id": f"p{chance.randrange(80)}"} if chance.random() < 0.7 else {"about": "x"}
        one = Truth(float(step), known_us=chance.randrange(40), source="s", **target)
        told.append((one.known_us or 0, step, one))
    for start in range(0, 200, 40):
        record_truth(store, [one for _, _, one in told[start : start + 40]], NOW)
    store.insert(predictions)

    def newest(p: Entry) -> float | None:
        fits = [
            t for t in told if t[2].prediction_id == p.prediction_id or (p.about and t[2].about == p.about)
        ]
        return max(fits)[2].value if fits else None

    assert [one.truth for one in everything(store)] == [newest(p) for p in predictions]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"prediction_id": "a"}, "expected a truth, found none"),
        ({"truth": 1}, "found neither"),
        ({"truth": 1, "prediction_id": "a", "time": "2026-01-01T00:00:00Z"}, "found both"),
        ({"truth": 1, "prediction_id": 7}, "expected prediction_id to be text, found 7"),
        ({"truth": 1, "prediction_id": "a", "zone": "FR"}, "expected no key beside prediction_id"),
        ({"truth": 1, "prediction_id": "a", "row": -1}, "expected row to be a whole number"),
        ({"truth": [1], "prediction_id": "a"}, "expected truth to be a number or a text, found [1]"),
        ({"truth": float("nan"), "prediction_id": "a"}, "found NaN"),
        ({"truth": 1, "time": "2026-01-01T00:00:00", "zone": "FR"}, "expected time with a zone"),
        ({"truth": 1, "time": "today", "zone": "FR"}, "found 'today'"),
        ({"truth": 1, "time": "2026-01-01T00:00:00Z", "zone": ["FR"]}, "expected the key zone"),
        ({"truth": 1, "prediction_id": "a", "known_at": 5}, "expected known_at"),
    ],
)
def test_truth_that_cannot_be_used_is_named_with_its_row(row: dict[str, object], problem: str) -> None:
    with pytest.raises(TableError) as caught:
        read_truth([{"prediction_id": "a", "truth": 1}, row], "rows")
    assert [v.where for v in caught.value.violations] == ["rows[1]"]
    assert problem in str(caught.value)


def test_pruning_by_age_takes_the_oldest_with_their_truth(store: Store) -> None:
    store.insert([entry(str(i), NOW - timedelta(days=i)) for i in range(10)])
    old = NOW - timedelta(days=9)
    said(store, {"prediction_id": "never came", "truth": 1}, now=old)
    said(store, *({"prediction_id": str(i), "truth": i} for i in range(10)), now=NOW)
    said(store, {"prediction_id": "still to come", "truth": 1}, now=NOW)
    done = prune(store, NOW, max_age_days=4.5, batch=2)
    assert (done.predictions, done.truth) == (5, 1)
    assert [one.prediction_id for one in everything(store)] == ["4", "3", "2", "1", "0"]
    done = prune(store, NOW + timedelta(days=5), max_age_days=4.5, batch=2)
    assert (done.predictions, done.truth) == (5, 11)
    assert prune(store, NOW + timedelta(days=5), max_age_days=4.5) == type(done)(0, 0)


def test_pruning_by_rows_and_size_keeps_the_newest(store: Store) -> None:
    store.insert(
        [entry(str(i), NOW + timedelta(seconds=i), inputs='"' + "x" * 1_000 + '"') for i in range(3_000)]
    )
    assert prune(store, NOW, max_rows=2_500).predictions == 500
    before = store.size_bytes()
    assert before > 2.5e6
    prune(store, NOW, max_mb=1)
    assert 0.5e6 < store.size_bytes() <= 1.05e6
    found = [one.prediction_id for one in everything(store)]
    assert found == [str(i) for i in range(3_000 - len(found), 3_000)]
    assert prune(store, NOW, max_mb=1_000, max_rows=10**9, max_age_days=10**4).predictions == 0


def test_a_pruned_file_gets_smaller(tmp_path: Path) -> None:
    store = open_store("prices", tmp_path / "j.sqlite")
    store.insert([entry(str(i), inputs='"' + "x" * 1_000 + '"') for i in range(3_000)])
    store.give_back()
    before = (tmp_path / "j.sqlite").stat().st_size
    prune(store, NOW, max_rows=100)
    assert (tmp_path / "j.sqlite").stat().st_size < before / 5


def test_systems_in_one_database_do_not_see_each_other(server_url: str) -> None:
    one, other = (open_store(f"system{next(NUMBERS)}", server_url) for _ in range(2))
    one.insert([entry("a", value=1.0)])
    assert other.insert([entry("a", value=2.0)]) == 1
    assert said(other, {"prediction_id": "a", "truth": 5}) == (1, 0, 0, ())
    assert prune(other, NOW, max_rows=0).predictions == 1
    assert [(o.output, o.truth) for o in everything(one)] == [(1.0, None)]


def test_a_connection_that_was_cut_costs_no_row(server_url: str) -> None:
    store = open_store(f"system{next(NUMBERS)}", server_url)
    other = open_store("other", server_url)
    try:
        assert store.insert([entry("a")]) == 1
        with other.connection() as connection:
            ended = (
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            )
            connection.exec_driver_sql(ended)
        assert store.insert([entry("b")]) == 1
    finally:
        store.close()
        other.close()


def test_a_commit_waits_for_the_disk(store: Store) -> None:
    sqlite = {"PRAGMA synchronous": 2, "PRAGMA journal_mode": "wal", "PRAGMA auto_vacuum": 2}
    postgresql = {"SHOW synchronous_commit": "on", "SHOW fsync": "on"}
    with store.connection() as connection:
        expected = sqlite if connection.dialect.name == "sqlite" else postgresql
        assert {name: connection.exec_driver_sql(name).scalar_one() for name in expected} == expected


def test_times_are_exact() -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=UTC)
    assert moment_of(microseconds(moment)) == moment
    assert moment_of(microseconds(datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC))).microsecond == 1
    with pytest.raises(ValueError, match="zone"):
        microseconds(datetime(2026, 1, 1))


def test_addresses_and_other_schemas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    assert open_store("prices").place == str(tmp_path / "journal" / "prices.sqlite")
    assert open_store("prices", "sqlite:////tmp/x.sqlite").place == "/tmp/x.sqlite"
    assert "secret" not in open_store("prices", "postgresql://me:secret@host/db").place
    with pytest.raises(InputError, match="mysql://"):
        open_store("prices", "mysql://host/db")
    for address in ("sqlite://", "sqlite:///:memory:", "sqlite:///j.sqlite?mode=ro"):
        with pytest.raises(InputError, match=r"expected a journal in a file, such as sqlite:"):
            open_store("prices", address)
    with pytest.raises(InputError, match=r"cannot be read; write @") as wrong:
        open_store("prices", "postgresql://me:secret@host:port/db")
    assert "secret" not in str(wrong.value)
    store = open_store("prices")
    store.insert([entry("a")])
    with store.connection(write=True) as connection:
        connection.exec_driver_sql("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(JournalError, match="expected the journal's schema 1, found 99"):
        store.insert([entry("b")])


def test_a_worker_that_writes_to_a_file_never_imports_sqlalchemy(tmp_path: Path) -> None:
    store = open_store("prices", tmp_path / "j.sqlite")
    store.insert([entry("a")])
    code = (
        "import sys\nfrom perennial.live.journal.store import open_store\n"
        "from perennial.live.journal import masking, outcomes, prune, truth, writer\n"
        "from perennial.live.journal.entry import Entry\nstore = open_store('prices', sys.argv[1])\n"
        "store.insert([Entry('b', 'champion', 10**15, 'v1', '{}', '{}', 0.0)])\n"
        "print(sorted({'sqlalchemy', 'pandas', 'sklearn', 'zenml'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "j.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert {
        one.prediction_id for one in outcomes(store, datetime(2000, 1, 1, tzinfo=UTC), NOW + timedelta(1))
    } == {"a", "b"}
