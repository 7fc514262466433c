"""Running a study: what is done, what waits, one process a job, several at a time, progress a line a job.

Nothing is remembered but artefacts, so a study can be killed, extended and restarted, and several may share a run folder:
a job is claimed by a lock.
"""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

from data_prep.base import gpus, locks, mirrors, progress, remedies, signals, stores
from data_prep.base.errors import NotReady, Stopped, UserError
from data_prep.base.leases import Lease
from tfunc import runs
from tfunc.study import commands
from tfunc.study.jobs import Job

POLL_SECONDS = 0.2
LOOK_SECONDS = 10.0  # after which a run in a store is looked at again, for what others made there


@dataclasses.dataclass(frozen=True)
class Running:
    """A job under way: its process, its lock and when it began."""

    job: Job
    process: subprocess.Popen
    lock: IO[str]
    begun: float


class Study:
    """The jobs of one run folder.

    program: name of a launcher -> the beginning of a command that runs it. shared: {launcher: flags of all its jobs}.
    say: called with each line for the user.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        run_dir: runs.Path,
        program: Callable[[str], list[str]],
        shared: Mapping[str, Sequence[str]],
        say: Callable[[str], Any] = print,
    ):
        self.jobs = {job.name: job for job in jobs}
        self.run_dir, self.program, self.shared, self.say = pathlib.Path(run_dir), program, shared, say
        self.folder = self.run_dir / "study"

    def done(self, job: Job) -> bool:
        """Whether the job's artefact is there and what this study would make."""
        return job.is_done(self.run_dir)

    def waiting(self) -> list[Job]:
        """The jobs that are not done, in order."""
        mirrors.again(self.run_dir, LOOK_SECONDS)
        return [job for job in self.jobs.values() if not self.done(job)]

    def missing(self, job: Job) -> list[str]:
        """Names of the jobs that must be done before this one."""
        return [name for name in job.needs if not self.done(self.jobs[name])]

    def describe(self) -> Iterator[str]:
        """The plan as lines: number, state, name, needs."""
        waiting = {job.name for job in self.waiting()}
        width = max(map(len, self.jobs))
        for index, job in enumerate(self.jobs.values()):
            state = "done" if job.name not in waiting else "waits" if self.missing(job) else "ready"
            many = len(job.needs) > 4
            needs = f"{job.needs[0]} … {job.needs[-1]} ({len(job.needs)})" if many else ", ".join(job.needs)
            yield f"{index:3} {state:5} {job.name:{width}}  {f'after {needs}' if needs else ''}".rstrip()

    def command(self, job: Job) -> list[str]:
        """The job's command, as it is started; its own flags stand last, and win."""
        own = [*self.shared.get(job.program, ()), *job.flags(self.run_dir)]
        return [*self.program(job.program), *map(stores.told, own)]

    def log(self, job: Job) -> pathlib.Path:
        """Where the job's output goes."""
        return self.folder / "logs" / f"{job.name}.log"

    def claim(self, job: Job) -> IO[str] | Lease | None:
        """An open file that holds the job's lock, or None where another study runs it."""
        try:
            return locks.taken(self._lock(job))
        except OSError as error:
            expected = f"a run folder that can be written, as {job.name} is not done"
            do = remedies.REMEDIES[error.errno][1] if error.errno in remedies.REMEDIES else None
            raise UserError(self.run_dir, expected=expected, found=error.strerror or str(error), do=do) from None

    def _lock(self, job):
        return self.folder / "locks" / f"{job.name}.lock"

    def start(self, job: Job, lock: IO[str] | Lease, environment: Mapping[str, str] | None = None) -> subprocess.Popen:
        """Starts the job's command, which takes the lock over. environment: what it finds beside this process's own."""
        return commands.start(self.command(job), self.log(job), lock, environment)

    def run_one(self, name: str) -> None:
        """Runs one job here and now, for array jobs of a cluster. Raises `NotReady` naming what is missing."""
        job = self.jobs[name]
        if self.done(job):
            self.say(f"{name}: done already")
            return
        if missing := self.missing(job):
            raise NotReady(f"job {name}", expected="its needs to be done", found=f"unfinished: {', '.join(missing)}")
        lock = self.claim(job)
        if lock is None:
            found = f"one that {locks.holder(self._lock(job))} runs"
            raise NotReady(f"job {name}", expected="a free job", found=found, do="wait for it")
        with lock:
            process = self.start(job, lock)
            with commands.terminating(lambda: [process]):
                process.wait()
        self._check(job, process)
        self.say(f"{name}: {commands.last_line(self.log(job))}")

    def run(self, slots: int = 1) -> None:
        """Runs all that is not done, `slots` jobs at a time, one progress line a job; stops at the first failure."""
        waiting = self.waiting()
        if not waiting:
            self._let_others_end()
            self.say(f"{self.run_dir}: all {len(self.jobs)} jobs are done; nothing to do")
            return
        shares = [{}] if slots == 1 else self._shares(slots)
        clock = _Clock({job.name: job.cost * (1 - job.part_done(self.run_dir)) for job in waiting})
        running: dict[int, Running] = {}  # by slot
        with commands.terminating(lambda: [entry.process for entry in running.values()]):
            while waiting or running:
                self._reap(running, clock)
                under_way = {entry.job.name for entry in running.values()}
                waiting = [job for job in self.waiting() if job.name not in under_way]
                self._fill(running, waiting, shares)
                time.sleep(POLL_SECONDS)
            self._let_others_end()

    def _let_others_end(self):
        """Waits for what others still write of jobs whose artefact is there: an evaluation's TensorBoard follows its summary."""
        while any(locks.is_held(self._lock(job)) for job in self.jobs.values()):
            time.sleep(POLL_SECONDS)

    def _shares(self, slots):
        """What each job at a time finds in its environment: a GPU of its own as long as there are enough, said otherwise."""
        devices, note = gpus.shared(slots)
        if note:
            self.say(note)
        return devices

    def _fill(self, running, waiting, shares):
        """Starts jobs that can run in the slots that are free. shares: an environment for each slot."""
        for job in waiting:
            free = next((slot for slot in range(len(shares)) if slot not in running), None)
            if free is None:
                return
            lock = None if self.missing(job) else self.claim(job)
            if lock is not None and self.done(job):  # another study has finished it since
                lock.close()
            elif lock is not None:
                process = self.start(job, lock, shares[free])
                running[free] = Running(job, process, lock, time.monotonic())

    def _reap(self, running, clock):
        """Takes finished jobs out of `running` and reports them."""
        for slot, entry in list(running.items()):
            if entry.process.poll() is None:
                continue
            del running[slot]
            entry.lock.close()
            self._check(entry.job, entry.process)
            left = clock.left(entry.job.name)
            count = len(self.jobs) - len(self.waiting())
            took = progress.duration(time.monotonic() - entry.begun)
            last = commands.last_line(self.log(entry.job))
            self.say(f"[{count}/{len(self.jobs)}] {entry.job.name} {took}, {left} left: {last}")

    def _check(self, job, process):
        if process.returncode == 0 and self.done(job):
            return
        message = f"job {job.name} failed: {commands.last_line(self.log(job))}"
        code = process.returncode
        for error in (UserError, NotReady):
            if code == error.exit_code:
                raise error(message, do=f"see {self.log(job)}")
        for number in signals.ASKING:
            if code in (-number, 128 + number):
                raise Stopped(f"job {job.name} was stopped; the same command continues", number)
        raise RuntimeError(f"{message}; exit code {code}; see {self.log(job)}")


class _Clock:
    """Guesses the time left from the cost of what this process has done so far. costs: of what is left, by job."""

    def __init__(self, costs):
        self.costs, self.total, self.spent, self.start = costs, sum(costs.values()), 0.0, time.monotonic()

    def left(self, name):
        self.spent += self.costs.get(name, 0.0)
        seconds = time.monotonic() - self.start
        return progress.duration(seconds * (self.total - self.spent) / self.spent) if self.spent else "?"
