"""A job's command as a process: its lock, its log, how it is started and ended.

The lock is an `flock` on a file that the command inherits: it is held as long as the command lives, even if the study
that started it is gone, and no longer.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import IO

from data_prep.base import artefacts, signals
from data_prep.base.errors import Stopped
from data_prep.base.leases import Lease

UNTOLD = ("next:", "look:", "$", "|", "W0000", "I0000")  # beginnings of lines that are advice, progress or TensorFlow's


def start(
    command: list[str], log: pathlib.Path, lock: IO[str] | Lease, environment: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Starts a command; its output goes to its log, which is UTF-8, and it holds the lock.

    environment: what it finds beside what is set here, such as the GPU that it shall see.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **(environment or {})}
    with artefacts.naming(log), open(log, "a", encoding="utf-8", errors="backslashreplace") as output:
        output.write(f"$ {shlex.join(command)}\n")
        output.flush()
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, pass_fds=(lock.fileno(),)
        )


def last_line(log: pathlib.Path) -> str:
    """What a command says it did: its last line that isn't advice or a progress bar."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    told = [line for line in lines if line and not line.startswith(UNTOLD)]
    return told[-1] if told else "no output"


@contextlib.contextmanager
def terminating(running: Callable[[], list[subprocess.Popen]]) -> Iterator[None]:
    """While the block runs, a signal that asks to end raises `Stopped`; an exception ends the commands, which save their state.

    running: gives the commands that run at that moment.
    """

    def stop(number):
        raise Stopped("the study was stopped; the same command continues", number)

    try:
        with signals.caught(stop):
            yield
    except BaseException:
        processes = running()
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            process.wait()
        raise
