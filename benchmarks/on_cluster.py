"""What a Dask cluster costs beside local processes, and how the memory of client and scheduler grows with the subjects.

    python benchmarks/on_cluster.py [--subjects=5000] [--quick] [--json=FILE] [--keep=FOLDER]

Made-up photographs of 32x48 go through prepare, predict (a network of four filters) and evaluate, each with two processes: once
those of a local pool, once two workers of a Dask cluster on this machine, whose processes are started first and not counted.
Claims: the cluster takes at most 1.25 times as long; while subjects are handed out, from a fifth of them on, neither the client
nor the scheduler grows by more than a tenth. What starts a cluster is said in the table, and the most that a client has at any
time: of an evaluation that is as its report is written, which shows every subject. 5,000 subjects take some minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import pty
import re
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import measured

from data_prep.phantom import write as phantom

ROOT = pathlib.Path(__file__).resolve().parents[1]
SECONDS = 0.25  # between two looks at a process's memory
TAIL = 65536  # bytes of what a program printed last
LONGER, FLAT, SETTLED = 1.25, 1.1, 0.2
TRAINED, VALID = 16, 8
TINY = ("--epochs=1", "--start_filters=4", "--depth=1", "--batch_size=8")


def resident(process: int) -> float:
    """MiB that a process holds at the moment; 0 for one that is gone."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{process}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


class Look(NamedTuple):
    """when: the part of a program's time. done: the part of its subjects. client, scheduler: MiB that they hold."""

    when: float
    done: float
    client: float
    scheduler: float


def program(*words: str, watched: int | None = None) -> tuple[float, list[Look]]:
    """(seconds, what was seen meanwhile) of one of our programs. watched: the scheduler's process."""
    command = [sys.executable, str(ROOT / "launch" / f"{words[0]}.py"), *words[1:]]
    begun, looks, told = time.monotonic(), [], ""
    terminal, theirs = pty.openpty()  # where progress is told ten times a second, in a file twice a minute
    os.set_blocking(terminal, False)
    with open(terminal, "rb", buffering=0) as screen, tempfile.TemporaryFile() as said:
        started = subprocess.Popen(command, stdout=said, stderr=theirs)
        os.close(theirs)
        going = True
        while going:
            going = started.poll() is None  # once more after its end, for its last words
            with contextlib.suppress(OSError):  # nobody has the other end any more
                told = (told + (screen.read(TAIL) or b"").decode(errors="replace"))[-TAIL:]
            found = re.findall(r"(\d+)/(\d+) subjects", told)
            done = int(found[-1][0]) / int(found[-1][1]) if found else 0.0
            own, other = resident(started.pid), resident(watched) if watched else 0.0
            looks.append((time.monotonic() - begun, done, own, other))
            time.sleep(SECONDS)
        seconds = time.monotonic() - begun
        if started.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{said.read().decode(errors='replace')}{told}")
    return seconds, [Look(when / seconds, *rest) for when, *rest in looks if rest[1]]


@contextlib.contextmanager
def cluster(folder: pathlib.Path, workers: int = 2):
    """(address, process number of the scheduler, seconds that starting took)."""
    begun, started = time.monotonic(), []
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(name, *words):
        log = folder / f"{name}.log"
        with open(log, "wb") as file:
            command = [sys.executable, "-m", "dask", *words]
            started.append(subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file))
        return log

    def said(log, pattern):
        while not (found := re.search(pattern, log.read_text(errors="replace"))):
            time.sleep(0.05)
        return found[1]

    try:
        log = start("scheduler", "scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard")
        address = said(log, r"Scheduler at:\s+(tcp://\S+)")
        for number in range(workers):
            common = "--nthreads=1", "--no-dashboard", f"--local-directory={folder}"
            said(start(f"worker{number}", "worker", address, *common), "(Registered to)")
        yield address, started[0].pid, time.monotonic() - begun
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def growth(looks: list[Look], who: str) -> float | None:
    """The most memory as the last half of the subjects is handed out over that up to `SETTLED` of them; None if nobody looked."""
    early = [getattr(look, who) for look in looks if 0 < look.done <= SETTLED]
    late = [getattr(look, who) for look in looks if 0.5 <= look.done < 1]
    return max(late) / max(early) if early and late else None


