"""Makes the one thing that runs work elsewhere: a `concurrent.futures.Executor`.

On one machine it is a pool of processes; with a scheduler's address it is the executor of a Dask cluster. Everything
that needs workers is handed what this module makes and maps pure, picklable functions over it.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from data_prep.base import processes
from data_prep.base.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")
ASKED_SECONDS = 0.2
ON_A_CLUSTER = 256  # calls under way where the number of workers is not ours and may change


def cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Serial(concurrent.futures.Executor):
    """Runs each call at once, in this process: for one worker, where a pool would only cost start-up time."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future:
        """A future that is done already."""
        future: concurrent.futures.Future = concurrent.futures.Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def executor(
    workers: int | None = None, scheduler: str | None = None, tensorflow: bool = True
) -> Iterator[concurrent.futures.Executor]:
    """Yields an Executor and shuts it down at the end.

    workers: processes on this machine; 1 is this process itself; None is one a CPU. Processes are spawned, not forked,
        since TensorFlow does not survive a fork.
    scheduler: address of a Dask scheduler (`tcp://host:8786`); needs the extra `[dask]`, and every worker must see the
        data under the same paths. `workers` is then the cluster's own affair.
    tensorflow: whether the work needs it, so that processes on this machine start it first.
    """
    if scheduler:
        with _dask(scheduler) as pool:
            yield pool
        return
    workers = cpus() if workers is None else workers
    if workers < 1:
        raise UserError(f"--workers={workers}", expected="1 or more")
    if workers == 1:
        yield Serial()
        return
    with concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), processes.start_worker, (tensorflow,)
    ) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextlib.contextmanager
def _dask(scheduler):
    try:
        import distributed
    except ImportError:
        raise UserError(f"--scheduler={scheduler}", expected="dask.distributed", found="no such package",
                        do="pip install 'tfunc[dask]'") from None  # fmt: skip
    try:
        client = distributed.Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise UserError(f"--scheduler={scheduler}", expected="a Dask scheduler there", found=f"{error}") from None
    with client, client.get_executor() as pool:
        yield _Cluster(pool)


class _Cluster(concurrent.futures.Executor):
    """An executor of a cluster, whose workers we did not start: how a process of ours starts travels with each call."""

    def __init__(self, pool):
        self.pool = pool

    def submit(self, function, /, *args, **kwargs):
        return self.pool.submit(processes.run_as_worker, function, *args, **kwargs)


def results(
    pool: concurrent.futures.Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int | None = None,
) -> Iterator[Result]:
    """Yields `function(item)` for each item, in order, with at most `ahead` calls under way.

    ahead: by default two a local process, and `ON_A_CLUSTER` on a cluster.
    Memory stays flat in the number of items. The first exception stops it: nothing more is submitted, what waits is
    cancelled. A worker that dies (as when memory runs out) becomes a `UserError`.
    """
    limit, under_way = _limit(pool, ahead), collections.deque()  # type: ignore[var-annotated]
    with _ending(under_way):
        for item in items:
            under_way.append(pool.submit(function, item))
            if len(under_way) >= limit:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def unordered(
    pool: concurrent.futures.Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int | None = None,
) -> Iterator[Result]:
    """The same as `results`, each as soon as it is done: a slow item holds up no other."""
    limit, waiting, under_way = _limit(pool, ahead), iter(items), set()  # type: ignore[var-annotated]
    with _ending(under_way):
        while True:
            for item in itertools.islice(waiting, limit - len(under_way)):
                under_way.add(pool.submit(function, item))
            if not under_way:
                return
            done, _ = concurrent.futures.wait(under_way, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                under_way.remove(future)
                yield future.result()


def _limit(pool, ahead):
    if isinstance(pool, Serial):
        return 1
    if ahead is not None:
        return ahead
    return 2 * pool._max_workers if isinstance(pool, concurrent.futures.ProcessPoolExecutor) else ON_A_CLUSTER


@contextlib.contextmanager
def _ending(under_way):
    """However it ends, nothing that has not begun runs any more."""
    try:
        yield
    except concurrent.futures.BrokenExecutor:
        time.sleep(ASKED_SECONDS)  # where a scheduler ended the worker, its signal to this process arrives meanwhile
        raise UserError(
            "a worker process died",
            found="probably too little memory for all of them",
            do="run the same command again, with fewer --workers",
        ) from None
    finally:
        for future in under_way:
            future.cancel()
