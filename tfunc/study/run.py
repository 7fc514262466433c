"""The whole study as a list of jobs: what each needs, whether it is done, and running what is not.

A job is one command of our own launchers and one artefact that says, by its presence and its configuration, that it is
done; nothing else is remembered, so a study can be killed, extended and restarted. A job is claimed by a lock on a file
that the command inherits: it is held as long as the command lives, even if the study that started it is gone, and no
longer.
"""

import dataclasses
import fcntl
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

from data_prep.base import artefacts, progress
from data_prep.base.errors import NotReady, Stopped, UserError
from tfunc import networks, runs
from tfunc.methods import Method

POLL_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Job:
    """name: unique. needs: names of jobs before it. artefact: file whose presence ends it, under the run folder.

    program: of `launch/`. arguments: its flags beside the shared ones. cost: in passes over a slice, to guess times.
    """

    name: str
    needs: tuple
    artefact: str
    program: str
    arguments: tuple
    cost: float
    expects: dict = dataclasses.field(default_factory=dict)  # entries of the artefact's configuration


def network_method(name):
    """A method that is one network's softmax: how a cross-validated network predicts the fold it never saw."""
    return Method(name, name, (name,), "Softmax", "probability", "one network of the cross-validation")


def plan(manifest, methods, members=10, folds=5, quirks=False, epochs=None, samples=20, valid=False, settings=None):
    """The jobs of a study of `methods`, each after those it needs.

    settings: the trainings' (`launch/settings.py`): a network that was trained with others isn't done. valid: also
    predict the validation split, for honest thresholds. Raises `UserError` for subsets that can't be made.
    """
    jobs = {}
    sizes = {entry.name: (entry.training_slices, entry.slices) for entry in manifest.subjects}

    def add(name, needs, artefact, program, arguments, cost, expects=None):
        jobs.setdefault(name, Job(name, tuple(needs), str(artefact), program, tuple(arguments), cost, expects or {}))
        return name

    def expected(network):
        """The part of a network's configuration that the study's settings decide."""
        if settings is None:
            return {}
        from_base = ("start_filters", "depth") if network.objective == "auxiliary_feat" else ()
        left_out = ("folds", "patience", *from_base)
        return {
            **{name: value for name, value in settings.items() if name not in left_out},
            "epochs": network.epochs(manifest.dataset, quirks) if epochs is None else epochs,
            "seed": settings["seed"] + network.seed,
            "count": network.count,
        }

    def train(network):
        """Adds the training of a network and of what it learns from; returns the job's name."""
        needs = [train(networks.get(name)) for name in network.needs]
        names = networks.subjects(network, manifest, quirks, folds)
        if network.objective == "auxiliary_segm":
            needs += held_out(network)
        passes = 3 * sum(sizes[name][0] for name in names[0]) + sum(sizes[name][1] for name in names[1])
        artefact = runs.network_dir("", network.name) / runs.FINISHED
        cost = passes * (epochs or network.epochs(manifest.dataset, quirks))
        flags = [f"--network={network.name}"]
        return add(f"train_{network.name}", needs, artefact, "train.py", flags, cost, expected(network))

    def held_out(network):
        """Adds what auxiliary segm. takes its masks from: the folds' networks, and on ISIC the real baseline."""
        found = []
        for index, (_, names) in enumerate(networks.folds(manifest, folds)):
            name = networks.fold(index, folds).name
            found.append(predict(network_method(name), "heldout", [train(networks.fold(index, folds))], names))
        validation = {entry.name for entry in manifest.split("valid")}
        if not validation <= {name for _, names in networks.folds(manifest, folds) for name in names}:
            baseline = Method("baseline", "", ("baseline",), "Softmax", "probability", "")
            found.append(predict(baseline, "valid", [train(networks.get("baseline"))], validation))
        return found

    def predict(method, split, needs, names):
        passes = samples if method.sampled else members if "ensemble" in method.networks else len(method.networks)
        flag = f"--network={method.name}" if split == "heldout" else f"--method={method.name}"
        artefact = runs.predictions_dir("", method.name, split) / "predictions.json"
        cost = passes * sum(sizes[name][1] for name in names)
        name = f"predict_{method.name}" + ("" if split == "test" else f"_{split}")
        expects = {"samples": samples} if method.sampled else {}
        return add(name, needs, artefact, "predict.py", [flag, f"--split={split}"], cost, expects)

    last = []
    for method in methods:
        needs = []
        for name in method.networks:
            group = (
                [networks.member(k, members) for k in range(members)] if name == "ensemble" else [networks.get(name)]
            )
            needs += [train(network) for network in group]
        for split in ("test", "valid") if valid else ("test",):
            last.append(predict(method, split, needs, [entry.name for entry in manifest.split(split)]))
    names = ",".join(method.name for method in methods)
    expects = {"threshold_split": "valid" if valid else "test"}
    add("evaluate", last, "evaluation/summary.json", "evaluate.py", [f"--methods={names}"], 1.0, expects)
    return list(jobs.values())


