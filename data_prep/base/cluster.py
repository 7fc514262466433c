"""A Dask cluster as an executor. Scheduling, retries, the loss of workers and the movement of data are Dask's.

A worker was started by others: what a process of ours runs under travels with every call (`processes.Settings`). Where a worker
dies Dask gives its call to another one; what Dask says when it gives up is said here in one line.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from data_prep.base import notices, processes
from data_prep.base.errors import UserError

CONNECT = "10s"
COUNTED_SECONDS = 5.0  # how long the number of workers is taken for true
WAITED_SECONDS = 30.0  # without any worker, until it is said
AGAIN = "run the same command again: what is done stays"
GPU = "GPU"  # the resource that a worker declares: `dask worker --resources GPU=1`
LOGGERS = ("distributed", "distributed.client", "distributed.core", "asyncio", "tornado.application")
VERSION = "__import__('tfunc').__version__"  # asked where nothing of ours may be installed


class Cluster(concurrent.futures.Executor):
    """The workers of one scheduler. A call runs in a thread of a worker process."""

    def __init__(self, scheduler: str, client: Any, settings: processes.Settings):
        """client: a `distributed.Client`, which whoever made it closes."""
        self.scheduler, self.client, self.settings = scheduler, client, settings
        self._executor = client.get_executor(pure=False)
        self._counted = (-COUNTED_SECONDS, 0)
        self._asking: set[concurrent.futures.Future] = set()  # calls under way for a worker that declares a GPU

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future:
        """A call on any worker; if that one dies, on another."""
        return self._executor.submit(processes.run_as_worker, self.settings, _packed(function, args, kwargs))

    def submit_job(self, function: Callable[..., Any], /, *args: Any, gpu: bool = False) -> concurrent.futures.Future:
        """A call that fails with an exception is made once more. gpu: on a worker that declares one, where any does."""
        asked = {GPU: 1} if gpu and any(GPU in worker["resources"] for worker in self._workers().values()) else {}
        call = self.settings, _packed(function, args, {})
        future = self._executor.submit(processes.run_as_worker, *call, retries=1, resources=asked)
        if asked:
            self._asking.add(future)
            future.add_done_callback(self._asking.discard)
        return future

    def everywhere(self, function: Callable[..., Any], /, *args: Any) -> None:
        """A call in each worker that is there, beside what runs in it; a worker that is lost meanwhile is left out."""
        with contextlib.suppress(Exception):  # whatever is wrong with the cluster, the program ends for another reason
            self.client.run(function, *args, on_error="ignore")

    def has_workers(self) -> bool:
        """Whether a worker is there."""
        try:
            return bool(self._workers())
        except Exception:  # no scheduler either
            return False

    def ahead(self) -> int:
        """How many calls may be under way: two a thread. Workers come and go, so it is asked for again and again."""
        when, count = self._counted
        if time.monotonic() - when > COUNTED_SECONDS:
            count = sum(worker["nthreads"] for worker in self._workers().values())
            self._counted = time.monotonic(), count
        return max(2 * count, 2)

    def _workers(self):
        if self.client.status != "running":  # asked, it would try to reach a scheduler that is gone for a while
            raise self._lost()
        try:
            return self.client.scheduler_info(n_workers=-1)["workers"]
        except TypeError:  # Dask before 2025 gives all of them
            return self.client.scheduler_info()["workers"]
        except OSError as error:
            raise self._lost() from error

    def explained(self, error: BaseException) -> UserError | None:
        """The line for an exception that is Dask's own; None for any other."""
        from distributed import client, comm, scheduler

        if isinstance(error, scheduler.KilledWorker):
            return UserError(
                f"--scheduler={self.scheduler}",
                expected="workers that live through their work",
                found=f"{error.allowed_failures + 1} that died at the same call, the last at {error.last_worker.address}",
                do=f"see its log (probably too little memory), then {AGAIN}",
            )
        closed = getattr(client, "ClosedClientError", comm.CommClosedError)  # Dask before 2025 has none
        if isinstance(error, (concurrent.futures.CancelledError, comm.CommClosedError, closed)):
            return self._lost()
        return None

    def _lost(self):
        found, do = "no answer any more", f"start one, and workers, and {AGAIN}"
        return UserError(f"--scheduler={self.scheduler}", expected="the scheduler that was there", found=found, do=do)

    def require_same_version(self) -> None:
        """Raises `UserError` where the scheduler, which reads calls too, or a worker has another version, or none."""
        own = eval(VERSION)
        found = {"the scheduler": _asked(lambda: self.client.run_on_scheduler(eval, VERSION))}
        try:
            found |= self.client.run(eval, VERSION, on_error="return")
        except OSError as error:
            raise self._lost() from error
        for who, version in found.items():
            if version != own and not isinstance(version, OSError):  # a worker that has just been lost
                raise UserError(
                    f"--scheduler={self.scheduler}",
                    expected=f"tfunc {own} in all of its processes",
                    found=f"{'none' if isinstance(version, Exception) else version} in {who}",
                    do="install the same version there, with [cluster]",
                )

    def say_waiting(self, ended: threading.Event) -> None:
        """Says when there has been no worker for a while, until `ended`: a program that waits without a word looks hung."""
        without = 0.0
        while not ended.wait(COUNTED_SECONDS):
            try:
                workers = self._workers()
            except Exception:  # the calls themselves tell what is wrong
                return
            is_one_there = any(GPU in one["resources"] for one in workers.values()) if self._asking else bool(workers)
            without = 0.0 if is_one_there else without + COUNTED_SECONDS
            if without >= WAITED_SECONDS:
                which = f"no worker that declares {GPU}=1" if workers else "no worker"
                notices.once(f"cluster: {self.scheduler}", f"{self.scheduler}: {which} is there; waiting for one")


def _packed(function, arguments, named):
    """A call as bytes, which nobody reads before its process is made ready, the scheduler least of all."""
    import cloudpickle  # Dask's own

    return cloudpickle.dumps((function, arguments, named))


def _asked(call):
    """What a call gives, or the exception that it raises."""
    try:
        return call()
    except Exception as error:
        return error


@contextlib.contextmanager
def connected(scheduler: str, tensorflow: bool = True) -> Iterator[Cluster]:
    """Yields the cluster of a scheduler's address (`tcp://host:8786`), and lets go of it at the end.

    tensorflow: whether the work needs it. Every worker must see the data under the same paths, the working directory included.
    Raises `UserError` without the package, and where no scheduler answers.
    """
    try:
        import distributed
    except ImportError:
        raise UserError(f"--scheduler={scheduler}", expected="dask.distributed", found="no such package",
                        do="pip install 'tfunc[cluster]'") from None  # fmt: skip
    with _quiet():
        client, found = None, ""
        try:
            client = distributed.Client(scheduler, timeout=CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            found = str(error).partition("\n")[0]
        if client is None:
            gc.collect()  # one that failed ends when it is collected; while another starts it would wait for that one's lock
            raise UserError(f"--scheduler={scheduler}", expected="a Dask scheduler there", found=found)
        ended = threading.Event()
        with client:  # leaves a scheduler that is gone after `CONNECT`
            cluster = Cluster(scheduler, client, processes.settings(tensorflow))
            cluster.require_same_version()
            threading.Thread(target=cluster.say_waiting, args=(ended,), daemon=True).start()
            try:
                yield cluster
            finally:
                ended.set()


@contextlib.contextmanager
def _quiet():
    """Dask's own lines and tracebacks about a lost connection would drown the one that says what to do."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)
