"""Running a study: what is done, what waits, one process a job, several at a time, progress a line a job.

Nothing is remembered but artefacts, so a study can be killed, extended and restarted, and several may share a run folder:
a job is claimed by a lock.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import pathlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from data_prep.base import gpus, locks, mirrors, pool, progress, signals, stores
from data_prep.base.errors import NotReady, Stopped, UserError
from tfunc import runs
from tfunc.study import commands
from tfunc.study.jobs import Job

ON_A_GPU = ("train", "predict")
POLL_SECONDS = 0.2
LOOK_SECONDS = 10.0  # after which a run in a store is looked at again, for what others made there
HELD_SECONDS = 1.0  # until a job that another process runs is asked for again
SEEN_SECONDS = 90.0  # NFS shows a file that another machine has made only after a while


@dataclasses.dataclass(frozen=True)
class Running:
    """A job under way: the call that waits for its process, and when it began."""

    job: Job
    call: concurrent.futures.Future[commands.Ended]
    begun: float


class Study:
    """The jobs of one run folder.

    program: name of a launcher -> the beginning of a command that runs it. shared: {launcher: flags of all its jobs}.
    say: called with each line for the user. scheduler: of the Dask cluster whose workers run the jobs; None is this machine.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        run_dir: runs.Path,
        program: Callable[[str], list[str]],
        shared: Mapping[str, Sequence[str]],
        say: Callable[[str], Any] = print,
        scheduler: str | None = None,
    ):
        self.jobs = {job.name: job for job in jobs}
        self.run_dir, self.program, self.shared, self.say = pathlib.Path(run_dir), program, shared, say
        self.folder, self.scheduler = self.run_dir / "study", scheduler
        self.id = uuid.uuid4().hex  # of this process's jobs, which are ended together
        self._until: dict[str, float] = {}  # when a job that another process runs is asked for again

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

    def order(self, job: Job, environment: Mapping[str, str] | None = None) -> commands.Order:
        """The job's command with its lock and its log. environment: what it finds beside its process's own."""
        command, log, lock = self.command(job), str(self.log(job)), str(self._lock(job))
        flags = command[len(self.program(job.program)) :]
        there = ("-m", "tfunc", job.program, *flags) if self.scheduler else ()
        return commands.Order(self.id, job.name, tuple(command), log, lock, environment or {}, there)

    def _lock(self, job):
        return self.folder / "locks" / f"{job.name}.lock"

    def run_one(self, name: str) -> None:
        """Runs one job here and now, for array jobs of a cluster. Raises `NotReady` naming what is missing."""
        job = self.jobs[name]
        if self.done(job):
            self.say(f"{name}: done already")
            return
        if missing := self.missing(job):
            raise NotReady(f"job {name}", expected="its needs to be done", found=f"unfinished: {', '.join(missing)}")
        calls: list[concurrent.futures.Future[commands.Ended]] = []
        with commands.executing(self.id, 1, self.scheduler, lambda: calls) as executor:
            calls.append(self._submitted(executor, job, {}))
            ended = self._ended(executor, job, calls[0])
        if ended.code is None:
            raise NotReady(f"job {name}", expected="a free job", found=f"one that {ended.said} runs", do="wait for it")
        self._check(job, ended)
        self.say(f"{name}: {ended.said}")

    def run(self, slots: int = 1) -> None:
        """Runs all that is not done, one progress line a job; stops at the first failure.

        slots: how many at a time on this machine; a cluster takes as many as it has room for.
        """
        waiting = self.waiting()
        if not waiting:
            self._let_others_end()
            self.say(f"{self.run_dir}: all {len(self.jobs)} jobs are done; nothing to do")
            return
        shares = [{}] if slots == 1 else self._shares(slots)
        if self.scheduler:
            shares = [{}] * len(waiting)
        clock = _Clock({job.name: job.cost * (1 - job.part_done(self.run_dir)) for job in waiting})
        running: dict[int, Running] = {}  # by slot
        with commands.executing(
            self.id, slots, self.scheduler, lambda: [entry.call for entry in running.values()]
        ) as executor:
            while waiting or running:
                self._reap(executor, running, clock)
                under_way = {entry.job.name for entry in running.values()}
                waiting = [job for job in self.waiting() if job.name not in under_way]
                self._fill(executor, running, waiting, shares)
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

    def _fill(self, executor, running, waiting, shares):
        """Starts jobs that can run in the slots that are free. shares: an environment for each slot."""
        for job in waiting:
            free = next((slot for slot in range(len(shares)) if slot not in running), None)
            if free is None:
                return
            if self._until.get(job.name, 0.0) <= time.monotonic() and not self.missing(job):
                running[free] = Running(job, self._submitted(executor, job, shares[free]), time.monotonic())

    def _submitted(self, executor, job, environment):
        return pool.submit_job(executor, commands.run, self.order(job, environment), gpu=job.program in ON_A_GPU)

    def _ended(self, executor, job, call):
        """How a job's call ended, once it has."""
        try:
            return call.result()
        except commands.Failed as error:
            self.say(f"{self.log(job)} ends:\n{error.lines}")
            expected, do = "it to end well at the second try", f"see {self.log(job)}, then run the same command again"
            raise UserError(f"job {job.name}", expected=expected, found=str(error), do=do) from None
        except Exception as error:
            if (line := pool.explained(executor, error)) is error:
                raise
            raise line from None

    def _reap(self, executor, running, clock):
        """Takes finished jobs out of `running` and reports them."""
        for slot, entry in list(running.items()):
            if not entry.call.done():
                continue
            del running[slot]
            ended, name = self._ended(executor, entry.job, entry.call), entry.job.name
            if ended.code is None:
                self._until[name] = time.monotonic() + HELD_SECONDS
                mirrors.again(self.run_dir, HELD_SECONDS)
                continue
            self._check(entry.job, ended)
            left = clock.left(name)
            count = len(self.jobs) - len(self.waiting())
            took = progress.duration(time.monotonic() - entry.begun)
            self.say(f"[{count}/{len(self.jobs)}] {name} {took}, {left} left: {ended.said}")

    def _check(self, job, ended):
        if ended.code == 0 and self._is_seen(job):
            return
        message = f"job {job.name} failed: {ended.said}"
        code = ended.code
        for error in (UserError, NotReady):
            if code == error.exit_code:
                raise error(message, do=f"see {self.log(job)}")
        for number in signals.ASKING:
            if code in (-number, 128 + number):
                raise Stopped(f"job {job.name} was stopped; the same command continues", number)
        raise RuntimeError(f"{message}; exit code {code}; see {self.log(job)}")

    def _is_seen(self, job):
        """Whether the artefact is there; that of another machine may take its time to be seen from this one."""
        until = time.monotonic() + (SEEN_SECONDS if self.scheduler else 0.0)
        if self.scheduler:
            mirrors.again(self.run_dir, 0.0)
        while not self.done(job):
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_SECONDS)
        return True


class _Clock:
    """Guesses the time left from the cost of what this process has done so far. costs: of what is left, by job."""

    def __init__(self, costs):
        self.costs, self.total, self.spent, self.start = costs, sum(costs.values()), 0.0, time.monotonic()

    def left(self, name):
        self.spent += self.costs.get(name, 0.0)
        seconds = time.monotonic() - self.start
        return progress.duration(seconds * (self.total - self.spent) / self.spent) if self.spent else "?"
