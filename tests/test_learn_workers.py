"""Where fits run: threads, processes and a real Dask cluster give the same numbers, also when a worker dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pydantic import ValidationError
from test_learn_models import class_table, folds_of, learn_config, number_table
from test_learn_tune import facts, ticking

from perennial.config import Learn
from perennial.config_stack import DaskCompute, ProcessesCompute, Stack, ThreadsCompute
from perennial.errors import MissingLayerError, NotEnoughDataError, PerennialError, StackError
from perennial.learn import workers
from perennial.learn.tune import search
from perennial.learn.workers import open_workers

ROOT = Path(__file__).resolve().parent.parent
LIGHT = {"name": "lightgbm", "parameters": {"n_estimators": 10}, "trials": 4}
HALVING = {"kind": "halving", "factor": 2, "least_rows": 50}


def times(shared, item):
    return os.getpid(), shared * item


def dies_once(shared, item):
    """Kills its own process the first time that it is asked for 3, and says nothing of it."""
    if item == 3 and not (mark := Path(shared)).exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def always_dies(shared, item):
    os.kill(os.getpid(), signal.SIGKILL)


def fails(shared, item):
    raise NotEnoughDataError("a fold", item, 9)


def searched(compute, table=None, how=HALVING, *candidates):
    table = table or class_table(600)
    task = "classification" if table.contract.target.kind == "category" else "regression"
    learn = learn_config(*(candidates or (LIGHT, {"name": "logistic"}))).model_dump() | {"search": how}
    found = search(table, folds_of(len(table)), Learn(**learn), task, 3, ticking(), compute=compute)
    return facts(found), [(t.parameters, t.folds) for t in found.early]


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and two worker processes, as `dask scheduler` and `dask worker` start them."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=None
    ) as running:
        yield running


def dask(cluster, **rest):
    return DaskCompute(address=cluster.scheduler_address, **rest)


@pytest.mark.parametrize(
    "compute",
    [ThreadsCompute(), pytest.param(ProcessesCompute(workers=2), marks=pytest.mark.torture)],
    ids=lambda c: c.kind,
)
def test_every_item_is_done_once_and_asked_for_when_a_worker_is_free(compute):
    asked, done = [], []

    def items():
        for number in range(8):
            assert len(asked) - len(done) < 2
            asked.append(number)
            yield f"key {number}", number

    with open_workers(compute, 2, 7) as pool:
        for key, (process, product) in pool.as_done(times, items()):
            done.append((key, product))
            assert (process == os.getpid()) == (compute.kind == "threads")
    assert sorted(done) == [(f"key {n}", 7 * n) for n in range(8)]


def test_processes_score_as_threads_do_to_the_last_digit():
    assert searched(ProcessesCompute(workers=2)) == searched(ThreadsCompute())


@pytest.mark.torture
def test_an_item_whose_process_was_killed_is_done_again(tmp_path):
    with open_workers(ProcessesCompute(workers=2), 1, str(tmp_path / "died")) as pool:
        found = dict(pool.as_done(dies_once, ((n, n) for n in range(8))))
    assert (tmp_path / "died").exists()
    assert found == {n: n * n for n in range(8)}


@pytest.mark.torture
def test_an_item_that_kills_every_process_is_an_error_with_a_sentence():
    with (
        open_workers(ProcessesCompute(workers=1), 1, None) as pool,
        pytest.raises(StackError, match=r"expected workers that stay alive.*what was finished is kept"),
    ):
        list(pool.as_done(always_dies, [(0, 0)]))


@pytest.mark.torture
def test_our_errors_arrive_from_other_processes_as_they_are():
    with (
        open_workers(ProcessesCompute(workers=1), 1, None) as pool,
        pytest.raises(NotEnoughDataError, match=r"^a fold: expected at least 9 rows, found 4; collect more"),
    ):
        list(pool.as_done(fails, [(0, 4)]))


@pytest.mark.torture
def test_a_cluster_scores_as_threads_do_to_the_last_digit(cluster):
    for table, candidates in (
        (class_table(600), (LIGHT, {"name": "logistic"})),
        (
            number_table(600),
            ({"name": "ridge", "trials": 2}, {"name": "random_forest", "parameters": {"n_estimators": 5}}),
        ),
    ):
        here, there = (
            searched(compute, table, HALVING, *candidates) for compute in (ThreadsCompute(), dask(cluster))
        )
        assert here == there


@pytest.mark.torture
def test_a_worker_that_is_killed_in_the_middle_changes_nothing(cluster):
    many = {"name": "hist_gradient_boosting", "parameters": {"max_iter": 60}, "trials": 8}
    table, how = class_table(3000), {"kind": "random"}
    want = searched(ThreadsCompute(), table, how, many)
    killed = []

    def kill():
        for _ in range(2):
            time.sleep(1.5)
            process = next(iter(cluster.workers.values())).pid
            os.kill(process, signal.SIGKILL)
            killed.append(process)

    killer = threading.Thread(target=kill)
    killer.start()
    found = searched(dask(cluster), table, how, many)
    killer.join()
    assert len(killed) == 2 and found == want


@pytest.mark.torture
def test_a_worker_with_other_code_is_refused(cluster, monkeypatch):
    monkeypatch.setattr(workers, "code_version", lambda: "another")
    with pytest.raises(StackError, match=r"expected every worker to run this version"):
        searched(dask(cluster))


def test_a_cluster_that_does_not_answer_is_a_sentence():
    with pytest.raises(StackError, match=r"expected a Dask scheduler.*compute\.address"):
        searched(DaskCompute(address="tcp://127.0.0.1:9", timeout_s=0.5))


@pytest.mark.torture
def test_dask_and_optuna_are_imported_when_asked_for_alone():
    code = (
        "import sys; sys.path.insert(0, 'tests');"
        "from test_learn_models import *; from perennial.learn.tune import search;"
        "learn = learn_config({'name': 'logistic', 'trials': 1});"
        "search(class_table(90), folds_of(90), learn, 'classification', 1, lambda: 0.0);"
        "print({'distributed', 'dask', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_stack_says_what_computes():
    parts = {
        "metadata": {"kind": "sqlite"},
        "artifacts": {"kind": "folder"},
        "tracking": {"kind": "local"},
        "orchestrator": {"kind": "local"},
    }
    assert Stack(**parts).compute == ThreadsCompute()
    named = Stack(**parts, compute={"kind": "dask", "address": "tcp://scheduler:8786"})
    assert named.compute == DaskCompute(address="tcp://scheduler:8786")
    for wrong in ({"kind": "dask"}, {"kind": "dask", "address": "scheduler"}, {"kind": "spark"}):
        with pytest.raises(ValidationError):
            Stack(**parts, compute=wrong)


@pytest.mark.parametrize("error", [MissingLayerError("a", "b", "c"), PerennialError("x")], ids=type)
def test_errors_survive_the_way_between_processes(error):
    import copyreg

    rebuild, arguments, state = error.__reduce__()
    assert rebuild is copyreg.__newobj__
    again = rebuild(*arguments)
    again.__dict__.update(state)
    assert type(again) is type(error) and str(again) == str(error)