class Study:
    """The jobs of one run folder. commands: {program: its shared flags}; launchers: the folder of the programs."""

    def __init__(self, jobs, run_dir, launchers, commands, report=print):
        self.jobs = {job.name: job for job in jobs}
        self.run_dir, self.launchers = pathlib.Path(run_dir), pathlib.Path(launchers)
        self.commands, self.report = commands, report
        self.folder = self.run_dir / "study"

    # What is done

    def done(self, job):
        """Whether the job's artefact is there and what this study would make.

        Otherwise the job's own command is asked, which refuses another configuration and names the difference.
        """
        path = self.run_dir / job.artefact
        if not path.exists():
            return False
        if job.program == "train.py":
            return _has(artefacts.read_json(path.with_name(runs.CONFIG)), job.expects)
        if job.program == "predict.py":
            return self._predicted(artefacts.read_json(path), job)
        if job.program == "evaluate.py":
            return self._evaluated(artefacts.read_json(path), path, job)
        return True

    def _predicted(self, found, job):
        """Complete, with the study's settings, and by the weights that the networks have now."""
        now = {name: runs.finished(runs.network_dir(self.run_dir, name)) for name in found["networks"]}
        same = all(done and done["weights_sha256"] == found["networks"][name] for name, done in now.items())
        return same and found["complete"] and _has(found, job.expects)

    def _evaluated(self, found, path, job):
        """Of at least the study's methods, and younger than all their predictions."""
        inputs = [self.run_dir / self.jobs[name].artefact for name in job.needs]
        young = all(one.exists() and one.stat().st_mtime <= path.stat().st_mtime for one in inputs)
        return young and set(found["methods"]) >= set(_methods(job)) and _has(found["settings"], job.expects)

    def waiting(self):
        """The jobs that are not done, in order."""
        return [job for job in self.jobs.values() if not self.done(job)]

    def missing(self, job):
        """Names of the jobs that must be done before this one."""
        return [name for name in job.needs if not self.done(self.jobs[name])]

    def describe(self):
        """The plan as lines: number, state, name, needs."""
        waiting = {job.name for job in self.waiting()}
        width = max(map(len, self.jobs))
        for index, job in enumerate(self.jobs.values()):
            state = "done" if job.name not in waiting else "waits" if self.missing(job) else "ready"
            needs = (
                ", ".join(job.needs) if len(job.needs) <= 4 else f"{job.needs[0]} … {job.needs[-1]} ({len(job.needs)})"
            )
            yield f"{index:3} {state:5} {job.name:{width}}  {f'after {needs}' if needs else ''}".rstrip()

    # Running

    def command(self, job):
        arguments, path = job.arguments, self.run_dir / job.artefact
        if job.program == "evaluate.py":  # a table is extended, never cut
            before = artefacts.read_json(path)["methods"] if path.exists() else {}
            arguments = (f"--methods={','.join(dict.fromkeys([*before, *_methods(job)]))}",)
        return [sys.executable, str(self.launchers / job.program), *arguments, *self.commands[job.program]]

    def log(self, job):
        return self.folder / "logs" / f"{job.name}.log"

    def claim(self, job):
        """An open file that holds the job's lock, or None where another study runs it."""
        path = self.folder / "locks" / f"{job.name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")  # noqa: SIM115 - the lock lives as long as the file is open, here or in the command
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def start(self, job, lock, slot=None):
        """Starts the job's command; its output goes to its log. slot: number of the GPU it shall see."""
        path = self.log(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ)
        if slot is not None:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            environment["CUDA_VISIBLE_DEVICES"] = (
                visible.split(",")[slot % len(visible.split(","))] if visible else str(slot)
            )
        with open(path, "a") as log:
            log.write(f"$ {shlex.join(self.command(job))}\n")
            log.flush()
            return subprocess.Popen(
                self.command(job), stdout=log, stderr=subprocess.STDOUT, env=environment, pass_fds=(lock.fileno(),)
            )

    def run_one(self, name):
        """Runs one job here and now, for array jobs of a cluster. Raises `NotReady` naming what is missing."""
        job = self.jobs[name]
        if self.done(job):
            self.report(f"{name}: done already")
            return
        if missing := self.missing(job):
            raise NotReady(f"job {name}", expected="its needs to be done", found=f"unfinished: {', '.join(missing)}")
        lock = self.claim(job)
        if lock is None:
            raise NotReady(
                f"job {name}", expected="a free job", found="one that another process runs", do="wait for it"
            )
        with lock:
            process = self.start(job, lock)
            with _terminating([process]):
                process.wait()
        self._check(job, process)
        self.report(f"{name}: {self._last_line(job)}")

    def run(self, slots=1):
        """Runs all that is not done, `slots` jobs at a time, one progress line a job; stops at the first failure."""
        waiting = self.waiting()
        if not waiting:
            self.report(f"{self.run_dir}: all {len(self.jobs)} jobs are done; nothing to do")
            return
        self.clock = _Clock(sum(job.cost for job in waiting))
        running = {}  # slot -> (job, process, lock, start)
        with _terminating(running):
            while waiting or running:
                self._reap(running)
                waiting = [job for job in self.waiting() if job.name not in {r[0].name for r in running.values()}]
                for job in waiting:
                    free = next((slot for slot in range(slots) if slot not in running), None)
                    if free is None:
                        break
                    lock = None if self.missing(job) else self.claim(job)
                    if lock is not None:
                        running[free] = (
                            job,
                            self.start(job, lock, free if slots > 1 else None),
                            lock,
                            time.monotonic(),
                        )
                time.sleep(POLL_SECONDS)

    def _reap(self, running):
        """Takes finished jobs out of `running` and reports them."""
        for slot, (job, process, lock, start) in list(running.items()):
            if process.poll() is None:
                continue
            del running[slot]
            lock.close()
            self._check(job, process)
            left = self.clock.left(job.cost)
            count = len(self.jobs) - len(self.waiting())
            took = progress.duration(time.monotonic() - start)
            self.report(f"[{count}/{len(self.jobs)}] {job.name} {took}, {left} left: {self._last_line(job)}")

    def _check(self, job, process):
        if process.returncode == 0 and self.done(job):
            return
        message = f"job {job.name} failed: {self._last_line(job)}"
        code = process.returncode
        if code in (UserError.exit_code, NotReady.exit_code):
            raise {2: UserError, 3: NotReady}[code](message, do=f"see {self.log(job)}")
        if code in (-signal.SIGTERM, Stopped.exit_code):
            raise Stopped(f"job {job.name} was stopped; the same command continues")
        raise RuntimeError(f"{message}; exit code {code}; see {self.log(job)}")

    def _last_line(self, job):
        """What the command says it did: its last line that isn't advice or a progress bar."""
        lines = [line.strip() for line in self.log(job).read_text(errors="replace").splitlines()]
        told = [line for line in lines if line and not line.startswith(("next:", "look:", "$", "|", "W0000", "I0000"))]
        return told[-1] if told else "no output"


