"""`run.py collect` as a user meets it: real processes, a real site on localhost, real kills."""

from __future__ import annotations

import json
import random
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from collected import world
from project import SMALL, Project

from tests.ready_homes import Homes

CONFIG = "configs/demo/used_cars.yaml"
QUICK = ("--set", "learn.candidates=[{name: ridge}]", "--set", "learn.folds=2")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with world() as found:
        yield found


@pytest.fixture
def project(homes: Homes, tmp_path: Path) -> Project:
    return homes.empty(tmp_path / "home")


def given(address: str) -> tuple[str, ...]:
    return ("--config", CONFIG, "--set", f"source.base_url={address}", "--set", "profile.evidently=false")


def change(address: str, **facts: object) -> None:
    """Changes the world behind a demo server."""
    body = json.dumps(facts).encode()
    request = urllib.request.Request(f"{address}/_demo/world", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def version_and_digest(output: str) -> tuple[int, str]:
    lines = [line.split() for line in output.splitlines()]
    version = next(words[2] for words in lines if words[:2] == ["dataset", "version"] and words[2][-1] == ":")
    return int(version.rstrip(":")), next(words[1] for words in lines if words[:1] == ["digest"])


def records(project: Project, path: Path) -> list[dict[str, object]]:
    """The records of the newest version without the moment of their collection."""
    project.run("data", "export", "--config", CONFIG, "--to", str(path))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    moments = ("collected_at", "event_time", "available_at")  # a listing happens when it is collected
    return sorted(({k: v for k, v in row.items() if k not in moments} for row in rows), key=str)


def test_a_site_becomes_a_dataset_that_training_can_name(project: Project, address: str) -> None:
    first = project.run("collect", *given(address))
    assert version_and_digest(first)[0] == 0
    profile = project.home / "profiles/used_cars-demo/0.html"
    assert "price_eur" in profile.read_text()
    again = project.run("collect", *given(address))
    assert version_and_digest(again) == version_and_digest(first)
    assert "0 new and 0 revised" in again
    trained = project.run("train", *given(address), *QUICK)
    assert "dataset version 0: 1," in trained
    assert "promoted v1 in place of nothing" in trained
    by_name = project.run("train", *given(address), *QUICK, "--dataset-version", "0")
    steps = project.outcomes(by_name)
    assert steps["check"].startswith("cached"), steps
    assert "expected" in project.run("train", *given(address), "--dataset-version", "7", code=1)


def test_a_new_layout_is_loud_and_changes_nothing(project: Project, tmp_path: Path) -> None:
    with world() as address:
        good = project.run("collect", *given(address))
        change(address, layout="renamed")
        breached = project.run("collect", *given(address), code=1)
        assert "price_eur" in breached
        assert "css: .prix" in breached
        assert "ALERT used_cars-demo: collection" in breached
        kept = list((project.home / "quarantine/used_cars-demo").glob("collection-*.parquet"))
        assert len(kept) == 1
        refused = project.run("train", *given(address), *QUICK, code=1)
        assert "--dataset-version" in refused
        assert "collection" in project.run("alerts")
        again = project.run("collect", *given(address), code=1)
        assert "ALERT" not in again  # once per incident
        change(address, layout="first")
        mended = project.run("collect", *given(address))
        assert "recovered" in mended
        assert version_and_digest(mended) == version_and_digest(good)
        project.run("train", *given(address), *QUICK)


@pytest.mark.torture
def test_a_selector_is_mended_without_asking_again(project: Project) -> None:
    with world(layout="renamed") as address:
        project.run("collect", *given(address), code=1)
        asked = arrivals(address)
        mended = ("--set", "source.feeds.listings.fields.price_eur.css=.tarif-ttc")
        found = project.run("collect", *given(address), *mended, "--reparse")
        assert arrivals(address) == asked
        assert version_and_digest(found)[0] == 0


def arrivals(address: str) -> int:
    with urllib.request.urlopen(f"{address}/_demo/stats", timeout=10) as answer:
        stats = json.load(answer)
    return int(stats["requests"])


@pytest.mark.torture
def test_a_recording_stands_in_for_the_network(project: Project, tmp_path: Path) -> None:
    with world() as address:
        recorded = project.run("collect", *given(address), "--record", str(tmp_path / "answers"))
    other = Project(tmp_path / "other")
    replayed = other.run("collect", *given(address), "--replay", str(tmp_path / "answers"))
    assert version_and_digest(replayed)[0] == 0
    assert records(other, tmp_path / "a.jsonl") == records(project, tmp_path / "b.jsonl")
    assert "expected one of" in project.run("collect", *given(address), "--reparse", "--replay", "x", code=2)
    assert recorded


@pytest.mark.torture
@pytest.mark.parametrize("kills", [25])
def test_killed_at_any_moment_the_dataset_is_that_of_a_quiet_run(
    kills: int, project: Project, address: str, tmp_path: Path
) -> None:
    quiet = Project(tmp_path / "quiet")
    quiet.run("collect", *given(address))
    moments = random.Random(kills)
    slow = ("--set", "source.pace.requests_per_s=8", "--set", "source.pace.at_once=1")
    for _ in range(kills):
        process = project.start("collect", *given(address), *slow)
        time.sleep(moments.uniform(1.5, 5.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    ended = project.run("collect", *given(address))
    assert version_and_digest(ended)[0] == 0
    assert records(project, tmp_path / "a.jsonl") == records(quiet, tmp_path / "b.jsonl")


@pytest.mark.torture
def test_what_is_read_whole_is_collected_too(project: Project) -> None:
    output = project.run("collect", "--config", "configs/synthetic.yaml")
    assert "version 0: 1,000 records" in output
    assert "dataset version 0" in project.run("train", "--config", "configs/synthetic.yaml", *SMALL)


def test_training_before_collecting_says_what_to_do(project: Project, address: str) -> None:
    assert "collect first" in project.run("train", *given(address), *QUICK, code=1)


def test_a_wrong_selector_is_one_sentence_before_anything_is_asked(project: Project, address: str) -> None:
    wrong = ("--set", "source.feeds.listings.fields.price_eur.css='span.price:'")
    output = project.run("collect", *given(address), *wrong, code=2)
    assert "source.feeds.listings.fields.price_eur.css" in output
    assert len(output.splitlines()) == 1