def measure(folder: pathlib.Path, subjects: int, local: bool = True) -> measured.Measured:
    """Everything, in a folder that is filled. local: whether the local pools are timed too."""
    raw, data, split = folder / "raw", folder / "data", folder / "split.json"
    phantom.write("isic", raw, subjects=subjects, shape=(32, 48), seed=1)
    names = [phantom.subject_id("isic", index) for index in range(subjects)]
    parts = {"train": names[:TRAINED], "valid": names[TRAINED:][:VALID], "test": names[TRAINED + VALID :]}
    split.write_text(json.dumps(parts))
    prepare = "prepare", "--dataset=isic", f"--raw_dir={raw}", "--image_size=32,48", f"--split_file={split}"
    claims, series, rows = [], [], []
    with cluster(folder) as (address, scheduler, start):
        rows.append({"program": "a scheduler and two workers", "cluster": start})
        for name in ("prepare", "predict", "evaluate"):
            seconds, looks = {}, []
            for where, more in (("local", "--workers=2"), ("cluster", f"--scheduler={address}"))[not local :]:
                records = f"--data_dir={data}_{where}"
                run = "--dataset=isic", records, f"--run_dir={folder / f'run_{where}'}"
                if name == "prepare":
                    words = (*prepare, records, more)
                else:
                    words = (name, *run, "--method=baseline" if name == "predict" else "--methods=baseline", more)
                if name == "evaluate":
                    words = (*words, "--nosurfaces")
                seconds[where], looks = program(*words, watched=scheduler)
                if name == "prepare":
                    program("train", "--method=baseline", *run, *TINY)
            most = max(look.client for look in looks)
            rows.append({"program": name, "subjects": subjects, **seconds, "most MiB of the client": most})
            if local:
                ratio = seconds["cluster"] / seconds["local"]
                claims.append(measured.at_most(f"{name}: two workers of a cluster over two local ones", ratio, LONGER))
            for who in ("client", "scheduler"):
                title = f"{name}: memory of the {who}, late over early"
                if (grown := growth(looks, who)) is None:
                    print(f"{title}: it was over before anybody could look; take more --subjects")
                else:
                    claims.append(measured.at_most(title, grown, FLAT))
                points = tuple((one.when, getattr(one, who)) for one in looks)[:: max(len(looks) // 60, 1)]
                series.append(measured.Series(f"{name}, the {who}", "part of its time", "MiB", points))
    return measured.here("on_cluster", measured.versions("distributed", "tensorflow"), claims, series, rows)


def draw(found: measured.Measured, path: str) -> None:
    """The curves of memory: a panel a program, client and scheduler in it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    programs = list(dict.fromkeys(one.title.partition(",")[0] for one in found.series))
    figure, axes = pyplot.subplots(1, len(programs), figsize=(3.6 * len(programs), 2.8), sharey=True, squeeze=False)
    for axis, name in zip(axes[0], programs, strict=True):
        for one in found.series:
            if one.title.startswith(f"{name},"):
                axis.plot(*zip(*one.points, strict=True), label=one.title.partition(", ")[2])
        axis.set(title=name, xlabel="part of its time")
        axis.grid(alpha=0.3)
    axes[0][0].set_ylim(bottom=0)  # shared, so after all are drawn
    axes[0][0].set_ylabel("MiB")
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=5000)
    parser.add_argument("--quick", action="store_true", help="200 subjects")
    parser.add_argument("--cluster_only", action="store_true", help="memory alone: the local pools are not timed")
    parser.add_argument("--json", help="a file for what was measured")
    parser.add_argument("--figure", help="a file for a picture of the curves of memory")
    parser.add_argument("--keep", help="a new folder for all that is made, which stays")
    flags = parser.parse_args()
    subjects = 200 if flags.quick else flags.subjects
    if flags.keep:
        pathlib.Path(flags.keep).mkdir(parents=True)
        found = measure(pathlib.Path(flags.keep), subjects, not flags.cluster_only)
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(pathlib.Path(folder), subjects, not flags.cluster_only)
    for row in found.rows:
        print(", ".join(f"{key} {value:.2f}" if isinstance(value, float) else str(value) for key, value in row.items()))
    measured.report(found, flags.json)
    if flags.figure:
        draw(found, flags.figure)


if __name__ == "__main__":
    main()
