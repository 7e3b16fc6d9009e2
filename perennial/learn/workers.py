"""Where many fits run: threads or processes of this machine, or a Dask cluster; the results are the same."""

from __future__ import annotations

import shutil
import socket
import tempfile
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from perennial.config_stack import Compute, DaskCompute, ProcessesCompute
from perennial.errors import StackError
from perennial.learn.checkpoint import code_version
from perennial.learn.models import native_threads

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")
Function = Callable[[Any, Any], Any]

MOST_DEATHS = 3
"""How often an item is tried again whose worker died; after that it is held to be what kills them."""

IDLE_S = 60
"""Seconds after which a worker process with nothing to do ends, also when its parent was killed."""


@dataclass(frozen=True)
class Workers:
    """What runs `function(shared, item)`: `shared` was handed over once, and `count` items are run at a time.

    Every call uses one native thread, so that its result does not depend on where it ran or on what ran
    beside it.
    """

    count: int
    submit: Callable[[Function, Any], Future[Any]]
    lost: tuple[type[BaseException], ...] = ()

    def as_done(self, function: Callable[[Any, T], R], items: Iterable[tuple[K, T]]) -> Iterator[tuple[K, R]]:
        """Key and result of every item as it is done. An item is asked for when a worker is free to take it.

        An item whose worker died is run again.

        Raises:
            StackError: if workers die time and again, or the cluster is gone.
        """
        rest = iter(items)
        waiting: dict[Future[R], tuple[K, T]] = {}
        deaths: dict[K, int] = {}
        try:
            while True:
                while len(waiting) < self.count and (item := next(rest, None)) is not None:
                    waiting[self.submit(function, item[1])] = item
                if not waiting:
                    return
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in [f for f in waiting if f in done]:
                    item = waiting.pop(future)
                    error = _error(future)
                    if isinstance(error, BrokenExecutor):
                        deaths[item[0]] = deaths.get(item[0], 0) + 1
                        if deaths[item[0]] > MOST_DEATHS:
                            raise _dead(error) from error
                        waiting[self.submit(function, item[1])] = item
                        continue
                    if isinstance(error, self.lost):
                        raise _dead(error) from error
                    yield item[0], future.result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def open_workers(compute: Compute, threads: int, shared: Any) -> Iterator[Workers]:
    """The workers of a stack's `compute`, which all hold `shared`; they are let go at the end.

    Args:
        compute: what the stack file says.
        threads: how many fits at once, where the stack does not say it.
        shared: what every call needs; it is only read.

    Raises:
        StackError: if a Dask cluster does not answer, or runs other code.
    """
    if isinstance(compute, DaskCompute):
        with _dask(compute, shared) as workers:
            yield workers
    elif isinstance(compute, ProcessesCompute):
        with _processes(compute.workers or threads, shared) as workers:
            yield workers
    else:
        # The limit on native threads belongs to the process: it is set before workers start and lifted after.
        with native_threads().limit(limits=1), ThreadPoolExecutor(threads) as pool:
            yield Workers(threads, lambda function, item: pool.submit(function, shared, item))


@contextmanager
def _processes(count: int, shared: Any) -> Iterator[Workers]:
    """Processes that map one file with the arrays of `shared` into memory."""
    import joblib  # type: ignore[import-untyped]
    from joblib.externals.loky.backend import resource_tracker  # type: ignore[import-untyped]
    from joblib.externals.loky.process_executor import ProcessPoolExecutor  # type: ignore[import-untyped]

    folder = tempfile.mkdtemp(prefix="perennial-")
    resource_tracker.register(folder, "folder")  # removes it when this process is killed
    path = str(Path(folder) / "shared")
    pools: list[Any] = [ProcessPoolExecutor(count, timeout=IDLE_S)]

    def submit(function: Function, item: Any) -> Future[Any]:
        try:
            future: Future[Any] = pools[-1].submit(_on_file, path, function, item)
        except BrokenExecutor:  # a process died, and took its pool with it
            pools.append(ProcessPoolExecutor(count, timeout=IDLE_S))
            future = pools[-1].submit(_on_file, path, function, item)
        return future

    try:
        joblib.dump(shared, path)
        yield Workers(count, submit)
    finally:
        for pool in pools:
            pool.shutdown(wait=True, kill_workers=True)
        shutil.rmtree(folder, ignore_errors=True)
        resource_tracker.unregister(folder, "folder")


@contextmanager
def _dask(compute: DaskCompute, shared: Any) -> Iterator[Workers]:
    """A Dask cluster; the scheduler keeps `shared`, so that it outlives every worker."""
    from distributed import Client
    from distributed.scheduler import KilledWorker

    try:
        client: Any = Client(  # type: ignore[no-untyped-call]
            compute.address, timeout=compute.timeout_s, set_as_default=False
        )
    except (OSError, ValueError) as error:
        raise StackError(
            f"compute {compute.address}: expected a Dask scheduler, found: {error}; start one with "
            "`dask scheduler`, or mend compute.address in the stack file"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=compute.timeout_s)
        except TimeoutError as error:
            raise StackError(
                f"compute {compute.address}: expected at least one worker, found none; start some with "
                f"`dask worker {compute.address}`"
            ) from error
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            kept = client.submit(_same, shared, pure=False)
        pool = client.get_executor(pure=False)

        def submit(function: Function, item: Any) -> Future[Any]:
            future: Future[Any] = pool.submit(_on_cluster, code_version(), function, kept, item)
            return future

        yield Workers(sum(client.nthreads().values()), submit, (KilledWorker, CancelledError))


def _same(shared: T) -> T:
    return shared


def _on_file(path: str, function: Function, item: Any) -> Any:
    _use_one_thread()
    return function(_mapped(path), item)


def _on_cluster(code: str, function: Function, shared: Any, item: Any) -> Any:
    if code != code_version():
        raise StackError(
            f"compute: expected every worker to run this version of the code and its packages, found another "
            f"on {socket.gethostname()}; install the same there"
        )
    _use_one_thread()
    return function(shared, item)


@lru_cache(maxsize=1)
def _mapped(path: str) -> Any:
    import joblib

    return joblib.load(path, mmap_mode="r")


@lru_cache(maxsize=1)
def _use_one_thread() -> None:
    """For good: a worker process does nothing else, and a limit that one call lifts would free its neighbours'."""
    native_threads().limit(limits=1)


def _error(future: Future[Any]) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:
        return error


def _dead(error: BaseException | None) -> StackError:
    found = (str(error).splitlines() or [type(error).__name__])[0]
    return StackError(
        f"compute: expected workers that stay alive, found: {found}; look at their memory and their logs, then run "
        "it again: what was finished is kept"
    )
