"""The figures of the service: those of the catalogue and no others, and true."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics_page import against, families, post, samples, until
from releases import NOW, build, promote, tables

from bento.metrics import forget_the_dead
from bento.process import Serving, free_port, service_environment, started
from bento.supervision import MEMORY, PREFIX
from bento.tally import Tally
from perennial.errors import UnknownNameError
from perennial.live.catalogue.names import CATALOGUE, metric_of
from perennial.live.catalogue.service import SERVICE
from perennial.live.sign import SigningKey, key_pair

NAMES = ["year", "mileage", "fuel", "serviced", "tax"]
TRIALS_AND_FORECASTS = {
    "perennial_arm_requests_total",
    "perennial_forecasts_total",
}
"""They have labels whose values a service without trial or forecasts does not know."""
REGRESSION = {"perennial_prediction_band_total", "perennial_prediction_sum_total"}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return key_pair(tmp_path_factory.mktemp("keys"))


@contextmanager
def serving(folder: Path, key: SigningKey, kind: str, workers: int = 1) -> Iterator[Serving]:
    """A service with the first version of a system."""
    releases = folder / "releases"
    promote(releases, key, build(releases, key, kind, 1.0))
    environment = service_environment(releases, kind, key.public_path, workers=workers)
    with started(environment | {"PERENNIAL_WATCH_S": "0.1"}, free_port()) as running:
        yield running


def holdout(kind: str) -> list[dict[str, Any]]:
    return json.loads(tables(kind)[1].frame[NAMES].to_json(orient="records"))


def test_names_are_told_apart_and_follow_the_rules_of_prometheus() -> None:
    for metric in CATALOGUE.values():
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help and not metric.help.endswith("."), metric.name
        assert metric.unit, metric.name
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert list(metric.buckets) == sorted(metric.buckets)
        seconds = {"seconds": "_seconds", "bytes": "_bytes"}.get(metric.unit, "")
        assert seconds in metric.name
    assert len({metric.help for metric in SERVICE}) == len(SERVICE)
    with pytest.raises(UnknownNameError, match="did you mean 'perennial_ready'"):
        metric_of("perennial_redy")


@pytest.fixture(scope="module")
def asked(
    key: SigningKey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Serving, Path, list[dict[str, Any]]]]:
    """A service of two workers, its releases, and its answers to the hold-out rows, together and one by one."""
    folder, rows = tmp_path_factory.mktemp("served"), holdout("prices")
    with serving(folder, key, "prices", 2) as served:
        answers = post(served.url, rows)["predictions"]
        answers += [post(served.url, row)["predictions"][0] for row in rows]
        yield served, folder / "releases", answers


def test_the_page_of_two_workers_shows_the_catalogue_and_nothing_else(asked: Any) -> None:
    served, _, answers = asked
    wanted = shown() - {"perennial_prediction_class_total"}
    until(lambda: families(served.url).keys() >= wanted)
    page = families(served.url)
    assert against(page, SERVICE) == [] and page.keys() == wanted
    created = samples(served.url, "perennial_release_created_timestamp_seconds")
    assert created == {("prices",): NOW.timestamp()}
    assert samples(served.url, "perennial_rows_total")["prices", "v1"] == len(answers)
    assert samples(served.url, "perennial_requests_total")["/predict", "prices", "500", "v1"] == 0.0


def test_the_rows_that_made_the_profile_fill_its_bands_alike(asked: Any) -> None:
    """The bands are tenths of the answers to the hold-out rows."""
    served, _, answers = asked
    until(lambda: sum(bands(served.url, "v1").values()) == len(answers))
    assert bands(served.url, "v1") == {f"{i}-{i + 10}": len(answers) / 10 for i in range(0, 100, 10)}
    sums = samples(served.url, "perennial_prediction_sum_total")
    predicted = sum(answer["prediction"] for answer in answers)
    assert sums["prices", "positive", "v1"] == pytest.approx(predicted, rel=1e-12)
    assert sums["prices", "negative", "v1"] == 0.0
    flagged = sum(bool(answer["flag"]) for answer in answers)
    assert samples(served.url, "perennial_flagged_rows_total") == {("prices", "v1"): flagged}


def test_another_release_has_figures_of_its_own(asked: Any, key: SigningKey) -> None:
    served, releases, answers = asked
    until(lambda: sum(bands(served.url, "v1").values()) == len(answers))
    assert samples(served.url, "perennial_release_info") == {("linear", "prices", "v1"): 1.0}
    promote(releases, key, build(releases, key, "prices", 500.0), 1)
    both = {("linear", "prices", "v1"): 0.0, ("linear", "prices", "v2"): 1.0}
    until(lambda: samples(served.url, "perennial_swaps_total") == {(): 2.0})
    assert samples(served.url, "perennial_release_info") == both
    rows = holdout("prices")
    assert post(served.url, rows)["version"] == "v2"
    until(lambda: sum(bands(served.url, "v2").values()) == len(rows))
    assert set(bands(served.url, "v2").values()) == {len(rows) / 10}
    assert sum(bands(served.url, "v1").values()) == len(answers)


def bands(url: str, version: str) -> dict[str, float]:
    found = samples(url, "perennial_prediction_band_total")
    return {band: count for (band, _, of), count in found.items() if of == version}


def test_classes_are_counted_and_have_no_bands(key: SigningKey, tmp_path: Path) -> None:
    with serving(tmp_path, key, "kinds") as served:
        rows = holdout("kinds")
        answers = post(served.url, rows)["predictions"] + post(served.url, rows[0])["predictions"]
        expected = Counter(answer["prediction"] for answer in answers)
        until(lambda: sum(classes(served.url).values()) == len(answers))
        assert classes(served.url) == {(name, "kinds", "v1"): count for name, count in expected.items()}
        page = families(served.url)
        assert against(page, SERVICE) == [] and page.keys() == shown() - REGRESSION


def classes(url: str) -> dict[tuple[str, ...], float]:
    return samples(url, "perennial_prediction_class_total")


def shown() -> set[str]:
    return {metric.name for metric in SERVICE} - TRIALS_AND_FORECASTS


def tally_of(quantiles: list[float], classes: tuple[str, ...] = ()) -> Tally:
    bundle = SimpleNamespace(
        reference={"predictions": {"quantiles": quantiles}}, rule=SimpleNamespace(classes=classes)
    )
    return Tally(bundle)


def exchange(values: list[float]) -> Any:
    numbers = np.array(values)
    finite = [v if np.isfinite(v) else None for v in values]
    answered = SimpleNamespace(answers=SimpleNamespace(prediction=numbers), flags=((),) * len(values))
    return SimpleNamespace(predictions=[{"prediction": v} for v in finite], answered=answered)


def told(tally: Tally) -> dict[tuple[str, tuple[str, ...]], float]:
    return {(name, labels): more for name, labels, more in tally.news()}


EDGES = np.quantile(np.linspace(-1e6, 1e6, 1001), np.linspace(0, 1, 101)).tolist()
NUMBERS = st.floats(-1e9, 1e9) | st.sampled_from(EDGES) | st.just(np.nan) | st.just(np.inf)


@given(st.lists(NUMBERS, min_size=1, max_size=40))
def test_rows_together_and_rows_alone_are_counted_alike(values: list[float]) -> None:
    together, alone = tally_of(EDGES), tally_of(EDGES)
    together.add(exchange(values))
    for value in values:
        alone.add(exchange([value]))
    first, second = told(together), told(alone)
    assert first == pytest.approx(second, rel=1e-9)
    blank = sum(not np.isfinite(v) for v in values)
    assert first["perennial_blank_rows_total", ()] == blank
    assert sum(n for (name, _), n in first.items() if name.endswith("band_total")) == len(values) - blank
    assert told(together) == {}


def test_a_sum_beyond_all_numbers_is_not_shown() -> None:
    tally = tally_of(EDGES)
    tally.add(exchange([1e308, 1e308]))
    first = told(tally)
    assert ("perennial_prediction_sum_total", ("positive",)) not in first
    assert first["perennial_prediction_band_total", ("90-100",)] == 2


def test_a_model_without_a_profile_of_its_answers_has_one_band() -> None:
    tally = tally_of([])
    tally.add(exchange([3.0, -4.0]))
    assert told(tally)["perennial_prediction_band_total", ("0-100",)] == 2


def test_what_a_killed_worker_left_is_forgotten(tmp_path: Path) -> None:
    gone = multiprocessing.get_context("spawn").Process(target=int)
    gone.start()
    gone.join()
    kept = [f"gauge_livemax_{os.getpid()}.db", f"counter_{gone.pid}.db", f"gauge_sum_{gone.pid}.db"]
    for name in (*kept, f"gauge_livemax_{gone.pid}.db", f"gauge_livemin_{gone.pid}.db"):
        (tmp_path / name).touch()
    forget_the_dead(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    forget_the_dead("")


def test_the_worker_after_a_killed_one_forgets_it(asked: Any) -> None:
    served, _, _ = asked
    rows = sum(samples(served.url, "perennial_rows_total").values())

    def counting() -> dict[int, Path]:
        """The files of the service's workers by their processes."""
        workers = {child.pid for child in psutil.Process(served.process.pid).children(recursive=True)}
        files = {
            int(path.stem.rsplit("_", 1)[1]): path for path in MEMORY.glob(f"{PREFIX}*/gauge_livemax_*.db")
        }
        return {process: files[process] for process in workers & files.keys()}

    process, first = min(counting().items())
    os.kill(process, signal.SIGKILL)
    until(lambda: not first.exists())
    until(lambda: len(counting()) == 2)
    assert sum(samples(served.url, "perennial_rows_total").values()) == rows


def test_a_worker_that_nobody_asks_shows_its_new_release(asked: Any, key: SigningKey) -> None:
    """Prometheus keeps one connection, which one worker has."""
    served, releases, _ = asked
    before = samples(served.url, "perennial_swaps_total")[()]
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=30)
    promote(releases, key, build(releases, key, "prices", 100.0), 2)

    def swapped() -> bool:
        connection.request("GET", "/metrics")
        return f"perennial_swaps_total {before + 2}" in connection.getresponse().read().decode()

    until(swapped)
    connection.close()
