"""Makes the one thing that runs work elsewhere: a `concurrent.futures.Executor`.

On one machine it is a pool of processes; with a scheduler's address it is the executor of a Dask cluster. Everything
that needs workers is handed what this module makes and maps pure, picklable functions over it.
"""

import collections
import concurrent.futures
import contextlib
import multiprocessing
import os

from data_prep.base.errors import UserError
from data_prep.base.processes import start_worker


def cpus():
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Serial(concurrent.futures.Executor):
    """Runs each call at once, in this process: for one worker, where a pool would only cost start-up time."""

    def submit(self, function, /, *args, **kwargs):
        future = concurrent.futures.Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def executor(workers=None, scheduler=None):
    """Yields an Executor and shuts it down at the end.

    workers: processes on this machine; 1 is this process itself; None is one a CPU. Processes are spawned, not forked,
        since TensorFlow does not survive a fork.
    scheduler: address of a Dask scheduler (`tcp://host:8786`); needs the extra `[dask]`, and every worker must see the
        data under the same paths. `workers` is then the cluster's own affair.
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
    with concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), start_worker) as pool:
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
        yield pool


def results(pool, function, items, ahead=None):
    """Yields `function(item)` for each item, in order, with at most `ahead` calls under way.

    `ahead` is by default two a local process, and 256 on a cluster, whose size may change.
    Memory stays flat in the number of items. The first exception stops it: nothing more is submitted, what waits is
    cancelled. A worker that dies (as when memory runs out) becomes a `UserError`.
    """
    if isinstance(pool, Serial):
        ahead = 1
    elif ahead is None:
        ahead = 2 * pool._max_workers if isinstance(pool, concurrent.futures.ProcessPoolExecutor) else 256
    under_way = collections.deque()
    try:
        for item in items:
            under_way.append(pool.submit(function, item))
            if len(under_way) >= ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    except concurrent.futures.BrokenExecutor:
        raise UserError(
            "a worker process died", found="probably too little memory for all of them", do="try fewer --workers"
        ) from None
    finally:
        for future in under_way:
            future.cancel()
