"""A job's command as a process: its lock, its log, how it is started and ended, here or in a worker of a cluster.

The lock is an `flock` on a file that the command inherits: it is held as long as the command lives, even if the study
that started it is gone, and no longer.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import IO

from data_prep.base import artefacts, locks, pool, processes, remedies, signals
from data_prep.base.errors import NotReady, Stopped, UserError
from data_prep.base.leases import Lease

UNTOLD = ("next:", "look:", "$", "|", "W0000", "I0000")  # beginnings of lines that are advice, progress or TensorFlow's
ASKED_SECONDS = 2.0  # until a study's commands are asked to end again
ENDING_SECONDS = 300.0  # until what was asked to end is left alone: a training saves at its step
TOLD = 20  # lines of a failed job's log that come back with it
SAID = (0, UserError.exit_code, NotReady.exit_code, *(128 + number for number in signals.ASKING))
_guard = threading.Lock()
_at_work: dict[str, list[subprocess.Popen]] = {}  # by study: what this process has started for it
_ended: set[str] = set()  # studies that were stopped
_asked: set[subprocess.Popen] = set()  # what was asked to end: a second signal would end it before it has saved


@dataclasses.dataclass(frozen=True)
class Order:
    """One command to run. study: whose it is, by which all of one study's are ended together. name: of the job.

    lock, log: files. environment: what the command finds beside its process's own. elsewhere: the same for a worker of a
    cluster, whose installation may lie at another path, as arguments of its Python; the command ends with that worker then, and
    what fails with no words of ours raises `Failed`. Empty: it is started by the study itself.
    """

    study: str
    name: str
    command: tuple[str, ...]
    log: str
    lock: str
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended. code: of its process; None: it was not started, since `said` holds its lock. said: its last words."""

    code: int | None
    said: str


class Failed(Exception):
    """A command that ended as none of ours should. where: the machine and process. lines: the end of its log."""

    def __init__(self, code: int, where: str, lines: str):
        super().__init__(code, where, lines)
        self.code, self.where, self.lines = code, where, lines

    def __str__(self) -> str:
        return f"exit code {self.code} on {self.where}"


def run(order: Order) -> Ended:
    """Runs a command to its end, unless another process holds its lock or its study was stopped."""
    lock = claim(order)
    if lock is None:
        return Ended(None, locks.holder(order.lock))
    log = pathlib.Path(order.log)
    with lock:
        with _guard:
            if order.study in _ended:
                return Ended(-signals.ASKING[0], "stopped")
            process = start(order, lock)
            _at_work.setdefault(order.study, []).append(process)
        try:
            code = process.wait()
        finally:
            with _guard:
                _at_work[order.study].remove(process)
                _asked.discard(process)
    if order.elsewhere and code not in SAID and order.study not in _ended:
        raise Failed(code, f"{socket.gethostname()}, worker {os.getpid()}", _end_of(log))
    return Ended(code, last_line(log))


def claim(order: Order) -> IO[str] | Lease | None:
    """An open file that holds the job's lock, or None where another process runs it."""
    try:
        return locks.taken(order.lock)
    except OSError as error:
        expected = f"a run folder that can be written, as {order.name} is not done"
        do = remedies.REMEDIES[error.errno][1] if error.errno in remedies.REMEDIES else None
        folder = pathlib.Path(order.lock).parents[2]
        raise UserError(folder, expected=expected, found=error.strerror or str(error), do=do) from None


def start(order: Order, lock: IO[str] | Lease) -> subprocess.Popen:
    """Starts a command; its output goes to its log, which is UTF-8, and it holds the lock."""
    log, command = pathlib.Path(order.log), list(order.command)
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **order.environment}
    if order.elsewhere:
        command = [sys.executable, *order.elsewhere]
        environment[processes.PARENT] = str(os.getpid())
    log.parent.mkdir(parents=True, exist_ok=True)
    with artefacts.naming(log), open(log, "a", encoding="utf-8", errors="backslashreplace") as output:
        output.write(f"$ {shlex.join(command)}\n")
        output.flush()
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, pass_fds=(lock.fileno(),)
        )


def end(study: str) -> None:
    """Asks the study's commands that this process has started to end, each once; they save their state. No more are started."""
    with _guard:
        _ended.add(study)
        running = [process for process in _at_work.get(study, ()) if process not in _asked]
        _asked.update(running)
    for process in running:
        if process.poll() is None:
            process.terminate()


def last_line(log: pathlib.Path) -> str:
    """What a command says it did: its last line that isn't advice or a progress bar."""
    told = [line for line in _lines(log) if not line.startswith(UNTOLD)]
    return told[-1] if told else "no output"


def _lines(log):
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return [line for line in lines if line]


def _end_of(log):
    return "\n".join(_lines(log)[-TOLD:])


@contextlib.contextmanager
def executing(
    study: str, slots: int, scheduler: str | None, calls: Callable[[], Collection[concurrent.futures.Future]]
) -> Iterator[concurrent.futures.Executor]:
    """Yields where commands run: `slots` at a time here, or a cluster. calls: gives those that are under way at that moment.

    While the block runs, a signal that asks to end raises `Stopped`; an exception ends the study's commands, which save their
    state, and waits for them.
    """

    def stop(number):
        raise Stopped("the study was stopped; the same command continues", number)

    with pool.for_jobs(slots, scheduler) as executor:
        try:
            with signals.caught(stop):
                yield executor
        except BaseException:
            _end_all(executor, study, list(calls()))
            raise


def _end_all(executor, study, calls):
    """Ends what runs, and what begins meanwhile on a worker that has just come; waits as long as there is any worker."""
    until = time.monotonic() + ENDING_SECONDS
    while time.monotonic() < until:
        pool.everywhere(executor, end, study)
        _, left = concurrent.futures.wait(calls, ASKED_SECONDS)
        if not left or not pool.has_workers(executor):
            break
    for call in calls:
        call.cancel()
