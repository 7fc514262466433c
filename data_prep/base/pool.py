"""Makes the one thing that runs work elsewhere: a `concurrent.futures.Executor`.

On one machine it is a pool of processes; with a scheduler's address it is a Dask cluster (`cluster`). Everything that needs
workers is handed what this module makes and maps pure, picklable functions over it; jobs are calls that start a process each.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from data_prep.base import calls, cluster, processes, spawned
from data_prep.base.cluster import Cluster
from data_prep.base.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")
ASKED_SECONDS = 0.2
FOREIGN = 256  # calls under way of an executor that does not say how many workers it has


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
        since TensorFlow does not survive a fork; what they are sent is of modules, not of a script (`spawned`).
    scheduler: address of a Dask scheduler (`tcp://host:8786`); needs the extra `[cluster]`, and every worker must see the
        data under the same paths. `workers` is then the cluster's own affair.
    tensorflow: whether the work needs it, so that the workers start it first.
    """
    if scheduler:
        with cluster.connected(scheduler, tensorflow) as pool:
            yield pool
        return
    workers = cpus() if workers is None else workers
    if workers < 1:
        raise UserError(f"--workers={workers}", expected="1 or more")
    if workers == 1:
        yield Serial()
        return
    with concurrent.futures.ProcessPoolExecutor(
        workers, spawned.Context(), processes.start_worker, (tensorflow,)
    ) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextlib.contextmanager
def for_jobs(slots: int, scheduler: str | None = None) -> Iterator[concurrent.futures.Executor]:
    """Yields an Executor for calls of `submit_job`, each of which starts a process and waits for it.

    Here they wait in threads, `slots` at a time; with a scheduler's address in workers of its cluster, as many as these take.
    """
    if scheduler:
        with cluster.connected(scheduler, tensorflow=False) as pool:
            yield pool
        return
    with concurrent.futures.ThreadPoolExecutor(slots) as pool:
        yield pool


def submit_job(
    pool: concurrent.futures.Executor, function: Callable[..., Result], /, *args: Any, gpu: bool = False
) -> concurrent.futures.Future[Result]:
    """One call of a pool `for_jobs`; a cluster makes it once more if it raises. gpu: on a worker that has one, if any says so."""
    return pool.submit_job(function, *args, gpu=gpu) if isinstance(pool, Cluster) else pool.submit(function, *args)


def everywhere(pool: concurrent.futures.Executor, function: Callable[..., object], /, *args: Any) -> None:
    """Calls a function in each process where jobs of a pool `for_jobs` may wait, beside them."""
    if isinstance(pool, Cluster):
        pool.everywhere(function, *args)
    else:
        function(*args)


def has_workers(pool: concurrent.futures.Executor) -> bool:
    """Whether anything can still run there: not on a cluster that has lost its workers or its scheduler."""
    return pool.has_workers() if isinstance(pool, Cluster) else True


def explained(pool: concurrent.futures.Executor, error: BaseException) -> BaseException:
    """What to raise for an exception of a call: where it is a cluster's own, the one line that says what to do."""
    return (pool.explained(error) if isinstance(pool, Cluster) else None) or error


def results(
    pool: concurrent.futures.Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int | None = None,
) -> Iterator[Result]:
    """Yields `function(item)` for each item, in order, with at most `ahead` calls under way.

    ahead: by default two a process; on a cluster two a thread, whatever is asked for. In another process a call takes several
        items where they are small.
    Memory stays flat in the number of items. The first exception stops it: nothing more is submitted, what waits is
    cancelled. A worker that dies (as when memory runs out) becomes a `UserError`.
    """
    under_way: collections.deque[concurrent.futures.Future] = collections.deque()
    asked, more = _calls(pool, function, items), True
    with _ending(pool, under_way):
        while more or under_way:
            if more := (call := asked.begin()) is not None:
                under_way.append(call)
            while under_way and (not more or len(under_way) >= _limit(pool, ahead)):
                done, rest = asked.end(under_way.popleft())
                if rest is not None:
                    under_way.appendleft(rest)
                yield from done


def unordered(
    pool: concurrent.futures.Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int | None = None,
) -> Iterator[Result]:
    """The same as `results`, each as soon as it is done: a slow item holds up no other."""
    under_way: set[concurrent.futures.Future] = set()
    asked = _calls(pool, function, items)
    with _ending(pool, under_way):
        while True:
            while len(under_way) < _limit(pool, ahead) and (call := asked.begin()) is not None:
                under_way.add(call)
            if not under_way:
                return
            finished, _ = concurrent.futures.wait(under_way, return_when=concurrent.futures.FIRST_COMPLETED)
            for call in finished:
                under_way.remove(call)
                done, rest = asked.end(call)
                if rest is not None:
                    under_way.add(rest)
                yield from done


def _calls(pool, function, items):
    elsewhere = isinstance(pool, (Cluster, concurrent.futures.ProcessPoolExecutor))
    return (calls.Grouped if elsewhere else calls.Single)(pool, function, items)


def _limit(pool, ahead):
    if isinstance(pool, Serial):
        return 1
    if isinstance(pool, Cluster):
        return pool.ahead()
    if ahead is not None:
        return ahead
    return 2 * pool._max_workers if isinstance(pool, concurrent.futures.ProcessPoolExecutor) else FOREIGN


@contextlib.contextmanager
def _ending(pool, under_way):
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
    except Exception as error:
        if (line := explained(pool, error)) is error:
            raise
        raise line from None
    finally:
        for future in under_way:
            future.cancel()