def _has(found, expects):
    """Whether a configuration has the entries that are expected."""
    found = runs.completed(found, expects)
    return all(found.get(name) == value for name, value in expects.items())


def _methods(job):
    return job.arguments[0].removeprefix("--methods=").split(",")


class _Clock:
    """Guesses the time left from the cost of what was done so far."""

    def __init__(self, total):
        self.total, self.spent, self.start = total, 0.0, time.monotonic()

    def left(self, cost):
        self.spent += cost
        seconds = time.monotonic() - self.start
        return progress.duration(seconds * (self.total - self.spent) / self.spent)


class _terminating:
    """While the block runs, SIGTERM ends the commands too, which save their state; so does leaving by an exception."""

    def __init__(self, running):
        self.running = running

    def __enter__(self):
        def handle(signum, frame):
            raise Stopped("the study was stopped; the same command continues")

        self.before = signal.signal(signal.SIGTERM, handle)

    def __exit__(self, kind, value, traceback):
        signal.signal(signal.SIGTERM, self.before)
        entries = self.running.values() if isinstance(self.running, dict) else [(None, p) for p in self.running]
        processes = [entry[1] for entry in entries]
        if kind is not None:
            for process in processes:
                if process.poll() is None:
                    process.terminate()
            for process in processes:
                process.wait()
