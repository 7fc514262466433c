"""The same work on both stacks, in turns: images a second of a training step and of inference, and their ratio.

    make .venv/installed .venv-addons/installed
    python benchmarks/stacks.py [--size=192,256] [--batch=4] [--start_filters=32] [--precision=float32] [--rounds=7]

Any Python runs it; each environment is one process that prepares everything once and then waits for its turn, so that a
machine whose speed drifts treats both alike, and neither works while the other is timed. It takes some minutes.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
STEPS = 3  # a turn


def network(flags):
    """{part: (function, images a call)}: one training step and one inference of the paper's U-Net."""
    from speed import ours

    height, width = map(int, flags.size.split(","))
    train, infer = ours(flags.batch, height, width, flags.start_filters, flags.precision)
    return {"training": (train, flags.batch), "inference": (infer, flags.batch)}


WORK = [network]  # each makes some parts; both stacks must make the same


def worker(flags):
    """Prepares the parts, says which they are, and answers each line that names one with the seconds of its calls."""
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    from tfunc.nets import stack

    parts = {}
    for make in WORK:
        parts |= make(flags)
    for function, _ in parts.values():
        function()  # traces, warms up
    print(json.dumps([stack.versions(), {name: images for name, (_, images) in parts.items()}]), flush=True)
    for line in sys.stdin:
        function, _ = parts[line.strip()]
        times = []
        for _ in range(STEPS):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


class Worker:
    """A worker in the environment of `python`."""

    def __init__(self, python):
        pipe = subprocess.PIPE
        command = [python, __file__, "--worker", *sys.argv[1:]]
        environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.versions, self.images = self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"error: {self.process.args[0]} ended with exit code {self.process.wait()}")
        return json.loads(line)

    def turn(self, part):
        self.process.stdin.write(f"{part}\n")
        self.process.stdin.flush()
        return self._answer()


def measure(workers, rounds):
    """{part: [images a second of each worker]}, medians over all rounds."""
    times = {part: [[] for _ in workers] for part in workers[0].images}
    for _ in range(rounds):
        for part, columns in times.items():
            for one, column in zip(workers, columns, strict=True):
                column += one.turn(part)
    images = workers[0].images
    return {part: [images[part] / statistics.median(c) for c in columns] for part, columns in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="192,256", help="height,width")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--start_filters", type=int, default=32)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rounds", type=int, default=7, help=f"turns of {STEPS} calls")
    parser.add_argument("--current", default=str(ROOT / ".venv/bin/python"), help="Python of the current stack")
    parser.add_argument("--addons", default=str(ROOT / ".venv-addons/bin/python"), help="Python of the addons stack")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.worker:
        worker(flags)
        return
    for python in (flags.current, flags.addons):
        if not pathlib.Path(python).exists():
            sys.exit(f"error: {python}: not found; run `make .venv/installed .venv-addons/installed`")
    workers = [Worker(python) for python in (flags.current, flags.addons)]
    for one in workers:
        print(*(f"{name} {value}" for name, value in one.versions.items()), sep=", ")
    rates = measure(workers, flags.rounds)
    print(f"{flags.size}, batch {flags.batch}, {flags.start_filters} filters, {flags.precision}, XLA off; images/s")
    for part, (current, addons) in rates.items():
        print(f"{part:12} current {current:8.2f}  addons {addons:8.2f}  addons/current {addons / current:.2f}")


if __name__ == "__main__":
    main()
