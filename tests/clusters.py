"""A Dask cluster of separate processes on this machine: a scheduler and workers, as a user starts them, which can be killed.

Nothing of ours runs in them before a call does: they are started in another folder, without our settings.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping

from threads import users_environment

from data_prep.base import processes

ROOT = pathlib.Path(__file__).resolve().parents[1]
SEEN = ROOT, ROOT / "tests", ROOT / "tests" / "data_prep"  # what the processes import from
SECONDS = 60.0  # until a process has started


class Processes:
    """scheduler: its process. workers: theirs, in the order in which they were started. address: of the scheduler."""

    def __init__(self, folder: pathlib.Path, environment: Mapping[str, str] | None = None):
        self.folder, self.environment = folder, dict(environment or {})
        self.workers: list[subprocess.Popen] = []
        self.scheduler = self._start("scheduler", "scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard")
        self.address = self._said("scheduler", r"Scheduler at:\s+(tcp://\S+)")

    def _start(self, name, *arguments):
        environment = {key: value for key, value in users_environment().items() if key not in processes.ENVIRONMENT}
        environment |= {"PYTHONPATH": os.pathsep.join(map(str, SEEN)), **self.environment}
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments], cwd=self.folder, env=environment, stdout=log, stderr=log
            )

    def _said(self, name, pattern):
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            if found := re.search(pattern, self.log(name)):
                return found[1]
            time.sleep(0.05)
        raise TimeoutError(self.log(name))

    def log(self, name: str) -> str:
        """What a process has said: `scheduler`, or `worker_0` and so on."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def add_worker(self, *arguments: str) -> subprocess.Popen:
        """One more worker, of one thread, without a nanny: what is killed stays dead."""
        name = f"worker_{len(self.workers)}"
        started = self._start(
            name, "worker", self.address, "--no-nanny", "--nthreads=1", "--no-dashboard", f"--name={name}",
            f"--local-directory={self.folder}", *arguments,
        )  # fmt: skip
        self.workers.append(started)
        self._said(name, r"(Registered to)")
        return started

    def kill(self, process: subprocess.Popen) -> None:
        """kill -9; it is gone afterwards, as where a system's first process buries it."""
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        """Kills all of them."""
        for process in (*self.workers, self.scheduler):
            self.kill(process)


@contextlib.contextmanager
def cluster(workers: int, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Processes]:
    """Yields a cluster of so many workers. arguments: of `dask worker` beside the usual ones."""
    with tempfile.TemporaryDirectory() as folder:
        started = Processes(pathlib.Path(folder), environment)
        try:
            for _ in range(workers):
                started.add_worker(*arguments)
            yield started
        finally:
            started.end()
